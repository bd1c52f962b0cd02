"""Order books around a quote: ten levels a side, several venues a level, whole every time (protocol 4.6)."""

import random
from typing import Any

from schwabstream.protocol.fields import Service
from schwabstream.simulator.market import Quote

DEPTH = 10
_VENUES: dict[str, tuple[str, ...]] = {
    # NASDAQ_BOOK mixes upper and lower case ids, as recorded (protocol 4.6).
    Service.NASDAQ_BOOK: ("NSDQ", "iexg", "edgx", "batx", "arcx", "memx", "G"),
    Service.NYSE_BOOK: ("NYSE", "MIAX", "EDGA", "EDGX", "ARCX", "BATS", "MEMX"),
    Service.OPTIONS_BOOK: ("S", "PACX", "C", "W", "X", "MIAX", "AMEX", "BOX"),
}


class Book:
    """One book; levels keep their prices, and appear and disappear at the best price as the quote moves."""

    def __init__(self, service: str, quote: Quote, seed: int) -> None:
        self.quote = quote
        # A future trades in one place; every other book has many makers.
        self._venues = _VENUES.get(service, (quote.instrument.exchange,))
        self._rng = random.Random(f"{seed}:{service}:{quote.instrument.key}")
        self._lot = 100 if quote.instrument.asset == "EQUITY" else 1
        self._bids: dict[int, dict[str, Any]] = {}
        self._asks: dict[int, dict[str, Any]] = {}

    def _level(self, ticks: int, depth: int, time_ms: int) -> dict[str, Any]:
        rng = self._rng
        count = min(len(self._venues), 1 + int(rng.expovariate(0.6)))
        sizes = [self._lot * (1 + int(rng.expovariate(1 / (2 + depth)))) for _ in range(count)]
        makers = [
            {"0": venue, "1": size, "2": time_ms - rng.randint(0, 900)}
            for venue, size in zip(rng.sample(self._venues, count), sizes, strict=True)
        ]
        return {"0": self.quote.price(ticks), "1": sum(sizes), "2": count, "3": makers}

    def _side(self, levels: dict[int, dict[str, Any]], best: int, step: int, time_ms: int) -> list[dict[str, Any]]:
        wanted = range(best, best + step * DEPTH, step)
        for ticks in [each for each in levels if each not in wanted]:
            del levels[ticks]
        again = self._rng.sample(wanted, 2)
        for depth, ticks in enumerate(wanted):
            if ticks not in levels or ticks in again:
                levels[ticks] = self._level(ticks, depth, time_ms)
        return [levels[ticks] for ticks in wanted if ticks > 0]

    def entry(self, now_ms: int, since_midnight_ms: int) -> dict[str, Any]:
        """The whole book as field numbers: bids descending, asks ascending, never crossed."""
        quote, time_ms = self.quote, since_midnight_ms
        bids = self._side(self._bids, quote.bid, -1, time_ms)
        asks = self._side(self._asks, quote.bid + quote.spread, 1, time_ms)
        return {"1": now_ms, "2": bids, "3": asks}
