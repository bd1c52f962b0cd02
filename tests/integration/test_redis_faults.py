"""Redis in trouble under a whole streamer: the socket is always drained, and what is lost is counted."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.conftest import RedisServer
from tests.long.redis_kills import HANGS_AFTER_S, Plant, kill_redis, plant
from tests.support.redis_program import redis_program

RATE = 300.0
LASTS_S = 1.5


@pytest.fixture
def durable_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that keeps what it acknowledged over a kill."""
    server = RedisServer(redis_program(), tmp_path_factory.mktemp("redis"), "--appendonly", "yes")
    server.start()
    yield server
    server.kill()
    server.client.close()


Switch = Callable[[redis.Redis], object]


def command(*words: str | int) -> Switch:
    """Send one command."""
    return lambda client: client.execute_command(*words)


def setting(name: str, value: str) -> Switch:
    """Change one setting of the server."""
    return lambda client: client.config_set(name, value)


def nothing(client: redis.Redis) -> None:
    """It ends by itself."""


hang_up = command("CLIENT", "KILL", "TYPE", "normal")


def lose_authentication(client: redis.Redis) -> None:
    """Require a password from now on, also from connected clients."""
    client.config_set("requirepass", "else")
    hang_up(client)


FAULTS: dict[str, tuple[Switch, Switch]] = {
    "slow": (command("CLIENT", "PAUSE", int(LASTS_S * 1000), "ALL"), nothing),
    "out of memory": (setting("maxmemory", "1"), setting("maxmemory", "0")),
    "read-only replica": (command("REPLICAOF", "127.0.0.1", "1"), command("REPLICAOF", "NO", "ONE")),
    "authentication lost": (lose_authentication, setting("requirepass", "")),
    "disconnected": (hang_up, nothing),
}


async def drained(working: Plant, seconds: float) -> None:
    """Let time pass, and see that the streamer goes on reading what Schwab sends."""
    enough = working.taken + RATE * seconds / 5
    await asyncio.sleep(seconds)
    await working.published(enough)
    assert working.simulator.connections_total == 1


def wholly_written(working: Plant) -> None:
    """Every tick is in the stream, in order; what came twice shows it by its ``seq``."""
    assert working.publisher.dropped == 0
    assert working.account() == 0


@pytest.mark.parametrize("name", list(FAULTS))
async def test_the_socket_is_drained_and_everything_written_in_order_afterwards(
    redis_server: RedisServer, name: str
) -> None:
    """While Redis refuses, stalls or hangs up the streamer reads on; what waited is written before anything newer."""
    begin, end = FAULTS[name]
    async with plant(redis_server, RATE) as working:
        await drained(working, 0.5)
        begin(redis_server.client)
        await drained(working, LASTS_S)
        end(redis_server.client)
        await working.resumed()
    wholly_written(working)


async def test_a_redis_that_is_down_for_a_while_gets_everything(durable_redis: RedisServer) -> None:
    """Refused connections for longer than the longest retry: nothing is lost, and the report is back."""
    async with plant(durable_redis, RATE) as working:
        await drained(working, 0.5)
        durable_redis.kill()
        await drained(working, 2.5)
        assert not working.publisher.connected
        assert working.publisher.outage
        await asyncio.to_thread(durable_redis.start)
        await working.resumed()
        assert durable_redis.client.get("market_data:streamer")
    wholly_written(working)


async def test_disconnects_in_the_middle_of_batches_lose_nothing(redis_server: RedisServer) -> None:
    """Twenty hang-ups under load: every tick is in the stream, repeats have the same ``seq``."""
    async with plant(redis_server, RATE) as working:
        for _ in range(20):
            await asyncio.sleep(0.1)
            hang_up(redis_server.client)
        await working.resumed()
        assert working.simulator.connections_total == 1
    wholly_written(working)


async def test_events_beyond_the_buffer_are_counted_and_reported(durable_redis: RedisServer) -> None:
    """After a long outage with a small buffer no more ticks are missing than the ``dropped`` StatusEvents count."""
    counts: asyncio.Queue[int] = asyncio.Queue()

    def take(event: dict[str, Any]) -> None:
        if event["state"] == "dropped":
            counts.put_nowait(event["count"])

    async with plant(durable_redis, RATE, max_events=100, on_status=take) as working:
        await drained(working, 0.5)
        durable_redis.kill()
        await drained(working, 2.0)
        assert working.publisher.queued <= 200
        await asyncio.to_thread(durable_redis.start)
        await working.resumed()
        async with asyncio.timeout(HANGS_AFTER_S):
            count = await counts.get()
    assert 0 < working.account() <= working.publisher.dropped
    assert count == working.publisher.dropped


@pytest.mark.timeout(180)
async def test_redis_killed_again_and_again_under_load(durable_redis: RedisServer) -> None:
    """Three kills under load: the writing resumes each time, and every tick is in the stream or counted."""
    figures = await kill_redis(durable_redis, kills=3, seconds=6.0, rate=500.0)
    assert figures.missing <= figures.dropped
    assert figures.sessions == 1
    assert figures.events > 1_000
