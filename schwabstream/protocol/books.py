"""Books: Schwab's numbered fields on the wire, and the levels of an event.

msgspec parses, checks and writes books by these declarations (docs/adr/0009, protocol 4.6). A book that does not match
them is refused whole, because half a book would be wrong. Frames belong to ``codec``, wanted symbols to ``market``.
"""

from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta, Struct, field

from schwabstream.protocol.values import whole

BookService = Literal["NYSE_BOOK", "NASDAQ_BOOK", "OPTIONS_BOOK", "FUTURES_BOOK"]

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # the range that every reader of the event can hold
_Amount = Int64 | float  # a whole number, perhaps with a decimal point
_Time = Int64 | float | str | bool | list[Any] | dict[str, Any] | None  # anything but an integer is ignored


class _WireMaker(Struct, gc=False):
    id: str = field(name="0")
    size: _Amount = field(name="1")
    time_ms: _Time = field(name="2", default=None)


class _WireLevel(Struct, gc=False):
    price: float = field(name="0")
    size: _Amount = field(name="1")
    makers: _Amount = field(name="2")
    venues: list[_WireMaker] = field(name="3")


class Book(Struct, gc=False):
    """One entry of a book service; an absent or null side is None, and ``time`` may have any type."""

    key: str
    time: _Time = field(name="1", default=None)
    bids: list[_WireLevel] | None = field(name="2", default=None)
    asks: list[_WireLevel] | None = field(name="3", default=None)


class _Venue(Struct, gc=False):
    id: str
    size: int
    time_ms: int | None


class _Level(Struct, gc=False):
    price: float
    size: int
    makers: int
    venues: list[_Venue]


_encode = msgspec.json.Encoder().encode
_price = attrgetter("price")


def read_book(entry: object) -> Book:
    """Convert one entry of a frame that the codec read part by part; raises ``ValueError`` for anything but a book."""
    return msgspec.convert(entry, Book)


def write_side(levels: list[_WireLevel] | None, *, descending: bool) -> orjson.Fragment:
    """The JSON of the levels in an event, with our names, best first.

    Sorts ``levels`` in place; raises ``TypeError`` for a size that is not a whole number.
    """
    if not levels:
        return _EMPTY
    levels.sort(key=_price, reverse=descending)
    return orjson.Fragment(
        _encode(
            [
                _Level(
                    level.price,
                    level.size if type(level.size) is int else whole(level.size),
                    level.makers if type(level.makers) is int else whole(level.makers),
                    [
                        _Venue(
                            maker.id,
                            maker.size if type(maker.size) is int else whole(maker.size),
                            maker.time_ms if type(maker.time_ms) is int else None,
                        )
                        for maker in level.venues
                    ],
                )
                for level in levels
            ]
        )
    )


_EMPTY = orjson.Fragment(b"[]")
