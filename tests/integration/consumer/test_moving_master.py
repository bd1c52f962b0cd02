"""Readers when another node becomes the master, and when a node answers that it cannot serve now.

Scripted servers on virtual time: what a reader sends to which of them, and what it yields.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.consumer import GroupReader, Subscription, read_stream, subscribe
from schwabstream.consumer.streams.redis_stream import BLOCK_MS, RedisStream
from schwabstream.events import Channel
from schwabstream.publishing.wanted import WishPoll
from schwabstream.report import StreamerReport, SymbolReport
from tests.support.scripted_node import ScriptedNode, scripted_nodes
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.support.waiting import until

AWAY = [
    "MOVED 152 127.0.0.1:1",
    "ASK 152 127.0.0.1:1",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CLUSTERDOWN The cluster is down",
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "LOADING Redis is loading the dataset in memory",
    "NOREPLICAS Not enough good replicas to write.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
]


def tick(seq: int, **more: Any) -> bytes:
    """A tick as the streamer publishes it."""
    event = {"v": 1, "type": "tick", "symbol": "AAPL", "key": "AAPL", "seq": seq, "prev": seq - 1, "timestamp": 1}
    return orjson.dumps(event | {"received_us": 1, "asset": "EQUITY", "last_price": 1.0, "is_trade": False} | more)


def entry(seq: int) -> list[Any]:
    """A tick as an entry of its stream."""
    return [f"{seq}-0".encode(), [b"symbol", b"AAPL", b"event", tick(seq)]]


def stream_of(*entries: list[Any]) -> dict[str, Any]:
    """The answers of a server whose streams have these entries."""

    def range_to(command: list[bytes]) -> list[Any]:
        newest_first = list(reversed(entries))
        if command[2] == b"+":
            return newest_first[:1]
        upper = int(command[2].split(b"-")[0])
        return [each for each in newest_first if int(each[0].split(b"-")[0]) <= upper][:1]

    def read(command: list[bytes]) -> list[Any] | None:
        after = int(command[-1].split(b"-")[0])
        found = [each for each in entries if int(each[0].split(b"-")[0]) > after]
        return [[command[-2], found]] if found else None

    return {"XREVRANGE": range_to, "XREAD": read}


def group_of(*entries: list[Any]) -> dict[str, Any]:
    """The answers of a server whose group has still to hand out these entries."""
    left = list(entries)

    def read(command: list[bytes]) -> list[Any] | None:
        if command[-1] != b">":
            return [[b"stream", []]]
        found, left[:] = left[:], []
        return [[b"stream", found]] if found else None

    counts = [b"length", 1, b"last-generated-id", b"1-0", b"entries-added", 1]
    stream = [*counts, b"first-entry", None, b"last-entry", None]
    group = [b"name", b"desk", b"last-delivered-id", b"0-0", b"entries-read", 0]
    state = {"XINFO": lambda command: stream if command[1] == b"STREAM" else [group]}
    acks = {"XGROUP": "OK", "XACK": 1, "XAUTOCLAIM": [b"0-0", [], []]}
    return {"XREADGROUP": read, "XREAD": None, "XREVRANGE": []} | state | acks


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario on virtual time."""

    async def in_time() -> None:
        async with asyncio.timeout(60):
            await scenario()

    run_virtual(in_time(), VirtualLoop())


def sentinel_url(node: ScriptedNode) -> str:
    """The URL of the master that this node names, as a Sentinel."""
    return f"redis+sentinel://127.0.0.1:{node.port}/mymaster"


def promote(new: ScriptedNode, *nodes: ScriptedNode) -> None:
    """Let every node name another master; the old one keeps its connections, and answers."""
    for node in nodes:
        node.master = new
        node.is_master = node is new


@pytest.mark.parametrize("reply", AWAY)
@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}", "redis+cluster://127.0.0.1:{}"])
def test_a_stream_is_read_on_after_a_node_was_away(reply: str, url: str) -> None:
    """An answer that another node serves, or that this one cannot now, ends no reader: it connects again."""

    async def scenario() -> None:
        async with scripted_nodes(**stream_of(entry(1), entry(2))) as (node,):
            entries = read_stream(Channel.TICKS, from_id="0", redis_url=url.format(node.port), batch=1)
            async with contextlib.aclosing(entries):
                node.refusals += [("XREAD", reply), ("XREAD", reply)]
                assert [(await anext(entries)).event.seq, (await anext(entries)).event.seq] == [1, 2]
            assert node.commands.count("XREAD") >= 3
            assert len(node.writers) >= 3

    play(scenario)


@pytest.mark.parametrize("reply", AWAY)
@pytest.mark.parametrize("form", ["redis://127.0.0.1:{}", "redis+cluster://127.0.0.1:{}"])
def test_a_group_is_read_on_after_a_node_was_away(reply: str, form: str) -> None:
    """The same for a group, whose reads are transactions."""

    async def scenario() -> None:
        async with scripted_nodes(**group_of(entry(1))) as (node,):
            url = form.format(node.port)
            async with GroupReader(Channel.TICKS, "desk", "one", redis_url=url) as reader:
                node.refusals += [("XREADGROUP", reply), ("XINFO", reply), ("XACK", reply)]
                one = await anext(reader)
                await reader.acknowledge(one.id)
                await reader.flush()
            assert node.commands.count("XACK") == 2

    play(scenario)


def test_a_group_that_is_gone_is_created_again_when_redis_has_memory_for_it() -> None:
    """A reader waits while Redis is out of memory, as during an outage, and logs the reason once."""

    async def scenario() -> None:
        async with scripted_nodes(**group_of(entry(1))) as (node,):
            url = f"redis://127.0.0.1:{node.port}"
            async with GroupReader(Channel.TICKS, "desk", "one", redis_url=url) as reader:
                gone = ("XREADGROUP", "NOGROUP No such key or consumer group")
                full = ("XGROUP", "OOM command not allowed when used memory > 'maxmemory'.")
                node.refusals += [gone, full, gone, full, gone, full]
                with capture_logs() as logs:
                    assert (await anext(reader)).event.seq == 1
            assert not node.refusals
            warned = [line for line in logs if line["log_level"] == "warning"]
            assert [line.get("reason") for line in warned] == ["command not allowed when used memory > 'maxmemory'."]

    play(scenario)


def test_a_refusal_ends_a_stream() -> None:
    """Any other refusal is an error at once."""

    async def scenario() -> None:
        async with scripted_nodes(**stream_of()) as (node,):
            node.refusals += [("XREAD", "WRONGTYPE Operation against a key holding the wrong kind of value")]
            entries = read_stream(Channel.TICKS, redis_url=f"redis://127.0.0.1:{node.port}")
            with pytest.raises(Exception, match="WRONGTYPE"):
                await anext(entries)

    play(scenario)


def test_a_stream_is_read_from_the_new_master_while_the_old_one_answers() -> None:
    """Two answers of the route that name another master, one second apart, move a reader there."""

    async def scenario() -> None:
        async with scripted_nodes(2) as (old, new):
            old.answers, new.answers = stream_of(entry(1)), stream_of(entry(1), entry(2))
            entries = read_stream(Channel.TICKS, from_id="0", redis_url=sentinel_url(old))
            async with contextlib.aclosing(entries):
                assert (await anext(entries)).event.seq == 1
                promote(new, old, new)
                began = asyncio.get_running_loop().time()
                assert (await anext(entries)).event.seq == 2
                assert asyncio.get_running_loop().time() - began <= 2 + 2 * BLOCK_MS / 1000

    play(scenario)


def test_a_group_is_read_and_acknowledged_at_the_new_master() -> None:
    """A group's reader moves with both of its connections."""

    async def scenario() -> None:
        async with scripted_nodes(2) as (old, new):
            old.answers, new.answers = group_of(entry(1)), group_of(entry(1), entry(2))
            async with GroupReader(Channel.TICKS, "desk", "one", redis_url=sentinel_url(old)) as reader:
                first = await anext(reader)
                await reader.acknowledge(first.id)
                await reader.flush()
                promote(new, old, new)
                second = await anext(reader)
                assert second.event.seq == 2
                before = old.commands.count("XACK")
                await reader.acknowledge(second.id)
            assert old.commands.count("XACK") == before
            acknowledged = {each for command in new.received if command[0] == b"XACK" for each in command[3:]}
            assert acknowledged == {b"1-0", b"2-0"}

    play(scenario)


def test_a_subscription_leaves_a_master_that_still_answers() -> None:
    """A subscribed connection to a demoted node is quiet and answers PING; the route moves it to the new master."""

    async def scenario() -> None:
        async with (
            scripted_nodes(2, HVALS=[]) as (old, new),
            Subscription(kinds={Channel.TICKS}, redis_url=sentinel_url(old)) as subscription,
        ):
            old.push("message", "market_data:ticks", tick(1))
            assert (await anext(subscription)).seq == 1
            promote(new, old, new)
            await until(lambda: new.subscribed, within_s=5)
            new.push("message", "market_data:ticks", tick(2))
            assert (await anext(subscription)).seq == 2

    play(scenario)


def test_a_subscription_reads_the_last_values_of_the_new_master() -> None:
    """No connection to the old master is used again: it may be frozen, and its values are out of date."""

    async def scenario() -> None:
        async with (
            scripted_nodes(2, HVALS=[]) as (old, new),
            Subscription(kinds={Channel.TICKS}, redis_url=sentinel_url(old)),
        ):
            asked = old.commands.count("HVALS")
            promote(new, old, new)
            await until(lambda: (old.commands + new.commands).count("HVALS") > asked, within_s=10)
            assert old.commands.count("HVALS") == asked

    play(scenario)


@pytest.mark.parametrize("outcome", ["an answer", ConnectionError("broken")])
def test_a_cancellation_that_redis_py_loses_ends_a_read(outcome: str | Exception) -> None:
    """Cancelled during a read, a reader ends, whether redis-py then answers or fails."""

    async def scenario() -> None:
        stream = RedisStream("redis://127.0.0.1:1/0", "market_data", Channel.TICKS, ())

        async def lose_the_cancellation() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if isinstance(outcome, Exception):
                    raise outcome from None
            return str(outcome)

        reading = asyncio.create_task(stream.patiently(lose_the_cancellation))
        await asyncio.sleep(1)
        reading.cancel()
        done, _ = await asyncio.wait({reading}, timeout=30)
        assert (done, reading.cancelled()) == ({reading}, True)
        await stream.close()

    play(scenario)


def test_readers_on_a_replica_move_to_another_one_and_to_the_master() -> None:
    """A reader of replicas leaves one that is not connected to the master; without any, it reads the master."""

    async def scenario() -> None:
        async with scripted_nodes(3, HVALS=[]) as (master, *replicas):
            for replica in replicas:
                replica.master, replica.is_master = master, False
            master.replicas = replicas
            url = f"{sentinel_url(master)}?read_from=replica"
            async with Subscription(kinds={Channel.TICKS}, redis_url=url):
                assert not master.subscribed
                for _ in replicas:
                    (current,) = (node for node in replicas if node.subscribed)
                    current.subscribed.clear()
                    master.replicas = [node for node in master.replicas if node is not current]
                    expected = master.replicas[0] if master.replicas else master
                    await until(functools.partial(len, expected.subscribed), within_s=5)

    play(scenario)


def test_the_poll_for_wishes_follows_the_master() -> None:
    """A demoted node would show no listener, and every symbol would be released."""

    async def scenario() -> None:
        listening = {"ZRANGEBYSCORE": [], "ZREVRANGEBYSCORE": [], "ZREMRANGEBYSCORE": 0}
        async with scripted_nodes(2, **listening) as (old, new):
            old.answers = listening | {"PUBSUB": []}
            new.answers = listening | {"PUBSUB": lambda command: [command[2].replace(b"*", b"AAPL")]}
            wishes: list[object] = []
            poll = WishPoll(sentinel_url(old), "market_data", wishes.append)
            polling = asyncio.ensure_future(poll.run())
            await until(lambda: wishes)
            assert wishes[-1] == {}
            promote(new, old, new)
            await until(lambda: wishes[-1] == {"AAPL": "wanted"}, within_s=5)
            polling.cancel()
            await asyncio.wait({polling})

    play(scenario)


def report() -> bytes:
    """The report of a streamer that publishes the channel of AAPL."""
    row = SymbolReport(symbol="AAPL", key="AAPL", asset="EQUITY")
    given: dict[str, Any] = {"state": "streaming", "since": 1, "reported": 1, "started": 1, "pid": 1, "host": "box"}
    return StreamerReport(version="1", symbol_channels=True, symbols=(row,), **given).model_dump_json().encode()


def test_symbol_channels_of_a_cluster_are_sharded() -> None:
    """On a Cluster a reader of a symbol sends SSUBSCRIBE for its channel and SUBSCRIBE for the shared ones."""

    async def scenario() -> None:
        async with scripted_nodes(GET=report(), HMGET=[None]) as (node,):
            events = subscribe("AAPL", kinds={Channel.TICKS}, redis_url=f"redis+cluster://127.0.0.1:{node.port}")
            async with contextlib.aclosing(events):
                first = asyncio.ensure_future(anext(events))
                await until(lambda: len(node.subscribed) == 2)
                node.push("smessage", "{market_data}:ticks:AAPL", tick(7))
                assert (await first).seq == 7
            sent = [command for command in node.received if b"SUBSCRIBE" in command[0]]
            assert sent == [[b"SUBSCRIBE", b"{market_data}:status"], [b"SSUBSCRIBE", b"{market_data}:ticks:AAPL"]]

    play(scenario)


@pytest.mark.parametrize("event", ["sunsubscribe", "refused"])
def test_a_slot_that_moves_ends_no_subscription(event: str) -> None:
    """When a node ends a sharded subscription by itself, or refuses one with MOVED, the reader subscribes again."""

    async def scenario() -> None:
        async with scripted_nodes(GET=report(), HMGET=[None]) as (node,):
            events = subscribe("AAPL", kinds={Channel.TICKS}, redis_url=f"redis+cluster://127.0.0.1:{node.port}")
            async with contextlib.aclosing(events):
                first = asyncio.ensure_future(anext(events))
                await until(lambda: len(node.subscribed) == 2)
                name = "{market_data}:ticks:AAPL"
                writer = node.subscribed[name.encode()]
                if event == "refused":
                    writer.write(b"-MOVED 152 127.0.0.1:1\r\n")
                else:
                    node.push("sunsubscribe", name, 0)
                await until(lambda: node.subscribed[name.encode()] is not writer)
                node.push("smessage", name, tick(8))
                assert (await first).seq == 8

    play(scenario)


def test_the_poll_for_wishes_lists_sharded_channels_of_a_cluster() -> None:
    """Listeners of sharded channels are visible to PUBSUB SHARDCHANNELS alone."""

    async def scenario() -> None:
        def listed(command: list[bytes]) -> list[bytes]:
            return [b"{market_data}:ticks:AAPL"] if command[1:] == [b"SHARDCHANNELS", b"{market_data}:ticks:*"] else []

        wishes: list[object] = []
        async with scripted_nodes(ZRANGEBYSCORE=[], ZREVRANGEBYSCORE=[], PUBSUB=listed) as (node,):
            poll = WishPoll(f"redis+cluster://127.0.0.1:{node.port}", "market_data", wishes.append)
            await poll.poll()
            await poll.close()
        assert wishes == [{"AAPL": "wanted"}]

    play(scenario)


def test_messages_published_while_the_last_values_are_read_all_come() -> None:
    """Messages between the subscription and its last values are delivered in order, and not as repetitions."""

    async def scenario() -> None:
        async with scripted_nodes() as (node,):

            def last_values(_command: list[bytes]) -> list[bytes]:
                for seq in (1, 2, 3):
                    node.push("message", "market_data:ticks", tick(seq))
                return [tick(3)]

            node.answers["HVALS"] = last_values
            url = f"redis://127.0.0.1:{node.port}"
            async with Subscription(kinds={Channel.TICKS}, redis_url=url) as subscription:
                assert [(await anext(subscription)).seq for _ in range(3)] == [1, 2, 3]
                node.push("message", "market_data:ticks", tick(4))
                assert (await anext(subscription)).seq == 4

    play(scenario)


@pytest.mark.parametrize("reply", AWAY)
def test_a_subscription_outlives_answers_that_a_node_is_away(reply: str) -> None:
    """While it reconnects, a subscription takes such an answer for an outage."""

    async def scenario() -> None:
        async with scripted_nodes(HVALS=[]) as (node,):
            url = f"redis+cluster://127.0.0.1:{node.port}"
            async with Subscription(kinds={Channel.TICKS}, redis_url=url) as subscription:
                node.refusals += [("HVALS", reply), ("HVALS", reply)]
                node.cut()
                await until(lambda: subscription.outage is None and node.commands.count("HVALS") == 4)
                node.push("message", "{market_data}:ticks", tick(1))
                assert (await anext(subscription)).seq == 1

    play(scenario)
