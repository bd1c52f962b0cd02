"""Seeded synthetic frames in Schwab's own form: the same arguments give the same bytes, everywhere.

Futures and equities, first a snapshot of each symbol, then changes (protocol 3.5), and whole books with venues
(protocol 4.6). Event number ``n`` has the quote or book time ``ID_BASE + n``, which identifies it in every
later form. All other times are earlier, so this one is also the timestamp of the published event.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ID_BASE = 1_715_000_000_000
FRAME_MS = ID_BASE - 50_408_000
FIND_ID = re.compile(rb"17150\d{8}")

_FUTURES_SHARE = 0.6
_BOOK_SHARE = 0.08
_VENUES = ("NSDQ", "ARCX", "BATX", "EDGX", "IEXG", "MEMX", "NYSE")
_MONTHS = "FGHJKMNQUVXZ"
_ROOTS = ("MNQ", "MES", "ES", "NQ", "CL", "GC")
_YEARS = range(30, 60)


class Workload(StrEnum):
    """What is in the frames: level 1 with 1 to 20 entries, with one entry, one book each, or level 1 and 8 % books."""

    L1 = "l1"
    ONE = "one"
    BOOK = "book"
    MIX = "mix"


@dataclass(frozen=True, slots=True)
class Frame:
    """One text frame and how many events are in it."""

    payload: bytes
    events: int


def symbols(count: int) -> tuple[list[str], list[str]]:
    """``count`` symbols: a fifth futures contracts, the rest equities; at least one of each."""
    contracts = [f"/{root}{month}{year}" for year in _YEARS for root in _ROOTS for month in _MONTHS]
    futures = contracts[: max(1, count // 5)]
    equities = (["AAPL", "MSFT", "NVDA", "AMZN"] + [f"Z{number:04d}" for number in range(count)])[
        : max(1, count - len(futures))
    ]
    return futures, equities


def frames(
    workload: Workload, events: int, symbol_count: int = 200, seed: int = 7, *, continued: bool = False
) -> Iterator[Frame]:
    """Frames with ``events`` events in all, over ``symbol_count`` symbols.

    ``continued`` starts where a call without it ends: almost every symbol has had its snapshot.
    """
    maker = _Maker(symbol_count, seed)
    for end in (events, 2 * events) if continued else (events,):
        while maker.made < end:
            frame = maker.frame(workload, end - maker.made)
            if not continued or end > events:
                yield frame


class _Maker:
    """Prices that walk at random, and the entries that report them."""

    def __init__(self, symbol_count: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._futures, self._equities = symbols(symbol_count)
        self._prices: dict[str, float] = {}
        self.made = 0

    def frame(self, workload: Workload, at_most: int) -> Frame:
        chance = self._random
        if workload is Workload.BOOK or (workload is Workload.MIX and chance.random() < _BOOK_SHARE):
            service, content = "NASDAQ_BOOK", [self._book()]
        else:
            futures = chance.random() < _FUTURES_SHARE
            service = "LEVELONE_FUTURES" if futures else "LEVELONE_EQUITIES"
            entries = 1 if workload is Workload.ONE else min(at_most, chance.randint(1, 20))
            content = [self._level_one(futures=futures) for _ in range(entries)]
        batch = {"service": service, "timestamp": FRAME_MS, "command": "SUBS", "content": content}
        return Frame(json.dumps({"data": [batch]}, separators=(",", ":")).encode(), len(content))

    def _next_id(self) -> int:
        self.made += 1
        return ID_BASE + self.made - 1

    def _level_one(self, *, futures: bool) -> dict[str, Any]:
        chance = self._random
        key = chance.choice(self._futures if futures else self._equities)
        tick = 0.25 if futures else 0.01
        before = self._prices.get(key)
        last = round((before or (18000.25 if futures else 180.0)) + chance.choice((-1, 0, 1)) * tick, 2)
        self._prices[key] = last
        full: dict[str, Any] = {"1": last, "2": round(last + tick, 2), "3": last}
        full |= {"4": chance.randint(1, 60), "5": chance.randint(1, 60), "8": 100_000 + self.made}
        full |= {"9": chance.randint(1, 9)}
        full |= {"19": 15.25, "24": last} if futures else {"18": 1.5, "33": last}
        quote_time = "10" if futures else "34"
        if before is None:
            head = {"key": key, "delayed": False, "assetMainType": "FUTURE" if futures else "EQUITY"}
            return head | full | _snapshot(last, futures=futures) | {quote_time: self._next_id()}
        changed = {number: value for number, value in full.items() if chance.random() < 0.55} or {"1": last}
        return {"key": key, **changed, quote_time: self._next_id()}

    def _book(self) -> dict[str, Any]:
        key = self._random.choice(self._equities)
        return {"key": key, "1": self._next_id(), "2": self._side(-1), "3": self._side(1)}

    def _side(self, sign: int) -> list[dict[str, Any]]:
        chance, levels = self._random, []
        for distance in range(1, chance.randint(10, 20) + 1):
            makers = [
                {"0": venue, "1": chance.randint(1, 20) * 100, "2": 35_000_000 + chance.randrange(10_000_000)}
                for venue in chance.sample(_VENUES, chance.randint(1, 6))
            ]
            size = sum(maker["1"] for maker in makers)
            levels.append({"0": round(180 + sign * 0.01 * distance, 2), "1": size, "2": len(makers), "3": makers})
        return levels


def _snapshot(last: float, *, futures: bool) -> dict[str, Any]:
    """What only the first entry of a symbol has."""
    traded = FRAME_MS - 1000
    if futures:
        prices = {"12": last + 9, "13": last - 9, "14": last - 1, "18": last - 2}
        return prices | {"16": "Synthetic future", "21": "XCME", "11": traded}
    prices = {"10": last + 9, "11": last - 9, "12": last - 1, "17": last - 2}
    return prices | {"15": "Synthetic stock", "25": "NASDAQ", "35": traded}
