"""One Redis stream as its readers use it: positions, entries as events, gaps, and patience with Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.consumer.streams.redis_stream import Entry, RedisStream
from schwabstream.consumer.streams.trimming import id_key
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel, StatusEvent
from tests.conftest import RedisServer
from tests.support.waiting import until

KEY = "market_data:stream:bars"
NOTHING_LOST = None


def add(server: RedisServer, *numbers: int, symbol: str = "/MNQ:XCME", key: str = "/MNQ") -> list[str]:
    """Add bars with these ``seq`` to the stream; returns their ids."""
    ids = []
    for number in numbers:
        event = {"v": 1, "type": "bar", "symbol": symbol, "key": key, "seq": number, "timestamp": 1, "received_us": 1}
        event |= dict.fromkeys(("open", "high", "low", "close", "volume"), 1)
        ids.append(server.client.xadd(KEY, {"symbol": symbol, "event": orjson.dumps(event).decode()}))
    return [str(each) for each in ids]


def count_of(gap: Any) -> int | None:
    """The number of events that a gap reports."""
    assert isinstance(gap.event, StatusEvent), gap
    return gap.event.count


@pytest.fixture
async def stream(redis_server: RedisServer) -> AsyncIterator[RedisStream]:
    """The stream of bars, for one symbol."""
    opened = RedisStream(redis_server.url, "market_data", Channel.BARS, ["/MNQ"])
    yield opened
    await opened.close()


async def test_a_reader_of_new_entries_starts_behind_the_newest(redis_server: RedisServer, stream: RedisStream) -> None:
    """``$`` is resolved once, to the newest id and its ``seq``; an id stays what it is; an empty stream starts at 0."""
    assert await stream.resolve("$") == ("0", None)
    *_, newest = add(redis_server, 41, 42)
    assert await stream.resolve("$") == (newest, 42)
    assert await stream.resolve("5-0") == ("5-0", None)


async def test_entries_come_after_a_position_in_batches(redis_server: RedisServer, stream: RedisStream) -> None:
    """A read returns at most a batch of what follows the position."""
    first, second, third = add(redis_server, 1, 2, 3)
    assert [raw[0].decode() for raw in await stream.after("0", 2)] == [first, second]
    assert [raw[0].decode() for raw in await stream.after(second, 2)] == [third]


async def test_an_entry_is_an_event_of_the_wanted_symbol(redis_server: RedisServer, stream: RedisStream) -> None:
    """Entries of other symbols, and what cannot be parsed as an event, are None."""
    add(redis_server, 1)
    add(redis_server, 2, symbol="AAPL", key="AAPL")
    redis_server.client.xadd(KEY, {"symbol": "/MNQ:XCME", "event": '{"symbol": "/MNQ:XCME", "key": "/MNQ"}'})
    mine, other, broken = [stream.entry(raw) for raw in await stream.after("0", 10)]
    assert isinstance(mine, Entry)
    assert (mine.event.symbol, mine.event.seq) == ("/MNQ:XCME", 1)
    assert (other, broken) == (None, None)


async def test_the_gap_counts_what_was_trimmed(redis_server: RedisServer, stream: RedisStream) -> None:
    """Between a trimmed position and the next entry lie as many events as their ``seq`` differ, less one."""
    first, *_ = add(redis_server, 1, 2, 3, 4, 5)
    redis_server.client.xtrim(KEY, maxlen=2, approximate=False)
    raw = (await stream.after(first, 1))[0]
    gap = await stream.trimmed_before(raw, first, 1)
    assert count_of(gap) == 2
    assert gap is not None
    assert id_key(gap.id) < id_key(raw[0].decode())


async def test_a_position_that_is_kept_lost_nothing(redis_server: RedisServer, stream: RedisStream) -> None:
    """As long as the entry at the position exists, a jump of ``seq`` behind it is not trimming."""
    first, _ = add(redis_server, 1, 9)
    (raw,) = await stream.after(first, 1)
    assert await stream.trimmed_before(raw, first, 1) is NOTHING_LOST
    assert await stream.trimmed_before(raw, "0", None) is NOTHING_LOST


async def test_a_position_without_a_number_gives_a_gap_without_a_count(
    redis_server: RedisServer, stream: RedisStream
) -> None:
    """Where the ``seq`` at the position is not known the gap is reported, its size is not."""
    first, *_ = add(redis_server, 1, 2, 3)
    redis_server.client.xtrim(KEY, maxlen=1, approximate=False)
    raw = (await stream.after(first, 1))[0]
    assert count_of(await stream.trimmed_before(raw, first, None)) is None


async def test_a_call_is_repeated_until_redis_is_back(redis_server: RedisServer, stream: RedisStream) -> None:
    """While Redis is away a patient call waits, and returns its result afterwards."""
    redis_server.kill()
    with capture_logs() as logs:
        call = asyncio.ensure_future(stream.patiently(stream.after, "0", 1))
        await until(lambda: logs)
        redis_server.start()
        add(redis_server, 7)
        found = await call
    assert [(each["log_level"], each["event"]) for each in (logs[0], logs[-1])] == [
        ("warning", "redis is away"),
        ("info", "redis is back"),
    ]
    entries = found or await until(lambda: stream.after("0", 1))  # the first answer may be older than the entry
    assert orjson.loads(entries[0][1][b"event"])["seq"] == 7


async def test_a_refusal_ends_the_patience(redis_server: RedisServer, stream: RedisStream) -> None:
    """A refusal of Redis, such as for a key of another type, is an error at once."""
    redis_server.client.set(KEY, "not a stream")
    with pytest.raises(RedisUnavailable, match="WRONGTYPE"):
        await stream.patiently(stream.after, "0", 1)
