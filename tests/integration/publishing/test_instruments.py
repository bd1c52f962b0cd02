"""Instruments in Redis: written with the report, the newest of each symbol, after refusals and outages as well."""

from typing import Any

import orjson
import pytest

from schwabstream.errors import LeaseLost
from schwabstream.events import Channel
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.life import State
from tests.support.publishing import event, writing
from tests.support.waiting import until

KEY = "market_data:instruments"


def instruments(client: Any) -> dict[str, int]:
    """The number that the test gave the instrument of each symbol in Redis."""
    return {symbol: orjson.loads(payload)["n"] for symbol, payload in client.hgetall(KEY).items()}


async def test_instruments_are_written_with_the_report(redis_server: Any) -> None:
    """An instrument goes into the hash in the batch of the next report, not in one of ticks, and on no channel."""
    async with writing(redis_server.url) as publisher:
        publisher.instruments.add([event("AAPL", n=1), event("MSFT", n=1), event("AAPL", n=2)])
        publisher.publish(Channel.TICKS, event())
        await until(lambda: publisher.published == 1)
        assert not redis_server.client.exists(KEY)
        publisher.publish_report(b"{}")
        await until(lambda: bool(redis_server.client.exists(KEY)))
    assert instruments(redis_server.client) == {"AAPL": 2, "MSFT": 1}
    assert publisher.published == 1


async def test_what_rarely_changes_survives_an_outage(redis_server: Any) -> None:
    """After an outage Redis gets the newest instrument of each symbol, those of the lost batch included."""
    async with writing(redis_server.url) as publisher:
        publisher.publish_report(b"{}")
        await until(lambda: bool(redis_server.client.exists("market_data:streamer")))
        redis_server.kill()
        publisher.instruments.add([event("AAPL", n=1), event("MSFT", n=1)])
        publisher.publish_report(b"{}")
        await until(lambda: publisher.outage is not None)
        publisher.instruments.add([event("MSFT", n=2)])
        redis_server.start()
        await until(lambda: bool(redis_server.client.exists(KEY)))
    assert instruments(redis_server.client) == {"AAPL": 1, "MSFT": 2}


async def test_a_hash_that_redis_refuses_is_reported_and_written_after_the_repair(redis_server: Any) -> None:
    """A key of the wrong type is named among the refused ones; after its repair nothing is missing."""
    redis_server.client.set(KEY, "somebody's")
    async with writing(redis_server.url) as publisher:
        publisher.instruments.add([event("AAPL", n=1), event("MSFT", n=1)])
        publisher.publish_report(b"{}")
        await until(lambda: set(publisher.refusing) == {KEY})
        publisher.publish(Channel.TICKS, event())
        await until(lambda: publisher.published == 1)
        assert set(publisher.refusing) == {KEY}
        redis_server.client.delete(KEY)
        publisher.instruments.add([event("MSFT", n=2)])
        publisher.publish_report(b"{}")
        await until(lambda: not publisher.refusing)
    assert instruments(redis_server.client) == {"AAPL": 1, "MSFT": 2}


async def test_a_streamer_without_the_lease_writes_no_instruments(redis_server: Any) -> None:
    """The write is part of the fenced batch: once another streamer holds the lease, the hash stays as it is."""
    fence = Fence("market_data:lease", "ours", "market_data:owner", "account", life_ms=60_000)

    async def lose_the_lease() -> None:
        async with writing(redis_server.url, fence=fence) as publisher:
            publisher.publish_report(b"{}")
            await until(lambda: bool(redis_server.client.exists("market_data:streamer")))
            redis_server.client.set(fence.key, "another")
            publisher.instruments.add([event("AAPL", n=1)])
            publisher.publish_report(b"{}")
            await until(lambda: publisher.state is State.FENCED)

    with pytest.raises(LeaseLost):
        await lose_the_lease()
    assert not redis_server.client.exists(KEY)
