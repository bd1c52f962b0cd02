"""Transactions over one connection to Redis: refused, cut off or answered with nonsense, none is lost or split."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from schwabstream.errors import LeaseLost
from schwabstream.events import Channel
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.packing import command
from schwabstream.publishing.transaction import TransactionWriter
from tests.support.cutting_proxy import CuttingProxy
from tests.support.publishing import Audience, event, last, numbers, stream, writing
from tests.support.waiting import until


@contextlib.contextmanager
def out_of_memory(server: Any) -> Iterator[str]:
    """A Redis that is full."""
    server.client.config_set("maxmemory", 1)
    yield "OOM"
    server.client.config_set("maxmemory", 0)


@contextlib.contextmanager
def read_only(server: Any) -> Iterator[str]:
    """A Redis that became a replica."""
    server.client.replicaof("127.0.0.1", 9)
    yield "READONLY"
    server.client.replicaof("NO", "ONE")


@contextlib.contextmanager
def no_permission(server: Any) -> Iterator[str]:
    """A Redis that took a right away."""
    server.client.acl_setuser("default", enabled=True, commands=["-xadd"])
    yield "NOPERM|no permissions"
    server.client.acl_setuser("default", enabled=True, commands=["+xadd"])


@pytest.mark.parametrize("fault", [out_of_memory, read_only, no_permission])
async def test_a_refused_batch_is_repeated_whole_and_in_order(redis_server: Any, fault: Any) -> None:
    """While Redis refuses, subscribers receive nothing; afterwards each event comes once, in order, with its seq."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        publisher.publish(Channel.TICKS, event(n=0))
        await audience.until(lambda it: it.numbers() == [0])
        with fault(redis_server) as word:
            for n in range(1, 50):
                publisher.publish(Channel.TICKS, event("AAPL" if n % 2 else "/NQ", n=n))
            await until(lambda: publisher.outage is not None)
            assert any(part in str(publisher.outage) for part in word.split("|"))
            assert publisher.connected is False
            publisher.publish(Channel.TICKS, event(n=50))
            assert audience.numbers() == [0]
            assert publisher.queued == 50
        await audience.until(lambda it: len(it.heard["ticks"]) == 51)
    seqs = [each["seq"] for each in audience.heard["ticks"]]
    assert audience.numbers() == list(range(51))
    assert seqs == list(range(seqs[0], seqs[0] + 51))
    assert stream(redis_server.client) == audience.heard["ticks"]
    assert publisher.published == 51
    assert (publisher.dropped, publisher.counts["outages"], publisher.outage) == (0, 1, None)


@pytest.mark.parametrize("kind", ["half", "unanswered"])
async def test_a_connection_cut_in_a_batch_loses_nothing_and_repeats_nothing(redis_server: Any, kind: str) -> None:
    """Cut before EXEC, the batch is written after the reconnect; cut before its answer, it is found to be there."""
    proxy = CuttingProxy(redis_server.port)
    async with Audience(redis_server.url) as audience, proxy as url, writing(url) as publisher:
        publisher.publish(Channel.TICKS, event(n=0))
        await audience.until(lambda it: it.numbers() == [0])
        proxy.cut = kind
        for n in range(1, 20):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: proxy.cuts == 1 and publisher.connected and not publisher.queued)
        publisher.publish(Channel.TICKS, event(n=20))
        await audience.until(lambda it: it.numbers()[-1] == 20)
    heard = audience.heard["ticks"]
    assert stream(redis_server.client) == heard
    assert [each["seq"] - heard[0]["seq"] for each in heard] == numbers(heard) == list(range(21))
    assert last(redis_server.client)["/MES:XCME"]["n"] == 20
    assert publisher.published == 21
    assert publisher.counts["already there"] == (0 if kind == "half" else 19)
    assert publisher.counts["sent again"] == 0


async def test_a_redis_that_stops_answering_is_given_up_and_found_again(redis_server: Any) -> None:
    """A frozen Redis counts as away after its time; once it thaws everything is written."""
    async with writing(redis_server.url) as publisher:
        redis_server.freeze()
        for n in range(10):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: publisher.outage is not None)
        assert "no answer in time" in str(publisher.outage)
        redis_server.thaw()
        await until(lambda: publisher.published == 10)
    assert numbers(stream(redis_server.client)) == list(range(10))


@contextlib.asynccontextmanager
async def speaking_first(port: int, words: bytes, *, instead: bool) -> AsyncIterator[str]:
    """The address of a Redis that puts these words before, or instead of, its answers to the first batch."""
    spoken: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        while request := await reader.read(65_536):
            if b"EXEC" in request and not spoken:
                spoken.append(True)
                writer.write(words)
                if instead:
                    continue
            there_writer.write(request)
            writer.write(await there_reader.read(65_536))
        writer.close()
        there_writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    assert spoken


async def test_a_redis_that_talks_nonsense_is_an_outage(redis_server: Any) -> None:
    """Answers that are not Redis's protocol end the connection, not the writer."""
    nonsense = speaking_first(redis_server.port, b"HTTP/1.1 400 Bad Request\r\n\r\n", instead=True)
    async with nonsense as url, writing(url) as publisher:
        publisher.publish(Channel.TICKS, event(n=1))
        await until(lambda: publisher.published == 1)
    assert numbers(stream(redis_server.client)) == [1]
    assert publisher.counts["outages"] == 1


async def test_push_messages_of_redis_are_not_taken_for_answers(redis_server: Any) -> None:
    """Push messages of a server, such as about maintenance, do not shift the answers."""
    async with (
        speaking_first(redis_server.port, b">2\r\n$9\r\nMIGRATING\r\n:30\r\n", instead=False) as url,
        writing(url) as publisher,
    ):
        for n in range(3):
            publisher.publish(Channel.TICKS, event(n=n))
            await until(lambda: not publisher.queued)
    assert numbers(stream(redis_server.client)) == [0, 1, 2]
    assert publisher.counts == Counter()


FENCE = Fence("p:lease:1", "7:tower:4711", "p:owner", "ours", life_ms=60_000)


@contextlib.asynccontextmanager
async def writer(url: str, fence: Fence | None = None) -> AsyncIterator[tuple[TransactionWriter, list[Any]]]:
    """A connected writer, and the replies and errors it reported."""
    reported: list[Any] = []
    transactions = TransactionWriter(url, "market_data", reported.append, reported.append, fence=fence)
    await transactions.connect()
    try:
        yield transactions, reported
    finally:
        await transactions.close()


@pytest.mark.parametrize("fence", [None, FENCE])
async def test_each_command_of_a_transaction_has_its_reply(redis_server: Any, fence: Fence | None) -> None:
    """Replies come in the order of the commands, an error of one command among them, and without those of the fence."""
    redis_server.client.set("text", "x")
    async with writer(redis_server.url, fence) as (transactions, reported):
        transactions.transact([command("INCR", "n"), command("INCR", "text"), command("INCR", "n")], 3)
        ((first, error, last_),) = await until(lambda: reported)
        assert not transactions.busy
    assert (first, last_) == (1, 2)
    assert "not an integer" in str(error)
    assert redis_server.client.get("n") == "2"


async def test_nothing_is_written_under_the_lease_of_another(redis_server: Any) -> None:
    """When another process takes the lease, the transaction is discarded by Redis and the loss names the process."""
    async with writer(redis_server.url, FENCE) as (transactions, reported):
        redis_server.client.set(FENCE.key, "8:other:15")
        transactions.transact([command("SET", "written", "1")], 1)
        (lost,) = await until(lambda: reported)
    assert isinstance(lost, LeaseLost)
    assert "host other, pid 15" in str(lost)
    assert redis_server.client.get("written") is None
    assert redis_server.client.get(FENCE.key) == "8:other:15"


async def test_the_claims_are_given_back_at_the_end(redis_server: Any) -> None:
    """Closing deletes both claims, so that the next streamer need not wait until they expire."""
    async with writer(redis_server.url, FENCE):
        assert redis_server.client.mget(FENCE.key, FENCE.account_key) == [FENCE.holder, FENCE.account]
    assert redis_server.client.exists(FENCE.key, FENCE.account_key) == 0
