"""What a frame means, said slowly and plainly: the reference that the fast path's bytes are held against.

It shares the field tables and the pydantic models with the program, and no code: the standard library's JSON, a scanner
that goes character by character, one plain dictionary per key. Rules are those of the contract and docs/protocol.md.
"""

from dataclasses import dataclass, field
from typing import Any

from schwabstream.events import BarEvent, Event, Level2Event, TickEvent
from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.protocol.symbols import Symbol
from schwabstream.protocol.values import Kind
from tests.support.slow_frames import read_frame

LEVEL_ONE_OF = {
    "EQUITY": "LEVELONE_EQUITIES",
    "OPTION": "LEVELONE_OPTIONS",
    "FUTURE": "LEVELONE_FUTURES",
    "FOREX": "LEVELONE_FOREX",
}
LEVEL_ONE_SERVICES = {*LEVEL_ONE_OF.values(), "LEVELONE_FUTURES_OPTIONS"}
BOOK_SERVICES = {"NYSE_BOOK", "NASDAQ_BOOK", "OPTIONS_BOOK", "FUTURES_BOOK"}
BAR_TIMES = {"CHART_FUTURES": "1", "CHART_EQUITY": "7"}
NOT_FROM_FIELDS = {
    "v",
    "type",
    "symbol",
    "key",
    "seq",
    "prev",
    "timestamp",
    "received_us",
    "asset",
    "is_trade",
    "repeat",
}
TICK_NAMES = set(TickEvent.model_fields) - NOT_FROM_FIELDS
MODELLED = {"delta", "gamma", "theta", "vega", "rho", "implied_volatility", "theoretical_value"}


# --- values ------------------------------------------------------------------------------------------------------


def worth(kind: Kind, value: object) -> object:
    """What a value is worth in a field of this kind; None when nothing."""
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else None
    if kind is Kind.CHAR and isinstance(value, int) and not isinstance(value, bool):
        return chr(value) if value in range(ord(" "), ord("~") + 1) else None
    if kind is Kind.CHAR:
        return value if isinstance(value, str) else None
    if kind is Kind.FLAG:
        return value if isinstance(value, bool) else None
    if kind is Kind.LIST:
        return value if isinstance(value, list) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return whole(value) if kind is Kind.INT else value


def whole(value: object) -> int | None:
    """An integer, be it written with a point; None for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class Garbled(Exception):
    """What arrived is not what it should be."""


def required(value: Any) -> Any:
    """The value, or the end of what it belongs to."""
    if value is None:
        raise Garbled
    return value


def short(value: Any) -> Any:
    """The value, unless it is an integer that not every reader can hold."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise Garbled
    return value


def time_of_day(value: Any) -> int | None:
    """The integer that a book gives as its time; anything else is unknown, and does no harm."""
    return short(value) if type(value) is int else None


def objects(values: Any) -> list[dict[str, Any]]:
    """The list of objects that these must be."""
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Garbled
    return values


def side(levels: Any) -> list[dict[str, Any]]:
    """One side of a book in our names."""
    return [
        {
            "price": required(worth(Kind.FLOAT, level.get("0"))),
            "size": required(whole(short(level.get("1")))),
            "makers": required(whole(short(level.get("2")))),
            "venues": venues(level.get("3")),
        }
        for level in ([] if levels is None else objects(levels))
    ]


def venues(makers: Any) -> list[dict[str, Any]]:
    """Who stands behind one level."""
    return [
        {
            "id": required(worth(Kind.TEXT, maker.get("0"))),
            "size": required(whole(short(maker.get("1")))),
            "time_ms": time_of_day(maker.get("2")),
        }
        for maker in objects(makers)
    ]


# --- the market --------------------------------------------------------------------------------------------------


@dataclass
class Known:
    """All that is known of one key."""

    symbol: Symbol
    aliases: list[str] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    timestamp: int = 0
    received_us: int = 0
    top_of_book: bool = False


class SlowMarket:
    """Events in the order they must reach Redis, by channel, with ``seq`` from 1 and the symbol's ``prev``."""

    def __init__(self, symbols: list[Symbol]) -> None:
        self.events: dict[str, list[Event]] = {"ticks": [], "level2": [], "bars": []}
        self._known: dict[str, Known] = {}
        self._seq = dict.fromkeys(self.events, 0)
        self._newest: dict[tuple[str, str], int] = {}
        for symbol in symbols:
            known = self._known.setdefault(symbol.key, Known(symbol))
            known.aliases.append(symbol.alias)
            if symbol.asset == "FUTURE" and symbol.key != symbol.root:
                known.named["contract"] = symbol.key

    def receive(self, frame: str | bytes, at_us: int) -> None:
        """Take in one frame."""
        for service, timestamp, content in read_frame(frame):
            frame_ms = timestamp or at_us // 1000
            for entry in content:
                key = entry.get("key") if isinstance(entry, dict) else None
                if not isinstance(key, str) or key not in self._known:
                    continue
                known = self._known[key]
                if service in LEVEL_ONE_SERVICES:
                    self._level_one(known, service, entry, frame_ms, at_us)
                elif service in BOOK_SERVICES:
                    self._book(known, service, entry, frame_ms, at_us)
                elif service in BAR_TIMES:
                    self._bar(known, service, entry, at_us)

    def begin_session(self) -> None:
        """Nothing is confirmed any more."""
        for known in self._known.values():
            known.fresh = False

    def use_top_of_book(self, key: str) -> None:
        """Schwab has no depth for this key."""
        known = self._known[key]
        if not known.top_of_book:
            known.top_of_book = True
            if known.received_us:
                self._top(known)

    def repeat(self, key: str) -> None:
        """The last tick once more."""
        self._tick(self._known[key], is_trade=False, repeat=True)

    def _level_one(self, known: Known, service: str, entry: dict[str, Any], frame_ms: int, at_us: int) -> None:
        fields = {str(each.number): each for each in FIELDS[Service(service)] if each.number}
        before = known.named.get("trade_time")
        changed = {
            fields[number].name: worth(fields[number].kind, entry[number]) for number in entry if number in fields
        }
        if "delayed" in entry:
            changed["delayed"] = worth(Kind.FLAG, entry["delayed"])
        if "active_contract" in changed and known.named.get("contract") != known.symbol.key:
            changed["contract"] = changed["active_contract"]
        for name in MODELLED & set(changed):
            changed[name] = None if changed[name] == -999 else changed[name]
        known.named.update(changed)
        if known.fresh and "assetMainType" not in entry:
            is_trade = any(changed.get(name) is not None for name in ("last_price", "last_size", "trade_time"))
        else:
            is_trade = before is not None and (known.named.get("trade_time") or 0) > before
        known.fresh = True
        times = [known.named.get(name) or 0 for name in ("trade_time", "quote_time")]
        known.timestamp, known.received_us = max(times) if max(times) > 0 else frame_ms, at_us
        self._tick(known, is_trade=is_trade, repeat=False)
        if known.top_of_book and {"bid_price", "bid_size", "ask_price", "ask_size"} & set(changed):
            self._top(known)

    def _tick(self, known: Known, *, is_trade: bool, repeat: bool) -> None:
        prices = [known.named.get(name) for name in ("bid_price", "ask_price")]
        if known.named.get("last_price") is not None or None not in prices:
            named = {name: value for name, value in known.named.items() if name in TICK_NAMES}
            self._emit("ticks", known, known.timestamp, known.received_us, "tick",
                       **named, asset=str(known.symbol.asset), is_trade=is_trade, repeat=repeat)  # fmt: skip

    def _top(self, known: Known) -> None:
        sides: dict[str, Any] = {}
        for name, which in (("bids", "bid"), ("asks", "ask")):
            price, size = known.named.get(f"{which}_price"), known.named.get(f"{which}_size")
            there = price is not None and bool(price or size)
            sides[name] = [{"price": price, "size": size or 0, "makers": 0, "venues": []}] if there else []
        service = LEVEL_ONE_OF[known.symbol.asset]
        self._emit("level2", known, known.timestamp, known.received_us, "level2",
                   **sides, service=service, source="top_of_book")  # fmt: skip

    def _book(self, known: Known, service: str, entry: dict[str, Any], frame_ms: int, at_us: int) -> None:
        try:
            bids, asks, time = side(entry.get("2")), side(entry.get("3")), time_of_day(entry.get("1"))
        except Garbled:
            return
        known.top_of_book = False
        timestamp = time if time is not None and time > 0 else frame_ms
        bids = sorted(bids, key=lambda level: level["price"], reverse=True)
        asks = sorted(asks, key=lambda level: level["price"])
        self._emit("level2", known, timestamp, at_us, "level2", bids=bids, asks=asks, service=service, source="book")

    def _bar(self, known: Known, service: str, entry: dict[str, Any], at_us: int) -> None:
        start = entry.get(BAR_TIMES[service])
        prices = [worth(Kind.FLOAT, entry.get(number)) for number in "23456"]
        if type(start) is int and start > 0 and None not in prices:
            named = dict(zip(("open", "high", "low", "close", "volume"), prices, strict=True))
            if service == "CHART_EQUITY":
                named |= {"sequence": whole(entry.get("1")), "chart_day": whole(entry.get("8"))}
            self._emit("bars", known, start, at_us, "bar", **named)

    def _emit(self, channel: str, known: Known, timestamp: int, at_us: int, kind: str, **fields: Any) -> None:
        models: dict[str, type[TickEvent | Level2Event | BarEvent]] = {
            "tick": TickEvent,
            "level2": Level2Event,
            "bar": BarEvent,
        }
        for alias in known.aliases:
            self._seq[channel] += 1
            number, before = self._seq[channel], self._newest.get((channel, alias), 0)
            self._newest[channel, alias] = number
            common = {"symbol": alias, "key": known.symbol.key, "seq": number, "prev": before, "type": kind}
            event = models[kind].model_validate({**common, "timestamp": timestamp, "received_us": at_us, **fields})
            self.events[channel].append(event)
