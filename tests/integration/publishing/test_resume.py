"""A Redis that comes back with less than it acknowledged, or with more than the publisher knows of."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from schwabstream.clock import LIVE_CLOCK
from schwabstream.errors import LeaseLost
from schwabstream.events import Channel, StatusEvent, parse_event
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.publisher import TradingEventPublisher
from tests.long.unanswered_batches import cut_batches
from tests.support.publishing import Audience, event, last, numbers, stream, writing
from tests.support.waiting import DEADLINE_S, until

TICKS = "market_data:stream:ticks"
FENCE = Fence("market_data:lease:1", "7:tower:4711", "market_data:owner", "ours", life_ms=60_000)


def forget(client: Any, count: int) -> None:
    """Be a replica that lacks the newest entries: remove them, as a failover would, and hang up."""
    newest = [entry for entry, _ in client.xrevrange(TICKS, count=count)]
    client.xdel(TICKS, *newest)
    hang_up(client)


def hang_up(client: Any) -> None:
    """Cut the publisher's connection."""
    client.client_kill_filter(_type="normal", skipme=True)


@contextlib.asynccontextmanager
async def written(server: Any, count: int, **options: Any) -> AsyncIterator[TradingEventPublisher]:
    """A publisher that has written this many ticks."""
    async with writing(server.url, **options) as publisher:
        for n in range(count):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: publisher.published == count)
        yield publisher


async def test_cuts_between_exec_and_its_reply_write_nothing_twice(redis_server: Any) -> None:
    """Five times, at seeded moments: each stream has each event once, in order (figure 7 of the measurements)."""
    assert await cut_batches(redis_server, 5) > 0


async def test_what_a_promoted_replica_lacks_is_written_again_before_anything_newer(redis_server: Any) -> None:
    """Acknowledged events come again with their old ``seq``, in order; on pub/sub they come again, too."""
    async with Audience(redis_server.url) as audience, written(redis_server, 50) as publisher:
        seqs = [each["seq"] for each in stream(redis_server.client)]
        forget(redis_server.client, 20)
        await until(lambda: publisher.redis.sent_again)
        publisher.publish(Channel.TICKS, event(n=50))
        await until(lambda: publisher.published == 51)
        await audience.until(lambda it: it.numbers()[-1] == 50)
    assert numbers(stream(redis_server.client)) == list(range(51))
    assert [each["seq"] for each in stream(redis_server.client)] == [*seqs, seqs[-1] + 1]
    assert audience.numbers() == [*range(50), *range(30, 51)]
    assert (publisher.redis.sent_again, publisher.redis.already_there, publisher.redis.lost) == (20, 0, 0)


async def test_what_is_no_longer_kept_is_reported_with_its_exact_number(redis_server: Any) -> None:
    """A StatusEvent names how many are lost and when; what is kept of the rest is written again."""
    moved, losses = [0.0], list[int]()
    clock = replace(LIVE_CLOCK, monotonic=lambda: LIVE_CLOCK.monotonic() + moved[0])
    async with written(redis_server, 10, clock=clock, on_loss=losses.append) as publisher:
        moved[0] += 20
        await until(lambda: publisher._resume.kept.events == 0)
        for n in range(10, 15):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: publisher.published == 15)
        forget(redis_server.client, 8)
        await until(lambda: publisher.redis.lost)
        await until(lambda: stream(redis_server.client, "status"))
    assert numbers(stream(redis_server.client)) == [*range(7), *range(10, 15)]
    (entry,) = redis_server.client.xrange("market_data:stream:status")
    status = parse_event(entry[1]["event"])
    assert isinstance(status, StatusEvent)
    assert (status.state, status.detail, status.count) == ("gap", "redis-failover", 3)
    assert (publisher.redis.sent_again, publisher.redis.lost, losses) == (5, 3, [3])


async def test_a_lost_lease_ends_the_run_before_anything_is_written_again(redis_server: Any) -> None:
    """Under the lease of another streamer nothing is written, however much this Redis lacks."""
    publisher = TradingEventPublisher(redis_server.url, fence=FENCE)
    await publisher.connect()
    run = asyncio.create_task(publisher.run())
    for n in range(10):
        publisher.publish(Channel.TICKS, event(n=n))
    await until(lambda: publisher.published == 10)
    redis_server.client.set(FENCE.key, "8:other:15")
    forget(redis_server.client, 5)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(LeaseLost):
            await run
    await publisher.close()
    assert numbers(stream(redis_server.client)) == list(range(5))


@pytest.mark.parametrize("streams", [True, False])
async def test_a_run_begins_above_the_newest_number_in_redis(redis_server: Any, *, streams: bool) -> None:
    """On a host whose clock is behind, ``seq`` rises nevertheless; without streams, the last values show it."""
    length = {"stream_maxlen": 100 if streams else 0}
    for behind_s in (0, 30):
        clock = replace(LIVE_CLOCK, wall=lambda: LIVE_CLOCK.wall() - behind_s)  # noqa: B023 - used here
        before = last(redis_server.client)
        async with written(redis_server, 1, clock=clock, **length):
            pass
    assert last(redis_server.client)["/MES:XCME"]["seq"] == before["/MES:XCME"]["seq"] + 1_000_001


@pytest.mark.parametrize("trouble", ["no right to read", "another type"])
async def test_without_a_readable_stream_nothing_is_compared(redis_server: Any, trouble: str) -> None:
    """The publisher goes on as before, and logs what it cannot find out."""
    client = redis_server.client
    if trouble == "another type":
        client.set(TICKS, "somebody's")
    else:
        client.acl_setuser("default", enabled=True, commands=["-xrevrange"])
    with capture_logs() as logs:
        async with written(redis_server, 3) as publisher:
            hang_up(client)
            publisher.publish(Channel.TICKS, event(n=3))
            await until(lambda: publisher.published == 4)
    client.acl_setuser("default", enabled=True, commands=["+xrevrange"])
    assert any("cannot be read" in line["event"] for line in logs)
    assert publisher.redis.sent_again == 0
    assert last(client)["/MES:XCME"]["n"] == 3


async def test_old_entries_are_removed_from_quiet_streams_too(redis_server: Any) -> None:
    """With each report, entries beyond the age go, all of them; an emptied stream is not taken for a loss."""
    ahead, client = [0.0], redis_server.client
    clock = replace(
        LIVE_CLOCK,
        wall=lambda: LIVE_CLOCK.wall() + ahead[0],
        monotonic=lambda: LIVE_CLOCK.monotonic() + ahead[0],
    )
    async with written(redis_server, 3, clock=clock, stream_maxage_s=60.0) as publisher:
        publisher.publish_report(b"{}")
        publisher.publish(Channel.BARS, event(n=1))
        await until(lambda: client.exists("market_data:streamer") and not publisher.queued)
        assert numbers(stream(client)) == [0, 1, 2]
        ahead[0] = 61.0
        publisher.publish_report(b"{}")
        await until(lambda: client.xlen(TICKS) == client.xlen("market_data:stream:bars") == 0)
        hang_up(client)
        publisher.publish(Channel.TICKS, event(n=3))
        await until(lambda: publisher.published == 5)
    assert numbers(stream(client)) == [3]
    assert (publisher.redis.sent_again, publisher.redis.lost) == (0, 0)
    assert publisher.counts["refused commands"] == 0
