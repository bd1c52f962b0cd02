"""The hash of instruments: what Redis lacks is written once, and the newest of each symbol."""

from typing import Any

import hiredis
import orjson

from schwabstream.publishing.queue.instruments import InstrumentHash


def event(symbol: str, **fields: Any) -> dict[str, Any]:
    """The part of an InstrumentEvent that matters here."""
    return {"symbol": symbol, **fields}


def commands(found: InstrumentHash) -> list[list[Any]]:
    """The commands that it would send now, as Redis reads them: the events decoded."""
    reader = hiredis.Reader()
    reader.feed(b"".join(found.load()))
    read: list[list[Any]] = []
    while (words := reader.gets()) is not False:
        assert isinstance(words, list)
        pairs = zip(words[2::2], map(orjson.loads, words[3::2]), strict=True)
        read.append([*words[:2], *(part for pair in pairs for part in pair)])
    return read


def test_the_newest_of_each_symbol_is_written_once() -> None:
    """One HSET has the newest event of each symbol; once written, nothing is left to write."""
    found = InstrumentHash("p")
    found.add([event("AAPL", tick=1), event("MSFT"), event("AAPL", tick=2)])
    assert commands(found) == [[b"HSET", b"p:instruments", b"AAPL", event("AAPL", tick=2), b"MSFT", event("MSFT")]]
    assert found.in_flight
    found.written()
    assert commands(found) == []
    assert not found.in_flight


def test_what_was_not_written_is_written_with_the_next() -> None:
    """Events that Redis refused or never received go out again, unless a newer event of their symbol exists."""
    found = InstrumentHash("p")
    found.add([event("AAPL", tick=1), event("MSFT", tick=1)])
    found.load()
    found.add([event("MSFT", tick=2)])
    assert commands(found) == [
        [b"HSET", b"p:instruments", b"AAPL", event("AAPL", tick=1), b"MSFT", event("MSFT", tick=2)]
    ]


def test_what_is_added_while_a_batch_is_in_flight_is_not_lost() -> None:
    """An event that comes after the batch was sent stays queued when the batch is confirmed."""
    found = InstrumentHash("p")
    found.add([event("AAPL", tick=1)])
    found.load()
    found.add([event("AAPL", tick=2)])
    found.written()
    assert commands(found) == [[b"HSET", b"p:instruments", b"AAPL", event("AAPL", tick=2)]]
