"""Seeded, reproducible prices: one random walk on the tick grid per instrument, and its minute bars.

The path of an instrument depends on the seed and the instrument only; times come from the caller.
"""

import datetime as dt
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schwabstream.simulator.greeks import greeks
from schwabstream.simulator.instruments import CATALOGUE, Instrument, active_contract, find_instrument
from schwabstream.simulator.statics import EASTERN, contract_fields, static_fields

# Smallest displayed and smallest traded amount; 1 for other assets.
_QUOTE_LOTS = {"EQUITY": 100, "FOREX": 1_000_000}
_KEPT_BARS = 960
_TRADE_LOTS = {"EQUITY": 100, "FOREX": 10_000}
_FRACTIONAL = ("last_size", "total_volume", "bid_size", "ask_size")
"""Fields of shares that Schwab also sends with fractions (protocol 4.1)."""


@dataclass(slots=True)
class Bar:
    """One minute of trades; ``start_ms`` since the epoch."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: int

    def add(self, price: float, size: int) -> None:
        """Add one trade."""
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.close = price
        self.volume += size


def percent_change(net: float, close: float) -> float:
    """The net change in percent of the close, to the eight digits that Schwab sends (trap T16)."""
    return round(100 * net / close, 8) if close else 0.0


class Quote:
    """The level-1 state of one instrument, by field name (``schwabstream.protocol.fields``), and its walk."""

    def __init__(self, instrument: Instrument, seed: int, underlying: "Quote | None" = None) -> None:
        self.instrument = instrument
        self._underlying = underlying
        self.rng = random.Random(f"{seed}:{instrument.key}")
        self.values: dict[str, Any] = {}
        self.bar: Bar | None = None
        self.bars: deque[Bar] = deque(maxlen=_KEPT_BARS)
        """The newest minutes with trades, for price history."""
        self.finished: Bar | None = None
        self._home = round(instrument.price / instrument.tick)
        self._reach = max(40, self._home // 50)
        # A micro contract starts where the full-size one does: both have the same price in the catalogue.
        start = random.Random(f"{seed}:{instrument.price}")
        self.bid = self._home + start.randint(-self._reach // 8, self._reach // 8)
        self.spread = 1
        self.phase = self.rng.random()
        """When between two pulses this instrument moves."""
        self._quote_lot = _QUOTE_LOTS.get(instrument.asset, 1)
        self._trade_lot = _TRADE_LOTS.get(instrument.asset, 1)

    def price(self, ticks: int) -> float:
        """A number of ticks as a price without rounding noise."""
        return round(ticks * self.instrument.tick, self.instrument.decimals)

    def open_day(self, now_ms: int) -> None:
        """Fill every field as of now; called once, before anything is sent."""
        last = self.price(self.bid)
        close = self.price(self._home)
        traded = int(self.instrument.volume * self.rng.uniform(0.3, 0.6))
        self.values = {
            **static_fields(self.instrument, close, now_ms, self.rng),
            "last_price": last,
            "last_size": None if self.instrument.asset == "INDEX" else self._size(3, self._trade_lot),
            "open_price": self.price(self._home + self.rng.randint(-20, 20)),
            "close_price": close,
            "total_volume": traded,
            "trade_time": now_ms - 40,
            "security_status": "Unknown" if self.instrument.asset == "FOREX" else "Normal",
        }
        opened = self.values["open_price"]
        decimals = self.instrument.decimals
        self.values["high_price"] = round(max(last, opened) + self.price(8), decimals)
        self.values["low_price"] = round(min(last, opened) - self.price(8), decimals)
        self.values.update(self._quoted(now_ms))
        self.values.update(self._derived(last))

    def _size(self, scale: float, lot: int) -> int:
        return lot * (1 + int(self.rng.expovariate(1 / scale)))

    def _quoted(self, now_ms: int) -> dict[str, Any]:
        if self.instrument.asset == "INDEX":
            return {}
        lot = self._quote_lot
        scale = max(1.0, self.instrument.size / lot)
        return {
            "bid_price": self.price(self.bid),
            "ask_price": self.price(self.bid + self.spread),
            "bid_size": self._size(scale, lot),
            "ask_size": self._size(scale, lot),
            "quote_time": now_ms,
            "bid_time": now_ms,
            "ask_time": now_ms,
        }

    def _derived(self, last: float) -> dict[str, Any]:
        values, it = self.values, self.instrument
        close, digits = values["close_price"], it.decimals
        net = round(last - close, digits)
        bid, ask = values.get("bid_price", last), values.get("ask_price", last)
        mark = last if bid <= last <= ask else round((bid + ask) / 2, digits + 1)
        # Forex has no percentage (protocol 4.5).
        percent = 0.0 if it.asset == "FOREX" else percent_change(net, close)
        derived = {"net_change": net, "percent_change": percent, "mark": mark}
        if it.asset in ("EQUITY", "OPTION"):
            mark_change = round(mark - close, digits + 1)
            derived |= {"mark_change": mark_change, "mark_percent_change": percent_change(mark_change, close)}
        if it.asset == "EQUITY":
            derived |= {
                "regular_market_last_price": last,
                "regular_market_last_size": values["last_size"],
                "regular_market_net_change": net,
                "regular_market_percent_change": percent,
                "regular_market_trade_time": values["trade_time"],
                **{f"{name}_fractional": float(values[name]) for name in _FRACTIONAL},
            }
        if it.asset == "OPTION":
            derived |= self._option_derived(last)
        return derived

    def _option_derived(self, last: float) -> dict[str, Any]:
        """What an option owes to its underlying, at the underlying's latest price."""
        it, values = self.instrument, self.values
        price = it.underlying_price if self._underlying is None else self._underlying.values["last_price"]
        intrinsic = round(max(0.0, price - it.strike if it.kind == "C" else it.strike - price), 4)
        return {
            "underlying_price": price,
            "money_intrinsic_value": intrinsic,
            "time_value": round(last - intrinsic, 4),
            **greeks(it.kind, price, it.strike, values["days_to_expiration"], values["implied_volatility"]),
        }

    def advance(self, now_ms: int) -> dict[str, Any]:
        """Move one step; returns the changed fields, at least one unless it is an index."""
        pull = (self.bid - self._home) / self._reach
        draw = self.rng.random()
        up = 0.25 * (1 - pull)
        self.bid += 1 if draw < up else -1 if draw < 0.5 else 0
        self.spread = 1 if self.rng.random() < 0.8 else 2
        new = self._quoted(now_ms)
        if self.instrument.asset == "INDEX" or self.rng.random() < 0.6:
            new.update(self._trade(now_ms))
        old = self.values
        changed = {name: value for name, value in new.items() if old.get(name) != value}
        old.update(changed)
        for name, value in self._derived(old["last_price"]).items():
            if old[name] != value:
                old[name] = changed[name] = value
        if not changed and "ask_size" in old:
            changed["ask_size"] = old["ask_size"] = old["ask_size"] + self._quote_lot
        return changed

    def _trade(self, now_ms: int) -> dict[str, Any]:
        price = self.price(self.bid + (self.spread if self.rng.random() < 0.5 else 0))
        size = 0 if self.instrument.asset == "INDEX" else self._size(2, self._trade_lot)
        self._into_bar(price, size, now_ms)
        return {
            "last_price": price,
            "last_size": size or None,
            "total_volume": self.values["total_volume"] + size,
            "trade_time": now_ms,
            "high_price": max(self.values["high_price"], price),
            "low_price": min(self.values["low_price"], price),
        }

    def _into_bar(self, price: float, size: int, now_ms: int) -> None:
        start = now_ms - now_ms % 60_000
        if self.bar is None or self.bar.start_ms != start:
            self.finished = self.bar
            self.bar = Bar(start, price, price, price, price, 0)
            self.bars.append(self.bar)
        self.bar.add(price, size)

    def take_bar(self, now_ms: int) -> Bar | None:
        """The minute that has just ended, once; None when nothing was traded in it."""
        if self.bar is not None and self.bar.start_ms + 60_000 <= now_ms:
            self.finished, self.bar = self.bar, None
        finished, self.finished = self.finished, None
        # An older one remains when its last follower has unsubscribed.
        just_ended = now_ms - now_ms % 60_000 - 60_000
        return finished if finished is not None and finished.start_ms == just_ended else None


class Market:
    """All quotes by key; a key that names no instrument gives None."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self._seed = seed
        self._clock = clock
        self._quotes: dict[str, Quote] = {}
        self._by_key: dict[str, Quote | None] = {}
        self._day = self.today()
        self._midnight = (0, 0)

    def now_ms(self) -> int:
        """The clock in milliseconds since the epoch."""
        return int(self._clock() * 1000)

    def today(self) -> dt.date:
        """The clock's date in New York."""
        return dt.datetime.fromtimestamp(self._clock(), EASTERN).date()

    def since_midnight_ms(self, at_ms: int) -> int:
        """Milliseconds since midnight in New York, the unit of the venues' times (protocol 4.6)."""
        start, end = self._midnight
        if not start <= at_ms < end:
            local = dt.datetime.fromtimestamp(at_ms / 1000, EASTERN)
            start = int(dt.datetime.combine(local.date(), dt.time(), EASTERN).timestamp()) * 1000
            # The shortest day of the year has 23 hours; a longer one is looked up twice.
            self._midnight = (start, start + 23 * 3_600_000)
        return at_ms - start

    def quote(self, key: str) -> Quote | None:
        """The quote of a key; the active contract shares its root's."""
        try:
            return self._by_key[key]
        except KeyError:
            found = self._by_key[key] = self._find(key)
            return found

    def _find(self, key: str) -> Quote | None:
        instrument = find_instrument(key, self._day)
        if instrument is None:
            return None
        root = find_instrument(instrument.product, self._day) if instrument.asset == "FUTURE" else None
        if root is not None and key == root.contract:
            return self.quote(root.key)
        quote = self._quotes.get(key)
        if quote is None:
            underlying = self.quote(instrument.product) if instrument.asset == "OPTION" else None
            quote = self._quotes[key] = Quote(instrument, self._seed, underlying)
            quote.open_day(self.now_ms())
        return quote

    def roll(self) -> dict[Quote, dict[str, Any]]:
        """Follow the clock to a new day; returns the changes of each root whose active contract rolled."""
        today = self.today()
        if today == self._day:
            return {}
        self._day = today
        self._by_key.clear()
        changed = {}
        for key, quote in self._quotes.items():
            it = quote.instrument
            if it.key != it.product or (new := active_contract(CATALOGUE[key], today)).contract == it.contract:
                continue
            # The root keeps its own key; only its contract changes.
            quote.instrument = new
            fields = contract_fields(new)
            changed[quote] = {name: value for name, value in fields.items() if quote.values.get(name) != value}
            quote.values.update(fields)
        return changed
