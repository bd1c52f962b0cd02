"""Whole books, from Schwab's numbered fields to the levels of an event; what a book is, is said here and nowhere else.

The declarations are read by msgspec, which parses, checks and writes by them (docs/adr/0009, protocol 4.6). A book that
is not what they say is refused whole: half a book would be a wrong one. Whether a symbol is wanted is the market's
business, and frames are the codec's.
"""

from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta, Struct, field

from schwabstream.protocol.fields import whole

BookService = Literal["NYSE_BOOK", "NASDAQ_BOOK", "OPTIONS_BOOK", "FUTURES_BOOK"]

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # what any reader of the event can hold
_Amount = Int64 | float  # whole, but perhaps written with a point
_Time = Int64 | float | str | bool | list[Any] | dict[str, Any] | None  # only an integer is one; others do no harm


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
    """One entry of a book service; a side that is absent or null is None, ``time`` may be anything."""

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
    """The entry of a frame that the codec could not read as a book at once; raises ``ValueError`` when it is none."""
    return msgspec.convert(entry, Book)


def write_side(levels: list[_WireLevel] | None, *, descending: bool) -> orjson.Fragment:
    """The levels under our names, best first, as the JSON they have in the event.

    Sorts ``levels`` in place; raises ``TypeError`` for a size that is no whole number.
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
