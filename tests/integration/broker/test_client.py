"""Single commands against a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import RedisError, ResponseError

from schwabstream.broker.client import RedisClient, redis_client

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    """What is tested, connected to the test's own Redis."""
    client = redis_client(redis_server.url, "market_data", timeout_s=2.0, retries=1, decode_responses=True)
    yield client
    await client.aclose()


async def test_a_command_arrives_and_its_answer_is_text(client: RedisClient, redis_server: RedisServer) -> None:
    """Words and numbers arrive as they are; answers are text, numbers or None."""
    assert await client.ping() is True
    assert await client.set("key", "wört", nx=True, px=60_000) is True
    assert await client.set("key", "other", nx=True) is None
    assert await client.get("key") == "wört"
    assert redis_server.client.get("key") == "wört"
    assert await client.incr("number") == 1


async def test_a_refusal_is_raised_and_the_connection_goes_on(client: RedisClient) -> None:
    """What Redis refuses is an error of that call alone."""
    await client.set("key", "text")
    with pytest.raises(ResponseError):
        await client.incr("key")
    assert await client.get("key") == "text"


async def test_a_connection_that_died_is_made_again(client: RedisClient, redis_server: RedisServer) -> None:
    """A connection that was cut while nobody asked costs the next command nothing."""
    assert await client.ping() is True
    redis_server.client.client_kill_filter(_type="normal", skipme=True)
    assert await client.ping() is True


async def test_a_redis_that_is_away_is_an_error(client: RedisClient, redis_server: RedisServer) -> None:
    """Without a server every command raises; with it back they work again."""
    redis_server.kill()
    with pytest.raises((RedisError, OSError)):
        await client.execute_command("PING")
    redis_server.start()
    assert await client.ping() is True


async def test_a_cancellation_is_never_lost(client: RedisClient) -> None:
    """At whichever step of a command its task is cancelled, it ends cancelled or had its answer before."""
    await client.execute_command("PING")
    for steps in range(40):
        asked = asyncio.create_task(client.execute_command("PING"))
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled = asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled() is cancelled, steps


async def test_a_task_that_was_cancelled_before_gets_its_answers(client: RedisClient) -> None:
    """The clean-up of a cancelled task may send commands, such as acknowledgements, and gets their answers."""
    answers: list[object] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answers.append(await client.set("cleaned", "up"))
            answers.append(await client.get("cleaned"))

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert answers == [True, "up"]


async def test_bytes_that_are_not_utf_8_are_answered(client: RedisClient, redis_server: RedisServer) -> None:
    """Whatever another program has stored, reading it as text raises nothing."""
    redis_server.client.eval("return redis.call('SET', 'key', '\\255')", 0)
    assert await client.get("key") == "\N{REPLACEMENT CHARACTER}"
