"""Events as rows of typed columns: ticks, bars, and books with one row for each level.

Pure. A column's kind says what its values are: ``ms`` and ``us`` are moments since the epoch in those units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from schwabstream.events import Channel

Kind = Literal["text", "int", "float", "bool", "ms", "us", "venues"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name and columns; the order of both is the order in files."""

    name: str
    columns: Mapping[str, Kind]


_COMMON: Final[dict[str, Kind]] = {"timestamp": "ms", "received": "us", "symbol": "text", "key": "text"}

TICKS: Final = Table(
    "ticks",
    {
        **_COMMON,
        "asset": "text",
        "contract": "text",
        "last_price": "float",
        "last_size": "int",
        "bid_price": "float",
        "bid_size": "int",
        "ask_price": "float",
        "ask_size": "int",
        "total_volume": "int",
        "open_price": "float",
        "high_price": "float",
        "low_price": "float",
        "close_price": "float",
        "net_change": "float",
        "mark": "float",
        "open_interest": "int",
        "trade_time": "ms",
        "quote_time": "ms",
        "is_trade": "bool",
        "delayed": "bool",
    },
)
BOOKS: Final = Table(
    "books",
    {
        **_COMMON,
        "service": "text",
        "source": "text",
        "book": "int",
        "side": "text",
        "level": "int",
        "price": "float",
        "size": "int",
        "makers": "int",
        "venues": "venues",
    },
)
BARS: Final = Table(
    "bars", {**_COMMON, "open": "float", "high": "float", "low": "float", "close": "float", "volume": "float"}
)
TABLES: Final = {Channel.TICKS: TICKS, Channel.LEVEL2: BOOKS, Channel.BARS: BARS}

_EVENT_NAMES = {"received": "received_us"}


def rows(channel: Channel, event: Mapping[str, Any], number: int) -> Iterator[tuple[Any, ...]]:
    """The event as rows of its table; ``number`` tells one book's levels from the next one's."""
    if channel is Channel.LEVEL2:
        yield from _levels(event, number)
    else:
        yield tuple(event.get(_EVENT_NAMES.get(name, name)) for name in TABLES[channel].columns)


def _levels(event: Mapping[str, Any], number: int) -> Iterator[tuple[Any, ...]]:
    names = ("timestamp", "received_us", "symbol", "key", "service", "source")
    common = (*(event[name] for name in names), number)
    # A side may be written already (see ``market``).
    for side, written in (("bid", event["bids"]), ("ask", event["asks"])):
        for place, level in enumerate(orjson.loads(orjson.dumps(written)), 1):
            yield (*common, side, place, level["price"], level["size"], level["makers"], level["venues"])
