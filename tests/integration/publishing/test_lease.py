"""One streamer per account: who takes the lease, who waits, who is fenced off; against a real Redis."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.election import POLL_S
from schwabstream.publishing.fence import LIFE_MS, Fence, Holder, describe, lease_key
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import load_settings
from schwabstream.simulator import SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient
from tests.conftest import RedisServer
from tests.support.waiting import DEADLINE_S, until

CUSTOMER = "0123456789abcdef" * 4
ROUNDS = 100


async def yield_once(_seconds: float) -> None:
    """Replaces the pause between two looks: yields to the event loop once."""
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
    """Without waiting, the error names the host and process of the current holder."""
    redis_server.client.set(key(), "7:tower:4711")
    with pytest.raises(LeaseLost, match=r"host tower, pid 4711.*--take-over"):
        await leases[0].take(wait=False)
    assert redis_server.client.get(key()) == "7:tower:4711"


async def test_standby_takes_over_when_the_lease_falls_free(redis_server: RedisServer, leases: list[Lease]) -> None:
    """A standby logs whom it waits for, and takes the lease as soon as it is free."""
    redis_server.client.set(key(), "7:tower:4711")
    waiting = asyncio.create_task(leases[0].take(wait=True))
    await until(lambda: leases[0].waiting_for == "7:tower:4711")
    redis_server.client.delete(key())
    async with asyncio.timeout(DEADLINE_S):
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


async def test_no_two_holders_have_the_same_name(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Each taking has a number of its own, also in a Redis that has forgotten the earlier ones."""
    holders = []
    for _ in range(3):
        holders.append((await leases[0].take(wait=False)).holder)
        redis_server.client.flushall()
    assert len({Holder.parse(each).number for each in holders}) == len(holders)


async def test_started_at_once_only_one_publishes(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Of three streamers started at the same moment, a hundred times, one publishes and the others get its name."""

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
        async with asyncio.timeout(DEADLINE_S):
            winners = [name for name in await asyncio.gather(*tries) if name]
        assert len(winners) == 1
    assert redis_server.client.xlen("market_data:stream:status") == ROUNDS
    assert redis_server.client.exists(key()) == 0


async def test_standbys_take_turns(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Three streamers that all want to publish do so one after the other: no two runs of events interleave."""

    async def lead(lease: Lease, name: str) -> None:
        for turn in range(10):
            await publish(redis_server, await lease.take(wait=True), f"{name}.{turn}")

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(lead(lease, str(i)) for i, lease in enumerate(leases)))
    entries: Any = redis_server.client.xrange("market_data:stream:status")  # Any: its answers may be awaitable
    reasons = [orjson.loads(each["event"])["reason"] for _, each in entries]
    assert len(reasons) == 3 * 10 * 3
    assert all(len(set(reasons[i : i + 3])) == 1 for i in range(0, len(reasons), 3))


async def test_an_unreachable_redis_is_an_error_at_the_start(leases: list[Lease], redis_server: RedisServer) -> None:
    """A lease that was never reached is an error with the next step, not a wait."""
    redis_server.kill()
    with pytest.raises(RedisUnavailable, match="start it, correct REDIS_URL"):
        await leases[0].reach()
    with pytest.raises(RedisUnavailable):
        await leases[0].take(wait=True)


async def test_standby_outlives_an_outage_of_redis(redis_server: RedisServer, leases: list[Lease]) -> None:
    """While Redis is away a standby waits; when Redis comes back empty, the first one takes the lease."""
    redis_server.client.set(key(), "7:tower:4711")
    waiting = asyncio.create_task(leases[0].take(wait=True))
    await until(lambda: leases[0].waiting_for is not None)
    redis_server.kill()
    redis_server.start()
    async with asyncio.timeout(DEADLINE_S):
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
    assert pauses[:4] == [POLL_S] * 4


async def test_confirm(redis_server: RedisServer, leases: list[Lease]) -> None:
    """Before a new session the lease is checked: ours continues, another's ends it, an absent Redis does not."""
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


async def test_no_login_while_another_node_may_be_the_master(redis_server: RedisServer) -> None:
    """A Redis that answers, accepts no writes and no longer has the lease postpones the login until it does."""
    postponed = 0

    async def repair_later(_seconds: float) -> None:
        nonlocal postponed
        postponed += 1
        if postponed == 3:
            redis_server.client.config_set("min-replicas-to-write", 0)

    lease = Lease(redis_server.url, "market_data", sleep=repair_later)
    lease.of_account(CUSTOMER)
    fence = await lease.take(wait=False)
    redis_server.client.config_set("min-replicas-to-write", 1)
    await lease.confirm(fence)
    assert postponed == 0  # the lease is still there
    redis_server.client.config_set("min-replicas-to-write", 0)
    redis_server.client.delete(key())
    redis_server.client.config_set("min-replicas-to-write", 1)
    await lease.confirm(fence)
    assert postponed == 3
    assert redis_server.client.get(key()) == fence.holder
    await lease.close()


async def test_a_lease_of_the_past_postpones_the_login_until_it_expires(redis_server: RedisServer) -> None:
    """After a failover Redis may name an earlier holder: the login waits until that lease expires or is renewed."""
    waits: list[float] = []

    async def expire_later(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            redis_server.client.delete(key())

    lease = Lease(redis_server.url, "market_data", sleep=expire_later)
    lease.of_account(CUSTOMER)
    fence = await lease.take(wait=False)
    redis_server.client.set(key(), "7:tower:4711", px=5_000)
    await lease.confirm(fence)
    assert len(waits) == 2
    redis_server.client.set(key(), "7:tower:4711", px=5_000)
    renewing = asyncio.create_task(lease.confirm(fence))
    await until(lambda: len(waits) > 2)
    redis_server.client.pexpire(key(), LIFE_MS)
    with pytest.raises(LeaseLost, match="host tower, pid 4711"):
        await renewing
    await lease.close()


async def test_who_lost_the_lease_does_not_log_in(
    redis_server: RedisServer, leases: list[Lease], simulator: SchwabSimulator, clean: Path
) -> None:
    """A streamer whose connection broke asks for its lease first: without it, it neither logs in nor continues."""
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
        client = SchwabStreamClient(
            auth, StreamState(symbols, publisher.publish), permit=functools.partial(leases[0].confirm, fence)
        )
        running = asyncio.create_task(client.run())
        await client.ready.wait()
        redis_server.client.set(key(), "99999999999999:tower:4711")
        await simulator.drop_all()
        with pytest.raises(LeaseLost, match="host tower, pid 4711"):
            await running
    await publisher.close()
    assert len(simulator.received.connection_times) == 1


# -- a lease that lapsed


async def streamed(redis: RedisServer, count: int) -> None:
    """Wait until the status stream holds this many entries."""
    client: Any = redis.client  # Any: redis-py's answers may be awaitable
    await until(lambda: client.xlen("market_data:stream:status") >= count)


def sequence(redis: RedisServer) -> list[int]:
    """The numbers of the status stream."""
    entries: Any = redis.client.xrange("market_data:stream:status")
    return [orjson.loads(each["event"])["seq"] for _, each in entries]


LAPSES: dict[str, Callable[[Any], Any]] = {
    "deleted": lambda client: client.delete(key()),
    "expired": lambda client: client.pexpire(key(), 1),
    "prefix deleted": lambda client: client.delete("market_data:owner"),
    "everything flushed": lambda client: client.flushall(),
}


@pytest.mark.parametrize("kind", list(LAPSES))
async def test_a_lease_nobody_holds_is_taken_back_and_the_batch_repeated(
    redis_server: RedisServer, leases: list[Lease], kind: str
) -> None:
    """A lease that lapsed costs nothing: the same connection takes it back, each event is written once, in order."""
    fence = await leases[0].take(wait=False)
    publisher = TradingEventPublisher(redis_server.url, fence=fence)
    await publisher.connect()
    running = asyncio.create_task(publisher.run())
    publisher.publish(Channel.STATUS, status("before"))
    await streamed(redis_server, 1)
    (first,) = sequence(redis_server)
    redis_server.client.delete("market_data:stream:status")
    LAPSES[kind](redis_server.client)
    await until(lambda: kind != "expired" or not redis_server.client.exists(key()))
    for _ in range(5):
        publisher.publish(Channel.STATUS, status("after"))
    await streamed(redis_server, 5)
    publisher.stop()
    await running
    assert sequence(redis_server) == [first + 1 + n for n in range(5)]
    assert redis_server.client.get(key()) == fence.holder
    assert (publisher.dropped, publisher.counts["outages"]) == (0, 0)
    await publisher.close()
    assert redis_server.client.exists(key()) == 0


@pytest.mark.parametrize("reconnects", [False, True])
async def test_a_streamer_that_slept_through_a_later_tenure_writes_nothing_more(
    redis_server: RedisServer, leases: list[Lease], reconnects: bool
) -> None:
    """A free lease is not taken back after another streamer had it and wrote: its events are the newer ones."""
    fence = await leases[0].take(wait=False)
    publisher = TradingEventPublisher(redis_server.url, fence=fence)
    await publisher.connect()
    redis_server.client.delete(key())  # expired while the streamer was paused
    await publish(redis_server, await leases[1].take(wait=False), "later", events=1)
    assert not redis_server.client.exists(key())
    if reconnects:
        redis_server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    publisher.publish(Channel.STATUS, status("too late"))
    with pytest.raises(LeaseLost, match="meanwhile"):
        await publisher.run()
    with pytest.raises(LeaseLost, match="meanwhile"):
        await leases[0].confirm(fence)
    publisher.give_up()
    publisher.publish(Channel.STATUS, status("given up"))
    await publisher.send_notices()  # which would hide from the later streamer what it has written itself
    await publisher.close()
    assert redis_server.client.xlen("market_data:stream:status") == 1
    assert not redis_server.client.exists(key())


async def test_an_earlier_streamer_gives_way_to_the_later_one_that_redis_forgot(
    redis_server: RedisServer, leases: list[Lease]
) -> None:
    """If both return to an emptied Redis and the earlier one is first, the later one still keeps the account."""
    earlier = TradingEventPublisher(redis_server.url, fence=await leases[0].take(wait=False))
    await earlier.connect()
    redis_server.client.delete(key())
    later = TradingEventPublisher(redis_server.url, fence=await leases[1].take(wait=False))
    await later.connect()
    redis_server.client.flushall()
    redis_server.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    ending = asyncio.create_task(earlier.run())
    earlier.publish(Channel.STATUS, status("of the earlier one"))
    await streamed(redis_server, 1)
    running = asyncio.create_task(later.run())
    later.publish(Channel.STATUS, status("of the later one"))
    await until(lambda: later.outage is not None and "holds the lease of an earlier streamer" in later.outage)
    earlier.publish(Channel.STATUS, status("too late"))
    with pytest.raises(LeaseLost, match="another streamer has streamed this account meanwhile"):
        await ending
    await earlier.close()
    redis_server.client.pexpire(key(), 1)
    await streamed(redis_server, 2)
    later.stop()
    await running
    await later.close()
    entries: Any = redis_server.client.xrange("market_data:stream:status")
    reasons = [orjson.loads(each["event"])["reason"] for _, each in entries]
    assert reasons == ["of the earlier one", "of the later one"]


async def test_a_leader_outlasts_a_lease_of_the_past(redis_server: RedisServer, leases: list[Lease]) -> None:
    """A node that names an earlier holder when the streamer reconnects costs nothing but the wait for its expiry."""
    fence = await leases[0].take(wait=False)
    publisher = TradingEventPublisher(redis_server.url, fence=fence)
    await publisher.connect()
    running = asyncio.create_task(publisher.run())
    publisher.publish(Channel.STATUS, status("before"))
    await streamed(redis_server, 1)
    failover = redis_server.client.pipeline()
    failover.set(key(), "7:tower:4711", px=400)
    failover.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    failover.execute()
    await until(lambda: publisher.outage is not None)
    publisher.publish(Channel.STATUS, status("after"))
    await streamed(redis_server, 2)
    publisher.stop()
    await running
    first, second = sequence(redis_server)
    assert (second, publisher.dropped) == (first + 1, 0)
    await publisher.close()


async def test_a_lease_that_another_took_is_lost_by_name_and_what_waits_is_counted(
    redis_server: RedisServer, leases: list[Lease]
) -> None:
    """The new holder is named, nothing more is written to the streams, and dropped events are counted."""
    publisher = TradingEventPublisher(redis_server.url, fence=await leases[0].take(wait=False))
    await publisher.connect()
    redis_server.client.set(key(), "99999999999999:tower:4711")
    for _ in range(7):
        publisher.publish(Channel.STATUS, status("too late"))
    with pytest.raises(LeaseLost, match="host tower, pid 4711"):
        await publisher.run()
    assert publisher.give_up() == 7
    assert publisher.dropped == 7
    await publisher.close()
    assert redis_server.client.xlen("market_data:stream:status") == 0
    assert redis_server.client.get(key()) == "99999999999999:tower:4711"


async def test_what_was_given_up_is_still_announced(redis_server: RedisServer, leases: list[Lease]) -> None:
    """A notice that no batch can hold is published by itself, but not added to the stream of the new holder."""
    publisher = TradingEventPublisher(redis_server.url, fence=await leases[0].take(wait=False))
    await publisher.connect()
    client: Any = redis_server.client  # Any: redis-py leaves pubsub untyped
    heard = client.pubsub(ignore_subscribe_messages=True)
    heard.subscribe("market_data:status")
    redis_server.client.set(key(), "99999999999999:tower:4711")
    publisher.publish(Channel.STATUS, status("too late"))
    with pytest.raises(LeaseLost):
        await publisher.run()
    publisher.give_up()
    publisher.publish(Channel.STATUS, status("given up"))
    await publisher.send_notices()
    await publisher.close()
    assert heard.get_message(timeout=DEADLINE_S) is None  # the subscription itself
    assert orjson.loads(heard.get_message(timeout=DEADLINE_S)["data"])["reason"] == "given up"
    assert heard.get_message(timeout=0.2) is None
    heard.close()
    assert redis_server.client.xlen("market_data:stream:status") == 0


# -- outages beside a standby


@pytest.mark.parametrize("tenths", [5, 10, 18, 24, 26, 29, 31, 45, 60, 80])
async def test_no_standby_takes_over_from_a_streamer_that_comes_back(redis_server: RedisServer, tenths: int) -> None:
    """However long Redis was away, a standby that sees the lease free waits until the streamer must be back.

    Time is what the standby sleeps: Redis, which forgets everything, is away for this long, and the streamer takes
    its lease again 4 s after Redis is back, the longest it may need.
    """
    events = {0.5: "kill", 0.5 + tenths / 10: "start", 0.5 + tenths / 10 + 4.0: "back"}
    now = 0.0

    async def pass_time(seconds: float) -> None:
        nonlocal now
        now += seconds
        for at in [at for at in sorted(events) if at <= now]:
            match events.pop(at):
                case "kill":
                    redis_server.kill()
                case "start":
                    redis_server.start()
                case _:
                    redis_server.client.set(key(), "7:tower:4711", nx=True)
        await asyncio.sleep(0)

    lease = Lease(redis_server.url, "market_data", sleep=pass_time)
    lease.of_account(CUSTOMER)
    redis_server.client.set(key(), "7:tower:4711")
    waiting = asyncio.create_task(lease.take(wait=True))
    await until(lambda: now > 25 or waiting.done())
    taken = waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})
    await lease.close()
    assert not taken
    assert redis_server.client.get(key()) == "7:tower:4711"


async def test_a_lease_that_vanished_is_left_to_its_holder_for_a_moment(redis_server: RedisServer) -> None:
    """A lease that was deleted under a living streamer is taken back by it within a second, not by the standby."""
    pauses: list[float] = []

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            redis_server.client.delete(key())
        elif len(pauses) == 3:
            redis_server.client.set(key(), "7:tower:4711", nx=True)
        await asyncio.sleep(0)

    lease = Lease(redis_server.url, "market_data", sleep=note)
    lease.of_account(CUSTOMER)
    redis_server.client.set(key(), "7:tower:4711")
    waiting = asyncio.create_task(lease.take(wait=True))
    await until(lambda: len(pauses) > 6 or waiting.done())
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})
    await lease.close()


# -- one prefix, one account


async def test_a_prefix_belongs_to_one_account(redis_server: RedisServer, leases: list[Lease]) -> None:
    """A second account under the same prefix is refused, with the streamer and the setting to change, come what may."""
    fence = await leases[0].take(wait=False)
    other = Lease(redis_server.url, "market_data", sleep=yield_once)
    other.of_account("f" * 64)
    for wait, by_force in ((True, False), (False, False), (False, True)):
        with pytest.raises(LeaseLost, match=rf"{describe(fence.holder)}.*SCHWAB_REDIS_PREFIX"):
            await other.take(wait=wait, by_force=by_force)
    assert redis_server.client.get(key()) == fence.holder
    elsewhere = Lease(redis_server.url, "another", sleep=yield_once)
    elsewhere.of_account("f" * 64)
    await elsewhere.take(wait=False)
    await other.close()
    await elsewhere.close()


async def test_of_two_accounts_started_at_once_one_publishes(redis_server: RedisServer) -> None:
    """Two accounts that start at the same moment, a hundred times: exactly one gets the prefix, and gives it back."""
    contenders = [Lease(redis_server.url, "market_data", sleep=yield_once) for _ in range(2)]
    for number, each in enumerate(contenders):
        each.of_account(f"{number}" * 64)
    for _ in range(ROUNDS):
        fences = await asyncio.gather(*(each.take(wait=False) for each in contenders), return_exceptions=True)
        (fence,) = [fence for fence in fences if isinstance(fence, Fence)]
        (refusal,) = [fence for fence in fences if not isinstance(fence, Fence)]
        assert isinstance(refusal, LeaseLost)
        await publish(redis_server, fence, "mine", events=1)
        assert redis_server.client.keys("market_data:lease:*") == ["market_data:lease:tenures"]
        assert redis_server.client.exists("market_data:owner") == 0
    for each in contenders:
        await each.close()


async def test_a_prefix_that_another_account_took_meanwhile_fences_the_writer(
    redis_server: RedisServer, leases: list[Lease]
) -> None:
    """A streamer paused past its claims finds another account under its prefix: it publishes nothing more."""
    publisher = TradingEventPublisher(redis_server.url, fence=await leases[0].take(wait=False))
    await publisher.connect()
    redis_server.client.set("market_data:owner", "somebody else")
    publisher.publish(Channel.STATUS, status("too late"))
    with pytest.raises(LeaseLost, match="SCHWAB_REDIS_PREFIX"):
        await publisher.run()
    await publisher.close()
    assert redis_server.client.xlen("market_data:stream:status") == 0
    assert redis_server.client.get("market_data:owner") == "somebody else"


async def test_another_database_of_the_same_redis_is_no_way_around(redis_server: RedisServer) -> None:
    """Databases share pub/sub channels: under a prefix that is taken in one, another account is refused in all."""
    live = Lease(redis_server.url, "market_data", sleep=yield_once)
    live.of_account(CUSTOMER)
    await live.take(wait=False)
    beside = f"{redis_server.url.removesuffix('/0')}/3"
    simulation = Lease(beside, "market_data", sleep=yield_once)
    with pytest.raises(LeaseLost, match="SCHWAB_REDIS_PREFIX"):
        await simulation.of_simulation()
    other = Lease(beside, "market_data", sleep=yield_once)
    other.of_account("f" * 64)
    with pytest.raises(LeaseLost, match="SCHWAB_REDIS_PREFIX"):
        await other.take(wait=True)
    elsewhere = Lease(beside, "demo", sleep=yield_once)
    elsewhere.of_account("f" * 64)
    await elsewhere.take(wait=False)
    for each in (live, simulation, other, elsewhere):
        await each.close()


async def test_a_simulation_keeps_away_from_a_live_streamer(redis_server: RedisServer) -> None:
    """A simulation is refused where a live streamer reports, whatever its version, not beside another simulation."""
    lease = Lease(redis_server.url, "market_data", sleep=yield_once)
    report = {"state": "waiting", "since": 1, "reported": 1, "started": 1, "pid": 7, "host": "tower", "version": "0"}
    redis_server.client.set("market_data:streamer", orjson.dumps(report))
    with pytest.raises(LeaseLost, match=r"live streamer.*host tower, pid 7.*SCHWAB_REDIS_PREFIX"):
        await lease.of_simulation()
    redis_server.client.set("market_data:streamer", orjson.dumps({**report, "simulated": True}))
    await lease.of_simulation()
    await lease.take(wait=False)
    live = Lease(redis_server.url, "market_data", sleep=yield_once)
    live.of_account(CUSTOMER)
    with pytest.raises(LeaseLost, match="SCHWAB_REDIS_PREFIX"):
        await live.take(wait=True)
    await live.close()
    await lease.close()
