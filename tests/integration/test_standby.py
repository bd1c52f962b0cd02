"""One streamer per account: who takes the lease, who waits, who is fenced off; against a real Redis."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from schwabstream.auth import SchwabAuthClient
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.lease import LIFE_MS, Holder, Lease, lease_key
from schwabstream.publisher import TradingEventPublisher
from schwabstream.redis_writer import Fence
from schwabstream.settings import load_settings
from schwabstream.simulator import SchwabSimulator
from schwabstream.streamer import SchwabStreamClient
from schwabstream.symbols import parse_symbols
from schwabstream.token_store import TokenStore
from schwabstream.tokens import TokenSet
from tests.conftest import RedisServer

CUSTOMER = "0123456789abcdef" * 4
ROUNDS = 100


async def yield_once(_seconds: float) -> None:
    """Stand in for the pause between two looks: as long as the event loop needs for everybody else."""
    await asyncio.sleep(0)


@pytest.fixture
async def leases(redis_server: RedisServer) -> AsyncIterator[list[Lease]]:
    """Three contenders for one account."""
    contenders = [Lease(redis_server.url, "market_data", sleep=yield_once) for _ in range(3)]
    for each in contenders:
        each.of_account(CUSTOMER)
    yield contenders
    for each in contenders:
        await each.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let everybody else go on until something is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


def key() -> str:
    """Where the lease of the account stands."""
    return lease_key("market_data", CUSTOMER)


def status(detail: str) -> dict[str, Any]:
    """An event to publish."""
    return {"type": "status", "symbol": None, "seq": 0, "state": "streaming", "reason": detail}


async def publish(redis: RedisServer, fence: Fence, reason: str, events: int = 3) -> None:
    """Publish some events under a lease, as a streamer does, and give the lease back."""
    publisher = TradingEventPublisher(redis.url, fence=fence)
    try:
        await publisher.connect()
        for _ in range(events):
            publisher.publish(Channel.STATUS, status(reason))
            publisher.stop()
            await publisher.run()
    finally:
        await publisher.close()


async def test_free_lease_is_taken_at_once(redis_server: RedisServer, leases: list[Lease]) -> None:
    """A free lease is ours at the first look, under our host and pid, and expires by itself."""
    fence = await leases[0].take(wait=False)
    assert redis_server.client.get(key()) == fence.holder
    assert 0 < redis_server.client.pttl(key()) <= LIFE_MS


async def test_held_lease_is_refused_naming_the_holder(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Who will not wait is told on which host and in which process the other one runs."""
    redis_server.client.set(key(), "7:tower:4711")
    with pytest.raises(LeaseLost, match=r"host tower, pid 4711.*--take-over"):
        await leases[0].take(wait=False)
    assert redis_server.client.get(key()) == "7:tower:4711"


async def test_standby_takes_over_when_the_lease_falls_free(redis_server: RedisServer, leases: list[Lease]) -> None:
    """A standby says whom it waits for, and has the lease as soon as nobody else has."""
    redis_server.client.set(key(), "7:tower:4711")
    waiting = asyncio.create_task(leases[0].take(wait=True))
    await until(lambda: leases[0].waiting_for == "7:tower:4711")
    redis_server.client.delete(key())
    async with asyncio.timeout(10):
        fence = await waiting
    assert redis_server.client.get(key()) == fence.holder
    assert leases[0].waiting_for is None
    assert leases[0].waited


async def test_force_takes_a_held_lease(redis_server: RedisServer, leases: list[Lease]) -> None:
    """--take-over takes the lease from a living holder, whose next transaction Redis discards."""
    first = await leases[0].take(wait=False)
    publisher = TradingEventPublisher(redis_server.url, fence=first)
    await publisher.connect()
    publisher.publish(Channel.STATUS, status("in time"))
    running = asyncio.create_task(publisher.run())
    await until(lambda: publisher.published == 1)
    second = await leases[1].take(wait=False, by_force=True)
    publisher.publish(Channel.STATUS, status("too late"))
    with pytest.raises(LeaseLost):
        await running
    await publisher.close()
    assert redis_server.client.xlen("market_data:stream:status") == 1
    assert redis_server.client.get(key()) == second.holder


async def test_numbers_rise_even_when_redis_forgets(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Each change of hands has a higher number, also after Redis came back empty."""
    numbers = []
    for _ in range(3):
        fence = await leases[0].take(wait=False)
        numbers.append(Holder.parse(fence.holder).number)
        redis_server.client.delete(key())
    redis_server.client.flushall()
    numbers.append(Holder.parse((await leases[0].take(wait=False)).holder).number)
    assert numbers == sorted(set(numbers))


async def test_started_at_once_only_one_publishes(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Of three streamers started at the same moment, a hundred times, one publishes and the others are told who."""

    async def compete(lease: Lease, name: str, everyone_tried: asyncio.Event) -> str | None:
        try:
            fence = await lease.take(wait=False)
        except LeaseLost:
            return None
        publisher = TradingEventPublisher(redis_server.url, fence=fence)
        try:
            await publisher.connect()
            publisher.publish(Channel.STATUS, status(name))
            publisher.publish_report(b"{}")
            publisher.stop()
            await publisher.run()
            await everyone_tried.wait()
        finally:
            await publisher.close()
        return name

    for number in range(ROUNDS):
        everyone_tried = asyncio.Event()
        tries = [asyncio.create_task(compete(lease, f"{number}.{i}", everyone_tried)) for i, lease in enumerate(leases)]
        await until(lambda: sum(task.done() for task in tries) == len(tries) - 1)  # noqa: B023 - used at once
        everyone_tried.set()
        async with asyncio.timeout(10):
            winners = [name for name in await asyncio.gather(*tries) if name]
        assert len(winners) == 1
    assert redis_server.client.xlen("market_data:stream:status") == ROUNDS
    assert redis_server.client.exists(key()) == 0


async def test_standbys_take_turns(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Three streamers that all want to publish do so one after the other: no two runs of events interleave."""

    async def stint(lease: Lease, name: str) -> None:
        for turn in range(10):
            await publish(redis_server, await lease.take(wait=True), f"{name}.{turn}")

    async with asyncio.timeout(30):
        await asyncio.gather(*(stint(lease, str(i)) for i, lease in enumerate(leases)))
    entries: Any = redis_server.client.xrange("market_data:stream:status")
    reasons = [orjson.loads(each["event"])["reason"] for _, each in entries]
    assert len(reasons) == 3 * 10 * 3
    assert all(len(set(reasons[i : i + 3])) == 1 for i in range(0, len(reasons), 3))


async def test_unreachable_redis_is_told_at_the_start(leases: list[Lease], redis_server: RedisServer) -> None:
    """A lease that was never reached is an error with the next step, not a wait."""
    redis_server.kill()
    with pytest.raises(RedisUnavailable, match="start it, correct REDIS_URL"):
        await leases[0].reach()
    with pytest.raises(RedisUnavailable):
        await leases[0].take(wait=True)


async def test_standby_outlives_an_outage_of_redis(redis_server: RedisServer, leases: list[Lease]) -> None:
    """While Redis is away a standby waits; when it comes back empty, whoever is first has the lease."""
    redis_server.client.set(key(), "7:tower:4711")
    waiting = asyncio.create_task(leases[0].take(wait=True))
    await until(lambda: leases[0].waiting_for is not None)
    redis_server.kill()
    redis_server.start()
    async with asyncio.timeout(10):
        fence = await waiting
    assert redis_server.client.get(key()) == fence.holder


async def test_standby_leaves_the_one_who_streams_time_to_come_back(redis_server: RedisServer) -> None:
    """After an outage of Redis a standby holds back for longer than a writer needs to reconnect."""
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            redis_server.kill()
        elif len(pauses) == 2:
            redis_server.start()
            redis_server.client.set(key(), "7:tower:4711")
        await asyncio.sleep(0)

    lease = Lease(redis_server.url, "market_data", sleep=note)
    lease.of_account(CUSTOMER)
    redis_server.client.set(key(), "7:tower:4711")
    waiting = asyncio.create_task(lease.take(wait=True))
    await until(lambda: len(pauses) >= 4 or waiting.done())
    waiting.cancel()
    await asyncio.wait({waiting})
    await lease.close()
    assert pauses[:4] == [1.0, 3.0, 1.0, 1.0]


async def test_confirm(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Before a new session the lease is looked at: ours goes on, another's ends it, a Redis that is away does not."""
    fence = await leases[0].take(wait=False)
    await leases[0].confirm(fence)
    redis_server.client.delete(key())
    await leases[0].confirm(fence)
    assert redis_server.client.get(key()) == fence.holder
    redis_server.client.set(key(), "99999999999999:tower:4711")
    with pytest.raises(LeaseLost, match="host tower, pid 4711"):
        await leases[0].confirm(fence)
    redis_server.kill()
    await leases[0].confirm(fence)


async def test_confirm_does_not_take_a_dead_connection_for_a_redis_that_is_away(
    redis_server: RedisServer, leases: list[Lease]
) -> None:
    """A connection that died during a long pause is made again, so that the loss is seen before Schwab is called."""
    fence = await leases[0].take(wait=False)
    redis_server.kill()
    redis_server.start()
    redis_server.client.set(key(), "99999999999999:tower:4711")
    with pytest.raises(LeaseLost):
        await leases[0].confirm(fence)


async def test_who_lost_the_lease_does_not_log_in(
    redis_server: RedisServer, leases: list[Lease], simulator: SchwabSimulator, clean: Path
) -> None:
    """A streamer whose connection broke asks for its lease first: without it, it neither logs in nor goes on."""
    store = TokenStore(clean / "token.json")
    store.save(TokenSet.from_file(simulator.issue_token()))
    settings = load_settings(
        schwab_client_id=simulator.client_id,
        schwab_client_secret=simulator.client_secret,
        schwab_api_base_url=simulator.base_url,
    )
    fence = await leases[0].take(wait=False)
    publisher = TradingEventPublisher(redis_server.url)
    symbols = parse_symbols(["/MES"], date(2026, 11, 20))
    async with SchwabAuthClient(settings, store) as auth:
        client = SchwabStreamClient(auth, publisher, symbols, permit=functools.partial(leases[0].confirm, fence))
        running = asyncio.create_task(client.run())
        await client.ready.wait()
        redis_server.client.set(key(), "99999999999999:tower:4711")
        await simulator.drop_all()
        with pytest.raises(LeaseLost, match="host tower, pid 4711"):
            await running
    await publisher.close()
    assert len(simulator.received.connection_times) == 1
