"""Events as rows of typed columns: ticks, bars, and books with one row for each level.

Pure. A column's kind is the type of its values: ``ms`` and ``us`` are moments since the epoch in those units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import orjson
from pydantic import BaseModel

from schwabstream.events import BarEvent, Channel, TickEvent

Kind = Literal["text", "int", "float", "bool", "ms", "us", "venues"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name and columns; the order of both is the order in files."""

    name: str
    columns: Mapping[str, Kind]


_COMMON: Final[dict[str, Kind]] = {"timestamp": "ms", "received": "us", "symbol": "text", "key": "text"}

_KINDS: Final[Mapping[object, Kind]] = {str: "text", int: "int", float: "float", bool: "bool"}
_NO_COLUMN: Final = frozenset(
    {"v", "type", "seq", "prev", "repeat", "received_us"}
)  # only useful in a stream, or under another name


def _columns(event: type[BaseModel]) -> dict[str, Kind]:
    """A column for each field of the event, the common ones first."""
    columns = dict(_COMMON)
    for name, field in event.model_fields.items():
        if name not in columns and name not in _NO_COLUMN:
            kind = (get_args(field.annotation) or (field.annotation,))[0]  # of a type that may be None as well
            columns[name] = "ms" if name.endswith("_time") else _KINDS[kind]
    return columns


TICKS: Final = Table("ticks", _columns(TickEvent))
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
BARS: Final = Table("bars", _columns(BarEvent))
TABLES: Final = {Channel.TICKS: TICKS, Channel.LEVEL2: BOOKS, Channel.BARS: BARS}

_EVENT_NAMES = {"received": "received_us"}


def rows(channel: Channel, event: Mapping[str, Any], number: int) -> Iterator[tuple[Any, ...]]:
    """The event as rows of its table; ``number`` groups the levels of one book."""
    if channel is Channel.LEVEL2:
        yield from _levels(event, number)
    else:
        yield tuple(event.get(_EVENT_NAMES.get(name, name)) for name in TABLES[channel].columns)


def _levels(event: Mapping[str, Any], number: int) -> Iterator[tuple[Any, ...]]:
    names = ("timestamp", "received_us", "symbol", "key", "service", "source")
    common = (*(event[name] for name in names), number)
    # A side may be JSON already (see ``market``).
    for side, written in (("bid", event["bids"]), ("ask", event["asks"])):
        for place, level in enumerate(orjson.loads(orjson.dumps(written)), 1):
            yield (*common, side, place, level["price"], level["size"], level["makers"], level["venues"])
