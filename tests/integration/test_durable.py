"""Durable reading from a real Redis: resuming, groups, crashes, restarts."""

import asyncio
import contextlib
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from schwabstream.durable import Entry, GroupReader, read_stream
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

STREAM = "market_data:stream:bars"


def add(server: RedisServer, *numbers: int, symbol: str = "/MNQ") -> list[str]:
    """Add bars to the stream as the streamer does; returns their ids."""
    ids = []
    for number in numbers:
        event = {
            "v": 1,
            "type": "bar",
            "symbol": symbol,
            "key": symbol,
            "seq": number,
            "timestamp": 1,
            "received_us": 1,
        }
        event |= dict.fromkeys(("open", "high", "low", "close", "volume"), 1)
        ids.append(str(server.client.xadd(STREAM, {"symbol": symbol, "event": orjson.dumps(event).decode()})))
    return ids


async def take(entries: AsyncIterator[Entry] | GroupReader, count: int) -> list[Entry]:
    """The next entries."""
    taken: list[Entry] = []
    async with asyncio.timeout(15):
        async for entry in entries:
            taken.append(entry)
            if len(taken) == count:
                break
    return taken


def numbers(entries: list[Entry]) -> list[int]:
    """Their sequence numbers."""
    return [entry.event.seq for entry in entries]


async def test_a_stream_is_read_from_an_id_on(redis_server: RedisServer) -> None:
    """All that is kept, then what comes; giving the last id seen resumes behind it; others' symbols are passed over."""
    ids = add(redis_server, 1, 2)
    add(redis_server, 3, symbol="AAPL")
    redis_server.client.xadd(STREAM, {"symbol": "/MNQ", "event": "nonsense"})
    add(redis_server, 4)
    async with contextlib.aclosing(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url)) as entries:
        assert numbers(await take(entries, 4)) == [1, 2, 3, 4]
        add(redis_server, 5)
        assert numbers(await take(entries, 1)) == [5]
    resumed = read_stream(Channel.BARS, "/MNQ", from_id=ids[1], redis_url=redis_server.url)
    async with contextlib.aclosing(resumed) as entries:
        assert numbers(await take(entries, 2)) == [4, 5]


async def test_from_now_on_misses_nothing_between_two_reads(redis_server: RedisServer) -> None:
    """``$`` means what comes after the start, also while nobody is reading."""
    add(redis_server, 1)
    async with contextlib.aclosing(read_stream(Channel.BARS, redis_url=redis_server.url)) as entries:
        first = asyncio.ensure_future(take(entries, 1))
        while not redis_server.client.client_list(_type="normal")[1:]:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        add(redis_server, 2, 3)
        assert numbers(await first) == [2]
        add(redis_server, 4)
        assert numbers(await take(entries, 2)) == [3, 4]


async def test_what_was_not_acknowledged_comes_again_first(redis_server: RedisServer) -> None:
    """After a crash a consumer gets its open entries in order, then the rest; acknowledged ones never again."""
    add(redis_server, *range(1, 11))
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, batch=6) as reader:
        taken = await take(reader, 5)
        assert numbers(taken) == [1, 2, 3, 4, 5]
        assert await reader.acknowledge(taken[0].id, taken[2].id) == 2
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, batch=6) as reader:
        assert numbers(await take(reader, 8)) == [2, 4, 5, 6, 7, 8, 9, 10]


async def test_another_consumer_takes_over_what_lies_idle(redis_server: RedisServer) -> None:
    """What a dead consumer was given goes to a living one once it has lain idle; until then each has its own."""
    add(redis_server, *range(1, 7))
    async with GroupReader(Channel.BARS, "desk", "dead", redis_url=redis_server.url, batch=3) as dead:
        await take(dead, 1)
    async with GroupReader(Channel.BARS, "desk", "alive", redis_url=redis_server.url, idle_ms=300) as alive:
        assert numbers(await take(alive, 6)) == [4, 5, 6, 1, 2, 3]


async def test_unwanted_and_broken_entries_do_not_come_back(redis_server: RedisServer) -> None:
    """What is passed over counts as done, so that it does not stay open for ever."""
    add(redis_server, 1, symbol="AAPL")
    redis_server.client.xadd(STREAM, {"symbol": "/MNQ", "event": "{}"})
    add(redis_server, 2)
    async with GroupReader(Channel.BARS, "desk", "one", "/MNQ", redis_url=redis_server.url) as reader:
        taken = await take(reader, 1)
        await reader.acknowledge(taken[0].id)
        assert numbers(taken) == [2]
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 0


async def test_entries_trimmed_away_are_let_go(redis_server: RedisServer) -> None:
    """An open entry that the stream no longer holds does not stop the reader."""
    ids = add(redis_server, 1, 2)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        await take(reader, 2)
    redis_server.client.xdel(STREAM, ids[0])
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        assert numbers(await take(reader, 1)) == [2]


async def test_a_redis_that_lost_everything_is_read_on(redis_server: RedisServer) -> None:
    """A restart without persistence takes the group; it is made again and reading goes on."""
    add(redis_server, 1)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        taken = await take(reader, 1)
        redis_server.kill()
        redis_server.start()
        add(redis_server, 2)
        assert numbers(await take(reader, 1)) == [2]
        with contextlib.suppress(RedisUnavailable):
            assert await reader.acknowledge(taken[0].id) == 0


async def test_without_redis_it_says_so_at_once(redis_server: RedisServer) -> None:
    """No Redis at the start is an error, for a stream and for a group."""
    redis_server.kill()
    with pytest.raises(RedisUnavailable):
        await take(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url), 1)
    with pytest.raises(RedisUnavailable):
        async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url):
            pass


SCRIPT = """
import asyncio, sys
from schwabstream.durable import GroupReader
from schwabstream.events import Channel

async def main() -> None:
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=sys.argv[1], batch=7) as reader:
        async for entry in reader:
            print(entry.event.seq, flush=True)
            if entry.event.seq % 3:
                await reader.acknowledge(entry.id)

asyncio.run(main())
"""


def test_a_killed_process_goes_on_where_it_acknowledged(redis_server: RedisServer, tmp_path: Path) -> None:
    """Killed in the middle and started again, a reader gets exactly what it had not acknowledged, in order."""
    script = tmp_path / "reader.py"
    script.write_text(textwrap.dedent(SCRIPT))
    ids = add(redis_server, *range(1, 101))
    runs = []
    for end in (40, 100):
        command = [sys.executable, str(script), redis_server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            run = []
            for line in process.stdout:
                run.append(int(line))
                if run[-1] == end:
                    process.kill()
        while len(redis_server.client.client_list()) > 1:
            time.sleep(0.01)  # what the killed process had sent is still being read
        open_ids = {each["message_id"] for each in redis_server.client.xpending_range(STREAM, "desk", "-", "+", 200)}
        given = ids.index(redis_server.client.xinfo_groups(STREAM)[0]["last-delivered-id"]) + 1
        runs.append((run, [number for number, each in enumerate(ids, 1) if each in open_ids or number > given]))
    assert runs[0][0][:40] == list(range(1, 41))
    assert runs[1][0] == runs[0][1]
    assert all(number % 3 == 0 for number in runs[1][1] if number < 95)
