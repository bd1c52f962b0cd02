"""Single commands against a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import RedisError, ResponseError

from schwabstream.broker.calls import RedisCalls

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any


@pytest.fixture
async def calls(redis_server: RedisServer) -> AsyncIterator[RedisCalls]:
    """A client of the test's own Redis."""
    calls = RedisCalls(redis_server.url, timeout_s=2.0)
    yield calls
    await calls.close()


async def test_a_command_arrives_and_its_answer_is_text(calls: RedisCalls, redis_server: RedisServer) -> None:
    """Words and numbers arrive as they are; answers are text, numbers or None."""
    assert await calls.call("PING") == "PONG"
    assert await calls.call("SET", "key", "wört", "NX", "PX", 60_000) == "OK"
    assert await calls.call("SET", "key", "other", "NX") is None
    assert await calls.call("GET", "key") == "wört"
    assert redis_server.client.get("key") == "wört"
    assert await calls.call("INCR", "number") == 1


async def test_a_refusal_is_raised_and_the_connection_goes_on(calls: RedisCalls) -> None:
    """A refusal of Redis is an error of that call alone."""
    await calls.call("SET", "key", "text")
    with pytest.raises(ResponseError):
        await calls.call("INCR", "key")
    assert await calls.call("GET", "key") == "text"


async def test_a_connection_that_died_is_made_again(calls: RedisCalls, redis_server: RedisServer) -> None:
    """A connection that was cut between two commands costs the next command nothing."""
    assert await calls.call("PING") == "PONG"
    redis_server.client.client_kill_filter(_type="normal", skipme=True)
    assert await calls.call("PING") == "PONG"


async def test_a_redis_that_is_away_is_an_error(calls: RedisCalls, redis_server: RedisServer) -> None:
    """Without a server every command raises; with it back they work again."""
    redis_server.kill()
    with pytest.raises((RedisError, OSError)):
        await calls.call("PING")
    redis_server.start()
    assert await calls.call("PING") == "PONG"


async def test_a_cancellation_is_never_lost(calls: RedisCalls) -> None:
    """At whichever step of a command its task is cancelled, it ends cancelled or had its answer before."""
    await calls.call("PING")
    for steps in range(40):
        asked = asyncio.create_task(calls.call("PING"))
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled = asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled() is cancelled, steps
