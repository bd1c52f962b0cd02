"""Books: what is one, what is none, and what leaves, against the slow model's plain reading of the same."""

import json
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.protocol.books import Book, BookService, read_book, write_side
from schwabstream.protocol.codec import Batch, decode
from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.protocol.subscriptions import BOOK_SERVICES
from tests.support.slow_frames import integer
from tests.support.slow_model import Garbled, side, time_of_day

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, "", "5", [], {}, [7], 1.5, 7.0, -0.0, 1e19, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
)


def mostly(plausible: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One value in about twenty is odd."""
    return st.integers(0, 19).flatmap(lambda chance: plausible if chance else ODD)


sizes = st.integers(0, 2**63 - 1) | st.integers(0, 99).map(float)
prices = st.floats(-1e6, 1e6) | st.integers(-99, 99)
makers = st.fixed_dictionaries({"0": st.sampled_from(["NSDQ", "iexg", "Ä"]), "1": sizes}, optional={"2": mostly(sizes)})
levels = st.fixed_dictionaries(
    {"0": mostly(prices), "1": mostly(sizes), "2": sizes, "3": st.lists(makers | mostly(makers), max_size=3)},
    optional={"7": ODD},
)
sides = mostly(st.lists(levels, max_size=6))
books = st.fixed_dictionaries({"key": st.just("AMD")}, optional={"1": mostly(st.integers()), "2": sides, "3": sides})


def written(book: Book) -> list[list[dict[str, Any]]]:
    """Both sides as consumers get them."""
    both = (write_side(book.bids, descending=True), write_side(book.asks, descending=False))
    return [orjson.loads(orjson.dumps(each)) for each in both]


def slowly(entry: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The same by the slow model, each price with a point; raises ``Garbled``."""
    bids, asks, _ = side(entry.get("2")), side(entry.get("3")), time_of_day(entry.get("1"))
    for level in (*bids, *asks):
        level["price"] = float(level["price"])
    return [
        sorted(bids, key=lambda level: level["price"], reverse=True),
        sorted(asks, key=lambda level: level["price"]),
    ]


def in_frame(*entries: Any) -> bytes:
    """These entries as Schwab would send them, and so much beside that the codec reads them as books at once."""
    batch = {"service": "NASDAQ_BOOK", "timestamp": 7, "command": "SUBS", "content": entries, "beside": "x" * 400}
    return json.dumps({"data": [batch]}, ensure_ascii=False).encode()


@given(books)
def test_a_book_equals_that_of_the_slow_model(entry: dict[str, Any]) -> None:
    """Read at once with its frame or by itself, a book is the same, and refused for the same reasons."""
    (batch,) = decode(in_frame(entry))
    assert isinstance(batch, Batch)
    try:
        expected = slowly(json.loads(json.dumps(entry), parse_int=integer))
    except Garbled:
        expected = None
    for found in (*batch.content, orjson.loads(json.dumps(entry))):
        try:
            both = written(found if isinstance(found, Book) else read_book(found))
        except (TypeError, ValueError):
            assert expected is None
        else:
            assert json.dumps(both) == json.dumps(expected)


@pytest.mark.parametrize("descending", [True, False])
def test_equal_prices_keep_their_order(descending: bool) -> None:
    """Levels of one price stay in Schwab's order, on either side."""
    alike: list[dict[str, Any]] = [{"0": number % 3, "1": number, "2": 0, "3": []} for number in range(9)]
    book = read_book({"key": "AMD", "2": alike})
    found = orjson.loads(orjson.dumps(write_side(book.bids, descending=descending)))
    expected = sorted(alike, key=lambda level: level["0"], reverse=descending)
    assert [level["size"] for level in found] == [level["1"] for level in expected]


def test_large_sizes_are_exact() -> None:
    """A size that no float can hold is written as it came."""
    huge = 2**53 + 1
    book = read_book({"key": "AMD", "2": [{"0": 5.5, "1": huge, "2": huge, "3": [{"0": "A", "1": huge, "2": huge}]}]})
    venue = {"id": "A", "size": huge, "time_ms": huge}
    assert written(book)[0] == [{"price": 5.5, "size": huge, "makers": huge, "venues": [venue]}]


def test_what_is_read_is_what_is_subscribed() -> None:
    """The services whose frames are read as books are the book services."""
    assert frozenset(get_args(BookService)) == BOOK_SERVICES


def test_numbers_are_those_of_the_field_tables() -> None:
    """Each number is read as the tables define it (protocol 4.6)."""
    numbers = {"1": "book_time", "2": "bids", "3": "asks"}
    assert {str(each.number): each.name for each in FIELDS[Service.NASDAQ_BOOK] if each.number} == numbers
    book = read_book({"key": "AMD", "2": [{"0": 5.5, "1": 1, "2": 2, "3": [{"0": "A", "1": 3, "2": 4}]}]})
    venue = {"id": "A", "size": 3, "time_ms": 4}
    assert written(book) == [[{"price": 5.5, "size": 1, "makers": 2, "venues": [venue]}], []]


@pytest.mark.parametrize("number", ["0", "1", "2", "3"])
def test_each_field_of_a_level_is_needed(number: str) -> None:
    """A level without a price, a size, a count of makers or the makers is none."""
    level = {"0": 5.5, "1": 1, "2": 0, "3": []}
    assert read_book({"key": "AMD", "2": [level]})
    del level[number]
    with pytest.raises(ValueError):
        read_book({"key": "AMD", "2": [level]})
