"""Readers of a stream on the next master, which lacks the newest entries: each event once, in order.

One server plays both masters: its connections are cut, and what the next master would not have is deleted.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from schwabstream.consumer import Entry, GroupReader, RawEntry, read_stream
from schwabstream.consumer.repeats import RUN_APART
from schwabstream.events import Channel, StatusEvent
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

STREAM = "market_data:stream:bars"


def add(server: RedisServer, *numbers: int, at_ms: int | None = None, symbol: str = "/MNQ") -> list[str]:
    """Add bars with these ``seq``; ``at_ms`` is the server's clock, which may be behind."""
    ids = []
    for number in numbers:
        event = {"v": 1, "type": "bar", "symbol": symbol, "key": symbol, "seq": number, "timestamp": 1}
        event |= {"received_us": 1} | dict.fromkeys(("open", "high", "low", "close", "volume"), 1)
        fields: dict[Any, Any] = {"symbol": symbol, "event": orjson.dumps(event).decode()}
        ids.append(server.client.xadd(STREAM, fields, id="*" if at_ms is None else f"{at_ms}-{number}"))
    return [str(each) for each in ids]


def lose(server: RedisServer, *ids: str) -> None:
    """Let the next master be without these entries, with the ids that they had still to be given."""
    entries: Any = server.client.xrange(STREAM)
    pipe = server.client.pipeline()
    pipe.delete(STREAM)
    for entry_id, fields in entries:
        if entry_id not in ids:
            pipe.xadd(STREAM, fields, id=entry_id)
    pipe.execute()


def cut(server: RedisServer) -> None:
    """Cut every connection but this one."""
    server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def blocked(server: RedisServer) -> bool:
    """Whether a reader waits for entries."""
    return bool(server.client.info("clients")["blocked_clients"])


def looks(server: RedisServer) -> int:
    """How often readers looked for their place."""
    return int(server.client.info("commandstats")["cmdstat_xrevrange"]["calls"])


async def take(entries: AsyncIterator[Entry] | GroupReader, count: int) -> list[Entry]:
    """The next entries."""
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(entries) for _ in range(count)]


def numbers(entries: list[Entry]) -> list[int]:
    """Their sequence numbers."""
    return [entry.event.seq for entry in entries]


@pytest.mark.parametrize("at_ms", [None, 2_000], ids=["clock ahead", "clock behind"])
async def test_what_is_written_again_comes_once(redis_server: RedisServer, at_ms: int | None) -> None:
    """A stream's reader passes over events written again and misses none, whatever the next master's clock shows."""
    add(redis_server, 1, 2, at_ms=1_000)
    gone = add(redis_server, 3, 4, at_ms=3_000)
    async with contextlib.aclosing(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url)) as entries:
        assert numbers(await take(entries, 4)) == [1, 2, 3, 4]
        lose(redis_server, *gone)
        add(redis_server, 3, 4, 5, at_ms=at_ms)
        cut(redis_server)
        assert numbers(await take(entries, 1)) == [5]
        add(redis_server, 6, at_ms=at_ms)
        assert numbers(await take(entries, 1)) == [6]


async def test_a_replica_that_is_behind_gives_nothing_twice(redis_server: RedisServer) -> None:
    """On a server without the newest entries a reader waits for those that follow what it has read."""
    add(redis_server, 1, at_ms=1_000)
    gone = add(redis_server, 2, 3, at_ms=2_000)
    async with contextlib.aclosing(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url)) as entries:
        await take(entries, 3)
        waiting = asyncio.ensure_future(take(entries, 1))
        await until(lambda: blocked(redis_server))
        lose(redis_server, *gone)
        before = looks(redis_server)
        cut(redis_server)
        await until(lambda: looks(redis_server) > before and blocked(redis_server))
        add(redis_server, 2, 3, 4, at_ms=2_000)
        assert numbers(await waiting) == [4]


async def test_what_an_earlier_streamer_writes_into_an_emptied_redis_is_not_missed(redis_server: RedisServer) -> None:
    """If it returns first, its new events are below those of the later one, and come; what it writes again does not."""
    later = RUN_APART * 5
    add(redis_server, 1, 2, later, at_ms=1_000)
    async with contextlib.aclosing(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url)) as entries:
        assert numbers(await take(entries, 3)) == [1, 2, later]
        redis_server.client.delete(STREAM)
        add(redis_server, 2, 3, 4, at_ms=2_000)
        add(redis_server, later + 1, at_ms=3_000)
        cut(redis_server)
        assert numbers(await take(entries, 3)) == [3, 4, later + 1]


async def test_trimming_during_an_outage_is_reported_with_its_count(redis_server: RedisServer) -> None:
    """When everything that a reader had read is trimmed during an outage, the gap has its exact count."""
    add(redis_server, *range(1, 11))
    async with contextlib.aclosing(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url)) as entries:
        await take(entries, 10)
        add(redis_server, *range(11, 31))
        redis_server.client.xtrim(STREAM, maxlen=5, approximate=False)
        cut(redis_server)
        lost, *kept = await take(entries, 6)
        status = lost.event
        assert isinstance(status, StatusEvent)
        assert (status.detail, status.count) == ("trimmed", 15)
        assert numbers(kept) == list(range(26, 31))


async def test_an_id_that_a_new_master_does_not_know_yet_is_resumed(redis_server: RedisServer) -> None:
    """Resuming after an id above the newest begins after the newest, and does not wait for that id."""
    add(redis_server, 1, at_ms=1_000)
    resumed = read_stream(Channel.BARS, from_id="5000-0", redis_url=redis_server.url)
    async with contextlib.aclosing(resumed) as entries:
        waiting = asyncio.ensure_future(take(entries, 1))
        await until(lambda: blocked(redis_server))
        add(redis_server, 2, at_ms=2_000)
        assert numbers(await waiting) == [2]


async def test_a_group_gets_an_event_that_is_written_again_once(redis_server: RedisServer) -> None:
    """What was acknowledged before is acknowledged again, what is open is acknowledged with its first entry."""
    add(redis_server, 1)
    gone = add(redis_server, 2, 3)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        first, second, third = await take(reader, 3)
        await reader.acknowledge(first.id, second.id)
        await reader.flush()
        redis_server.client.xdel(STREAM, *gone)
        add(redis_server, 2, 3, 4)
        (fourth,) = await take(reader, 1)
        assert numbers([fourth]) == [4]
        await reader.flush()
        assert redis_server.client.xpending(STREAM, "desk")["pending"] == 3  # both entries of 3, and 4
        await reader.acknowledge(third.id, fourth.id)
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 0


async def test_a_group_that_is_older_there_repeats_nothing(redis_server: RedisServer) -> None:
    """Entries that the next master's group has not handed out yet are passed over by the consumer that had them."""
    ids = add(redis_server, 1, 2, 3, 4)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        taken = await take(reader, 4)
        await reader.acknowledge(*(entry.id for entry in taken[:3]))
        await reader.flush()
        redis_server.client.xgroup_setid(STREAM, "desk", ids[0])
        cut(redis_server)
        add(redis_server, 5)
        (fifth,) = await take(reader, 1)
        assert numbers([fifth]) == [5]
        await reader.acknowledge(taken[3].id, fifth.id)
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 0


async def test_lost_acknowledgements_are_made_again(redis_server: RedisServer) -> None:
    """An acknowledged entry that is open on the next master is acknowledged there when the connection is new."""
    (only,) = add(redis_server, 1)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        await reader.acknowledge(*(entry.id for entry in await take(reader, 1)))
        await reader.flush()
        redis_server.client.xclaim(STREAM, "desk", "one", 0, [only], force=True)
        cut(redis_server)
        add(redis_server, 2)
        assert numbers(await take(reader, 1)) == [2]
        waiting = asyncio.ensure_future(take(reader, 1))
        await until(lambda: redis_server.client.xpending_range(STREAM, "desk", only, only, 1) == [])
        add(redis_server, 3)
        assert numbers(await waiting) == [3]


@pytest.mark.parametrize("start", ["0", "$"])
async def test_a_group_that_is_missing_there_goes_on(redis_server: RedisServer, start: str) -> None:
    """A group that the next master lacks begins again at the oldest open event, and nothing comes twice."""
    add(redis_server, 0)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, start=start) as reader:
        add(redis_server, 1, 2, 3)
        taken = await take(reader, 4 if start == "0" else 3)
        await reader.acknowledge(taken[-3].id)
        await reader.flush()
        redis_server.client.xgroup_destroy(STREAM, "desk")
        add(redis_server, 4, 5)
        assert numbers(await take(reader, 2)) == [4, 5]


async def test_a_new_group_that_is_missing_there_misses_nothing(redis_server: RedisServer) -> None:
    """A group that began at the newest entry and is missing before its first event begins at the same place."""
    add(redis_server, 1)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, start="$") as reader:
        redis_server.client.xgroup_destroy(STREAM, "desk")
        add(redis_server, 2, 3)
        assert numbers(await take(reader, 2)) == [2, 3]


async def test_raw_entries_are_what_was_published(redis_server: RedisServer) -> None:
    """A raw reader gets ids, symbols and JSON as they are, of its symbols only, and gaps as JSON of a StatusEvent."""
    add(redis_server, 1, symbol="AAPL")
    ids = add(redis_server, 2, 3)
    published: Any = redis_server.client.xrange(STREAM)
    payloads = [fields["event"].encode() for _, fields in published]
    async with GroupReader(Channel.BARS, "desk", "one", "/mnq", redis_url=redis_server.url, raw=True) as reader:
        async with asyncio.timeout(DEADLINE_S):
            assert await anext(reader) == RawEntry(ids[0], "/MNQ", payloads[1])
            redis_server.client.xtrim(STREAM, maxlen=1, approximate=False)
            assert await anext(reader) == RawEntry(ids[1], "/MNQ", payloads[2])
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, raw=True) as reader:
        async with asyncio.timeout(DEADLINE_S):
            lost = await anext(reader)
    gap = orjson.loads(lost.payload)
    assert (lost.symbol, gap["type"], gap["state"], gap["detail"], gap["count"]) == ("", "status", "gap", "trimmed", 1)
    stream = read_stream(Channel.BARS, raw=True, from_id="0", redis_url=redis_server.url)
    async with contextlib.aclosing(stream) as entries, asyncio.timeout(DEADLINE_S):
        assert await anext(entries) == RawEntry(ids[1], "/MNQ", payloads[2])
