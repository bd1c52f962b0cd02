"""Durable reading from a real Redis: resuming, groups, crashes, restarts."""

import asyncio
import contextlib
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog

from schwabstream.consumer import Entry, GroupReader, read_stream
from schwabstream.consumer.streams.trimming import id_key
from schwabstream.errors import RedisUnavailable, SymbolError
from schwabstream.events import Channel, StatusEvent
from tests.support.waiting import DEADLINE_S, block_until, until

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

STREAM = "market_data:stream:bars"


def add(server: RedisServer, *numbers: int, symbol: str = "/MNQ", trim_to: int | None = None) -> list[str]:
    """Add bars to the stream in one transaction, as the streamer does; returns their ids."""
    pipe = server.client.pipeline()
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
        fields: dict[Any, Any] = {"symbol": symbol, "event": orjson.dumps(event).decode()}
        pipe.xadd(STREAM, fields, maxlen=trim_to, approximate=False)
    return [str(each) for each in pipe.execute()]


async def take(entries: AsyncIterator[Entry] | GroupReader, count: int) -> list[Entry]:
    """The next entries."""
    taken: list[Entry] = []
    async with asyncio.timeout(DEADLINE_S):
        async for entry in entries:
            taken.append(entry)
            if len(taken) == count:
                break
    return taken


def gap_of(entry: Entry) -> tuple[str, str | None, int | None]:
    """The state, detail and count of a gap."""
    status = entry.event
    assert isinstance(status, StatusEvent), status
    return status.state, status.detail, status.count


def numbers(entries: list[Entry]) -> list[int]:
    """Their sequence numbers."""
    return [entry.event.seq for entry in entries]


async def test_a_stream_is_read_from_an_id_on(redis_server: RedisServer) -> None:
    """Reading from 0 gives all kept entries, then new ones; an id resumes after it; other symbols are skipped."""
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
    """``$`` means every entry after the start, also those added between two reads."""
    add(redis_server, 1)
    async with contextlib.aclosing(read_stream(Channel.BARS, redis_url=redis_server.url)) as entries:
        first = asyncio.ensure_future(take(entries, 1))
        await until(lambda: any(each["cmd"].startswith("xread") for each in redis_server.client.client_list()))
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
        await reader.acknowledge(taken[0].id, taken[2].id)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, batch=6) as reader:
        assert numbers(await take(reader, 8)) == [2, 4, 5, 6, 7, 8, 9, 10]


async def test_another_consumer_takes_over_what_lies_idle(redis_server: RedisServer) -> None:
    """Entries of a dead consumer go to a living one once they have been idle; until then each has its own."""
    add(redis_server, *range(1, 7))
    async with GroupReader(Channel.BARS, "desk", "dead", redis_url=redis_server.url, batch=3) as dead:
        await take(dead, 1)
    async with GroupReader(Channel.BARS, "desk", "alive", redis_url=redis_server.url, idle_ms=300) as alive:
        assert numbers(await take(alive, 6)) == [4, 5, 6, 1, 2, 3]


async def test_unwanted_and_broken_entries_do_not_come_back(redis_server: RedisServer) -> None:
    """An entry that is skipped counts as acknowledged, so that it does not stay pending forever."""
    add(redis_server, 1, symbol="AAPL")
    redis_server.client.xadd(STREAM, {"symbol": "/MNQ", "event": "{}"})
    add(redis_server, 2)
    async with GroupReader(Channel.BARS, "desk", "one", "/MNQ", redis_url=redis_server.url) as reader:
        taken = await take(reader, 1)
        await reader.acknowledge(taken[0].id)
        assert numbers(taken) == [2]
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 0


async def test_entries_trimmed_away_are_let_go(redis_server: RedisServer) -> None:
    """Open entries that the stream no longer holds are reported with their count, once, and do not stop the reader."""
    add(redis_server, 1, 2, 3)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        await take(reader, 3)
    redis_server.client.xtrim(STREAM, maxlen=1, approximate=False)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        lost, kept = await take(reader, 2)
        assert gap_of(lost) == ("gap", "trimmed", 2)
        assert numbers([kept]) == [3]
        await reader.acknowledge(lost.id)  # what is done with every entry may be done with this one
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 1
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        assert numbers(await take(reader, 1)) == [3]


async def test_what_trimming_takes_from_a_dead_consumer_is_reported(redis_server: RedisServer) -> None:
    """Entries left lying and trimmed before another consumer could take them over are a gap with their count."""
    add(redis_server, *range(1, 7))
    async with GroupReader(Channel.BARS, "desk", "dead", redis_url=redis_server.url, batch=4) as dead:
        taken = await take(dead, 4)
    redis_server.client.xclaim(
        STREAM, "desk", "dead", 0, [entry.id for entry in taken], idle=60_000
    )  # died a minute ago
    redis_server.client.xtrim(STREAM, maxlen=3, approximate=False)
    async with GroupReader(Channel.BARS, "desk", "alive", redis_url=redis_server.url, idle_ms=30_000) as alive:
        lost, *kept = await take(alive, 4)
    assert gap_of(lost) == ("gap", "trimmed", 3)
    assert numbers(kept) == [4, 5, 6]


async def test_a_stream_trimmed_past_its_reader_is_a_gap(redis_server: RedisServer) -> None:
    """The entries between the last one read and the first one kept are one gap with their exact count, at its place."""
    add(redis_server, *range(1, 101))
    async with contextlib.aclosing(
        read_stream(Channel.BARS, "/MNQ", from_id="0", redis_url=redis_server.url, batch=50)
    ) as entries:
        await take(entries, 100)
        ids = add(redis_server, *range(101, 1001))
        redis_server.client.xtrim(STREAM, maxlen=200, approximate=False)
        lost, *kept = await take(entries, 201)
        add(redis_server, 1001)
        kept += await take(entries, 1)
    assert gap_of(lost) == ("gap", "trimmed", 700)
    assert numbers(kept) == list(range(801, 1002))
    assert id_key(ids[699]) <= id_key(lost.id) < id_key(ids[700])
    status = lost.event
    assert isinstance(status, StatusEvent)
    assert status.lost_at is not None
    assert status.restored_at == int(ids[700].partition("-")[0])
    assert "market_data:stream:bars were trimmed before they were read: 700" in status.reason


async def test_resuming_behind_what_was_trimmed_is_a_gap(redis_server: RedisServer) -> None:
    """An id whose entry has been trimmed is reported, without a count, as an id holds none; one still kept is not."""
    ids = add(redis_server, *range(1, 11))
    redis_server.client.xtrim(STREAM, maxlen=5, approximate=False)
    for resumed_at, expected in ((ids[1], [None, 6]), (ids[5], [7])):
        resumed = read_stream(Channel.BARS, from_id=resumed_at, redis_url=redis_server.url)
        async with contextlib.aclosing(resumed) as entries:
            taken = await take(entries, len(expected))
            assert [entry.event.seq or gap_of(entry)[2] for entry in taken] == expected


async def test_a_stream_that_begins_later_has_lost_nothing(redis_server: RedisServer) -> None:
    """Reading all that is kept, or from a time before the first entry of an untrimmed stream, opens no gap."""
    add(redis_server, 1, 2)
    resumed = read_stream(Channel.BARS, from_id="1-0", redis_url=redis_server.url)
    async with contextlib.aclosing(resumed) as entries:
        assert numbers(await take(entries, 2)) == [1, 2]
    redis_server.client.xtrim(STREAM, maxlen=1, approximate=False)
    async with contextlib.aclosing(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url)) as entries:
        assert numbers(await take(entries, 1)) == [2]


async def test_a_jump_that_trimming_did_not_make_is_not_called_trimmed(redis_server: RedisServer) -> None:
    """A jump made by the streamer is not reported as trimmed: the streamer announces it itself."""
    add(redis_server, 1, 2)
    async with contextlib.aclosing(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url)) as entries:
        await take(entries, 2)
        add(redis_server, 50)
        assert numbers(await take(entries, 1)) == [50]


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_group_that_trimming_overtakes_gets_the_count_of_its_loss(
    redis_server: RedisServer, *, resumed: bool
) -> None:
    """Entries trimmed before the group read them are a gap with their exact count, also for a reader started later."""
    add(redis_server, *range(1, 101))
    async with contextlib.AsyncExitStack() as stack:
        reader = await stack.enter_async_context(
            GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, batch=50)
        )
        await reader.acknowledge(*(entry.id for entry in await take(reader, 100)))
        if resumed:
            await stack.aclose()
            reader = await stack.enter_async_context(
                GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, batch=50)
            )
        for begin in (101, 1001):  # a second time, as Redis's own count goes wrong at the first
            add(redis_server, *range(begin, begin + 900))
            redis_server.client.xtrim(STREAM, maxlen=200, approximate=False)
            lost, *kept = await take(reader, 201)
            assert gap_of(lost) == ("gap", "trimmed", 700)
            assert numbers(kept) == list(range(begin + 700, begin + 900))
            await reader.acknowledge(lost.id, *(entry.id for entry in kept))
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 0


async def test_what_another_consumer_of_the_group_read_is_not_lost(redis_server: RedisServer) -> None:
    """Only entries that no consumer of the group received count, and one consumer reports them."""
    url = redis_server.url
    add(redis_server, *range(1, 21))
    async with (
        GroupReader(Channel.BARS, "desk", "one", redis_url=url, batch=10) as one,
        GroupReader(Channel.BARS, "desk", "two", redis_url=url, batch=10) as two,
    ):
        assert numbers(await take(one, 10)) == list(range(1, 11))
        assert numbers(await take(two, 10)) == list(range(11, 21))
        add(redis_server, *range(21, 61))
        redis_server.client.xtrim(STREAM, maxlen=20, approximate=False)
        lost, *kept = await take(one, 11)
        assert gap_of(lost) == ("gap", "trimmed", 20)
        assert numbers(kept) == list(range(41, 51))
        assert numbers(await take(two, 10)) == list(range(51, 61))


async def test_a_group_waiting_for_news_loses_nothing_unreported(redis_server: RedisServer) -> None:
    """A burst that is trimmed in the same moment shows as well to a reader that waits."""
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        waiting = asyncio.ensure_future(take(reader, 11))
        await until(lambda: "xread" in {each["cmd"] for each in redis_server.client.client_list()})
        add(redis_server, *range(1, 101), trim_to=10)
        lost, *kept = await waiting
    assert gap_of(lost) == ("gap", "trimmed", 90)
    assert numbers(kept) == list(range(91, 101))


async def test_without_the_right_to_ask_a_group_still_reads(redis_server: RedisServer) -> None:
    """A user that may not XINFO reads and acknowledges as before; that trimming stays unseen is logged."""
    add(redis_server, 1, 2)
    may = ["xgroup", "xreadgroup", "xautoclaim", "xack", "ping", "select"]
    redis_server.client.acl_setuser(
        "worker", enabled=True, passwords=["+pw"], keys=["*"], commands=[f"+{each}" for each in may], reset=True
    )
    url = redis_server.url.replace("//", "//worker:pw@")
    with structlog.testing.capture_logs() as logs:
        async with GroupReader(Channel.BARS, "desk", "one", redis_url=url) as reader:
            taken = await take(reader, 2)
            await reader.acknowledge(*(entry.id for entry in taken))
    assert numbers(taken) == [1, 2]
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 0
    assert [each["event"] for each in logs if "+xinfo" in each["event"]] != []


async def test_acknowledgements_are_gathered_and_none_is_lost(redis_server: RedisServer) -> None:
    """A thousand acknowledged one by one take some ten commands, and exactly those acknowledged are done at the end."""
    ids = add(redis_server, *range(1, 1001))
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        for entry in await take(reader, 1000):
            if entry.event.seq % 10:
                await reader.acknowledge(entry.id)
    calls = redis_server.client.info("commandstats")["cmdstat_xack"]["calls"]
    assert 9 <= calls < 300
    left = {each["message_id"] for each in redis_server.client.xpending_range(STREAM, "desk", "-", "+", 2000)}
    assert left == set(ids[9::10])


async def test_acknowledgements_reach_redis_without_more_to_come(redis_server: RedisServer) -> None:
    """A few acknowledgements go out by themselves while the reader waits, and at once with a flush."""
    add(redis_server, 1, 2, 3)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        first, second, _ = await take(reader, 3)
        await reader.acknowledge(first.id)
        await until(lambda: redis_server.client.xpending(STREAM, "desk")["pending"] == 2)
        await reader.acknowledge(second.id)
        await reader.flush()
        assert redis_server.client.xpending(STREAM, "desk")["pending"] == 1


@pytest.mark.parametrize("end", ["error", "cancelled"])
async def test_leaving_the_block_sends_what_is_gathered(redis_server: RedisServer, end: str) -> None:
    """When the block ends, by an error too, acknowledged entries are done and the others stay pending."""
    add(redis_server, 1, 2)

    async def work() -> None:
        async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
            first, _ = await take(reader, 2)
            await reader.acknowledge(first.id)
            if end == "error":
                raise ZeroDivisionError
            working.cancel()
            await asyncio.sleep(60)

    working = asyncio.ensure_future(work())
    with pytest.raises((ZeroDivisionError, asyncio.CancelledError)):
        await working
    assert redis_server.client.xpending(STREAM, "desk")["pending"] == 1


async def test_acknowledgements_that_cannot_be_sent_are_an_error(redis_server: RedisServer) -> None:
    """A block that ends well while Redis is away raises an error about its last acknowledgements."""
    add(redis_server, 1)

    async def work() -> None:
        async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
            entry, *_ = await take(reader, 1)
            redis_server.kill()
            await reader.acknowledge(entry.id)

    with pytest.raises(RedisUnavailable, match="1 of the acknowledgements did not reach Redis"):
        await work()


async def test_a_refused_acknowledgement_is_an_error(redis_server: RedisServer) -> None:
    """Where Redis refuses XACK the reader stops with an error."""
    add(redis_server, 1)
    redis_server.client.acl_setuser(
        "worker", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-xack"], reset=True
    )
    url = redis_server.url.replace("//", "//worker:pw@")

    async def work() -> None:
        async with GroupReader(Channel.BARS, "desk", "one", redis_url=url) as reader:
            async for entry in reader:
                await reader.acknowledge(entry.id)

    with pytest.raises(RedisUnavailable, match="xack"):
        await work()


async def test_other_consumers_entries_are_claimed_rarely(redis_server: RedisServer) -> None:
    """While entries come, claiming abandoned ones costs a command now and then, not one with each read."""
    add(redis_server, *range(1, 501))
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url, batch=5) as reader:
        await take(reader, 500)
    assert redis_server.client.info("commandstats")["cmdstat_xautoclaim"]["calls"] == 1


@pytest.mark.parametrize("text", ["/MNQ:XCME", "/mnq"])
async def test_streams_find_a_symbol_under_any_alias(redis_server: RedisServer, text: str) -> None:
    """A stream's reader understands the same symbols as the command line."""
    add(redis_server, 1, symbol="AAPL")
    add(redis_server, 2, symbol="/MNQ")
    stream = read_stream(Channel.BARS, text, from_id="0", redis_url=redis_server.url)
    async with contextlib.aclosing(stream) as entries:
        assert numbers(await take(entries, 1)) == [2]
    async with GroupReader(Channel.BARS, "desk", "one", text, redis_url=redis_server.url) as reader:
        assert numbers(await take(reader, 1)) == [2]
    with pytest.raises(SymbolError):
        await take(read_stream(Channel.BARS, "no/symbol", redis_url=redis_server.url), 1)


async def test_a_redis_that_lost_everything_is_read_on(redis_server: RedisServer) -> None:
    """After a restart without persistence the group is made again and reading continues."""
    add(redis_server, 1)
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url) as reader:
        taken = await take(reader, 1)
        redis_server.kill()
        redis_server.start()
        add(redis_server, 2)
        assert numbers(await take(reader, 1)) == [2]
        with contextlib.suppress(RedisUnavailable):
            await reader.acknowledge(taken[0].id)


async def test_without_redis_the_start_is_an_error(redis_server: RedisServer) -> None:
    """No Redis at the start is an error, for a stream and for a group."""
    redis_server.kill()
    with pytest.raises(RedisUnavailable):
        await take(read_stream(Channel.BARS, from_id="0", redis_url=redis_server.url), 1)
    with pytest.raises(RedisUnavailable):
        async with GroupReader(Channel.BARS, "desk", "one", redis_url=redis_server.url):
            pass


SCRIPT = """
import asyncio, sys
from schwabstream.consumer import GroupReader
from schwabstream.events import Channel

async def main() -> None:
    async with GroupReader(Channel.BARS, "desk", "one", redis_url=sys.argv[1], batch=7) as reader:
        async for entry in reader:
            print(entry.event.seq, flush=True)
            if entry.event.seq % 3:
                await reader.acknowledge(entry.id)
            if entry.event.seq in (30, 90):
                await reader.flush()

asyncio.run(main())
"""


def test_a_killed_process_goes_on_where_it_acknowledged(redis_server: RedisServer, tmp_path: Path) -> None:
    """Killed in the middle and started again, a reader gets exactly what Redis had no acknowledgement of, in order."""
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
        block_until(lambda: len(redis_server.client.client_list()) == 1)  # what the killed process sent is read first
        open_ids = {each["message_id"] for each in redis_server.client.xpending_range(STREAM, "desk", "-", "+", 200)}
        given = ids.index(redis_server.client.xinfo_groups(STREAM)[0]["last-delivered-id"]) + 1
        runs.append((run, [number for number, each in enumerate(ids, 1) if each in open_ids or number > given]))
    assert runs[0][0][:40] == list(range(1, 41))
    assert runs[1][0] == runs[0][1]
    assert all(number % 3 == 0 for number in runs[1][1] if number <= 90)
