"""Events in Redis: numbered, in order, everywhere at once; refused, cut off or shut out, nothing is lost unseen."""

import asyncio
import contextlib
import itertools
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self

import orjson
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from structlog.testing import capture_logs

from schwabstream.errors import ConfigurationError, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.publishing.channel_queue import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from schwabstream.publishing.publisher import TradingEventPublisher

DEADLINE_S = 10.0
PASSWORD = "pa55@word/äß"
QUOTED = "pa55%40word%2F%C3%A4%C3%9F"


def event(symbol: str | None = "/MES:XCME", **values: Any) -> dict[str, Any]:
    """An event as the market lends it."""
    return {"v": 1, "type": "tick", "symbol": symbol, "key": symbol, "seq": 0, **values}


class Audience:
    """Everything that subscribers of one Redis hear, by channel, in order."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url, socket_timeout=None)
        self._change = asyncio.Event()
        self.heard: dict[str, list[dict[str, Any]]] = {str(channel): [] for channel in Channel}

    async def __aenter__(self) -> Self:
        self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)
        await self._pubsub.psubscribe("market_data:*")
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        await self._pubsub.aclose()
        await self._client.aclose()

    async def _listen(self) -> None:
        async for message in self._pubsub.listen():
            if message["type"] == "pmessage":
                self.heard[message["channel"].decode().partition(":")[2]].append(orjson.loads(message["data"]))
                self._change.set()

    async def until(self, condition: Callable[["Audience"], bool]) -> None:
        """Wait until something was heard."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition(self):
                self._change.clear()
                await self._change.wait()

    def numbers(self, channel: str = "ticks") -> list[int]:
        """The ``n`` of each event heard on a channel."""
        return [each["n"] for each in self.heard[channel]]


def stream(client: "redis.Redis", channel: str = "ticks") -> list[dict[str, Any]]:
    """The events in a channel's stream, oldest first; each entry names its event's symbol."""
    entries: Any = client.xrange(f"market_data:stream:{channel}")
    events = []
    for _, fields in entries:
        assert set(fields) == {"symbol", "event"}
        one = orjson.loads(fields["event"])
        assert fields["symbol"] == (one["symbol"] or "")
        events.append(one)
    return events


def last(client: "redis.Redis", channel: str = "ticks") -> dict[str, Any]:
    """The last-value hash of a channel."""
    values: Any = client.hgetall(f"market_data:last:{channel}")
    return {symbol: orjson.loads(value) for symbol, value in values.items()}


def numbers(events: list[dict[str, Any]]) -> list[int]:
    """The ``n`` of each."""
    return [each["n"] for each in events]


@contextlib.asynccontextmanager
async def writing(url: str, **options: Any) -> AsyncIterator[TradingEventPublisher]:
    """A connected publisher whose writer runs; at the end everything queued is written."""
    publisher = TradingEventPublisher(url, **options)
    try:
        await publisher.connect()
        task = asyncio.create_task(publisher.run())
        try:
            yield publisher
            publisher.stop()
            async with asyncio.timeout(DEADLINE_S):
                await task
        finally:
            task.cancel()
            await asyncio.wait({task})
    finally:
        await publisher.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nothing signals."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


# -- what is written


async def test_an_event_is_published_kept_as_last_and_added_to_the_stream(redis_server: Any) -> None:
    """Subscribers, the last-value hash and the stream get the same event, in one go (contract 4)."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        publisher.publish(Channel.TICKS, event(last_price=4500.25))
        await audience.until(lambda it: bool(it.heard["ticks"]))
        (heard,) = audience.heard["ticks"]
        assert heard["last_price"] == 4500.25
        assert last(redis_server.client) == {"/MES:XCME": heard}
        assert stream(redis_server.client) == [heard]
        assert publisher.published == 1
        assert publisher.round_trip_s is not None


async def test_each_channel_has_its_own_names(redis_server: Any) -> None:
    """Ticks and books have last values; bars and status only channel and stream; a status has the empty symbol."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        for channel in (Channel.TICKS, Channel.LEVEL2, Channel.BARS):
            publisher.publish(channel, event("AAPL"))
        publisher.publish(Channel.STATUS, event(None))
        await audience.until(lambda it: all(it.heard.values()))
    assert sorted(redis_server.client.keys("*")) == [
        "market_data:last:level2",
        "market_data:last:ticks",
        "market_data:stream:bars",
        "market_data:stream:level2",
        "market_data:stream:status",
        "market_data:stream:ticks",
    ]
    assert [len(stream(redis_server.client, str(channel))) for channel in Channel] == [1, 1, 1, 1]


async def test_the_prefix_is_the_first_part_of_every_name(redis_server: Any) -> None:
    """Another prefix moves every channel and key."""
    async with writing(redis_server.url, prefix="demo") as publisher:
        publisher.publish(Channel.TICKS, event())
        publisher.publish_report(b"{}")
    assert sorted(redis_server.client.keys("*")) == ["demo:last:ticks", "demo:stream:ticks", "demo:streamer"]


async def test_the_last_value_is_the_newest_of_its_symbol(redis_server: Any) -> None:
    """Of one batch with many events of a symbol the hash holds the newest, while stream and subscribers get all."""
    publisher = TradingEventPublisher(redis_server.url)
    for n in range(100):
        publisher.publish(Channel.TICKS, event("AAPL" if n % 2 else "/NQ", n=n))
    async with Audience(redis_server.url) as audience:
        await publisher.connect()
        publisher.stop()
        await publisher.run()
        await audience.until(lambda it: len(it.heard["ticks"]) == 100)
    await publisher.close()
    assert {symbol: each["n"] for symbol, each in last(redis_server.client).items()} == {"AAPL": 99, "/NQ": 98}
    assert numbers(stream(redis_server.client)) == list(range(100))
    assert audience.numbers() == list(range(100))


async def test_the_lent_dictionary_may_be_reused(redis_server: Any) -> None:
    """An event is encoded when published: what its dictionary becomes afterwards changes nothing."""
    state = event()
    async with writing(redis_server.url) as publisher:
        for n in range(3):
            state["n"] = n
            publisher.publish(Channel.TICKS, state)
    assert numbers(stream(redis_server.client)) == [0, 1, 2]


async def test_streams_are_trimmed_to_their_maxlen(redis_server: Any) -> None:
    """A stream keeps about MAXLEN entries: never fewer, and at most one of Redis's nodes more."""
    async with writing(redis_server.url, stream_maxlen=500) as publisher:
        for n in range(3_000):
            publisher.publish(Channel.TICKS, event(n=n))
    kept = numbers(stream(redis_server.client))
    assert 500 <= len(kept) <= 600
    assert kept == list(range(3_000 - len(kept), 3_000))


async def test_maxlen_zero_switches_streams_off(redis_server: Any) -> None:
    """With 0 there are no streams, and the rest goes on."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url, stream_maxlen=0) as publisher:
        publisher.publish(Channel.TICKS, event(n=1))
        await audience.until(lambda it: it.numbers() == [1])
    assert redis_server.client.keys("*") == ["market_data:last:ticks"]


async def test_the_report_expires_by_itself(redis_server: Any) -> None:
    """The streamer's own report is one key that lives 15 s; a newer one replaces it."""
    async with writing(redis_server.url) as publisher:
        publisher.publish_report(b'{"n":1}')
        await until(lambda: redis_server.client.exists("market_data:streamer"))
        publisher.publish_report(b'{"n":2}')
    assert redis_server.client.get("market_data:streamer") == '{"n":2}'
    assert 10_000 < redis_server.client.pttl("market_data:streamer") <= 15_000


async def test_a_tap_receives_every_event_as_it_is_published(redis_server: Any) -> None:
    """What ``--json`` writes is what Redis gets, byte for byte, in the same order."""
    tapped: list[bytes] = []
    async with Audience(redis_server.url) as audience, writing(redis_server.url, tap=tapped.append) as publisher:
        for n in range(5):
            publisher.publish(Channel.TICKS, event(n=n))
        await audience.until(lambda it: len(it.heard["ticks"]) == 5)
    assert [orjson.loads(line) for line in tapped] == audience.heard["ticks"]


# -- seq and order


async def test_seq_rises_by_one_per_channel_and_never_falls_across_runs(redis_server: Any) -> None:
    """Each channel counts for itself; a later run starts above all that an earlier one gave (docs/adr/0002)."""
    moment = itertools.count(1_700_000_000)
    for _ in range(2):
        async with writing(redis_server.url, wall=lambda: float(next(moment))) as publisher:
            for n in range(2_500):
                publisher.publish(Channel.TICKS, event(n=n))
                if n % 5 == 0:
                    publisher.publish(Channel.LEVEL2, event(n=n))
    for channel, count in (("ticks", 2_500), ("level2", 500)):
        seqs = [each["seq"] for each in stream(redis_server.client, channel)]
        first, second = seqs[:count], seqs[count:]
        assert first == list(range(first[0], first[0] + count))
        assert second == list(range(second[0], second[0] + count))
        assert second[0] > first[-1]


async def test_order_is_kept_over_many_batches(redis_server: Any) -> None:
    """Whatever queues while a batch is in flight follows in order, in as many batches as it takes."""
    total = 3 * MAX_BATCH_EVENTS + 7
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        for n in range(total):
            publisher.publish(Channel.TICKS, event(n=n))
            if n % 500 == 0:
                await asyncio.sleep(0)
        await audience.until(lambda it: len(it.heard["ticks"]) == total)
    assert audience.numbers() == list(range(total))
    assert numbers(stream(redis_server.client)) == list(range(total))


async def test_a_batch_of_large_events_is_bounded_in_bytes(redis_server: Any) -> None:
    """Redis drops a subscriber that 32 MB wait for at once: large events go in several transactions, in order."""
    count = 3 * MAX_BATCH_BYTES // 20_000
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        for n in range(count):
            publisher.publish(Channel.LEVEL2, event(n=n, pad="x" * 20_000))
        await audience.until(lambda it: len(it.heard["level2"]) == count)
        assert sum(publisher.batch_sizes.counts) >= 3
    assert audience.numbers("level2") == list(range(count))


# -- refused


@contextlib.contextmanager
def out_of_memory(server: Any) -> Iterator[str]:
    """A Redis that is full."""
    server.client.config_set("maxmemory", 1)
    yield "OOM"
    server.client.config_set("maxmemory", 0)


@contextlib.contextmanager
def read_only(server: Any) -> Iterator[str]:
    """A Redis that became somebody's replica."""
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
    """While Redis refuses, nobody hears anything; afterwards everything comes once, in order, with its first seq."""
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


async def test_one_refused_command_is_told_once_counted_and_costs_nothing_else(redis_server: Any) -> None:
    """A key of the wrong type loses what would go there; the rest of each batch goes through, and the key is named."""
    redis_server.client.set("market_data:stream:ticks", "somebody's")
    with capture_logs() as logs:
        async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
            for n in range(3):
                publisher.publish(Channel.TICKS, event(n=n))
                publisher.publish(Channel.LEVEL2, event(n=n))
                await audience.until(lambda it: len(it.numbers()) == publisher.counts["refused commands"] == n + 1)  # noqa: B023 - awaited here
            await audience.until(lambda it: it.numbers("level2") == [0, 1, 2])
    assert audience.numbers() == [0, 1, 2]
    assert last(redis_server.client)["/MES:XCME"]["n"] == 2
    assert numbers(stream(redis_server.client, "level2")) == [0, 1, 2]
    assert publisher.counts["refused commands"] == 3
    (told,) = [line for line in logs if line["log_level"] == "error"]
    assert "WRONGTYPE" in told["reason"]
    assert told["name"] == "market_data:stream:ticks"


async def test_a_refused_name_is_known_until_it_takes_again(redis_server: Any) -> None:
    """The newest event that a key refused is written with the report after the repair, once, on a quiet channel too."""
    wrong = {"market_data:stream:status", "market_data:stream:ticks", "market_data:last:ticks"}
    for key in wrong:
        redis_server.client.rpush(key, "somebody's")
    async with writing(redis_server.url) as publisher:
        for n in range(2):
            publisher.publish(Channel.STATUS, event(None, n=n))
            publisher.publish(Channel.TICKS, event(n=n))
            await until(lambda: not publisher.queued)
        assert set(publisher.refusing) == wrong
        publisher.publish_report(b"{}")
        await until(lambda: publisher.counts["refused commands"] == 9)
        redis_server.client.delete(*wrong)
        publisher.publish_report(b"{}")
        await until(lambda: not publisher.refusing)
        publisher.publish_report(b"{}")
        publisher.publish(Channel.TICKS, event(n=2))
        await until(lambda: not publisher.queued)
    assert numbers(stream(redis_server.client, "status")) == [1]
    assert numbers(stream(redis_server.client)) == [1, 2]
    assert last(redis_server.client)["/MES:XCME"]["n"] == 2


# -- cut off


class Proxy:
    """A TCP proxy before Redis that can cut the connection in the middle of a batch."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.cut: str | None = None
        self.cuts = 0

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        muted = False

        async def answers() -> None:
            while answer := await there_reader.read(65_536):
                if muted:
                    self.cuts += 1
                    return
                writer.write(answer)

        task = asyncio.create_task(answers())
        while not task.done() and (request := await reader.read(65_536)):
            if self.cut == "half" and b"EXEC" in request:
                there_writer.write(request[: len(request) // 2])
                self.cut = None
                self.cuts += 1
                break
            if self.cut == "unanswered" and b"EXEC" in request:
                muted, self.cut = True, None
                there_writer.write(request)
                await asyncio.wait({task})
                break
            there_writer.write(request)
        for each in (writer, there_writer):
            each.close()
        task.cancel()
        await asyncio.wait({task})


@pytest.mark.parametrize("kind", ["half", "unanswered"])
async def test_a_connection_cut_in_a_batch_loses_nothing_and_changes_no_seq(redis_server: Any, kind: str) -> None:
    """Cut before EXEC, the batch comes once; cut before its answer, it comes again with the very same seq."""
    proxy = Proxy(redis_server.port)
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
    times = Counter(each["seq"] for each in heard)
    assert sorted(times) == list(range(heard[0]["seq"], heard[0]["seq"] + 21))
    repeated = [seq for seq, count in times.items() if count == 2]
    assert (repeated == []) if kind == "half" else (len(repeated) == 19)
    once = list({each["seq"]: each for each in heard}.values())
    assert numbers(once) == list(range(21))
    assert last(redis_server.client)["/MES:XCME"]["n"] == 20


async def test_a_restarted_redis_gets_what_waited_in_order(redis_server: Any) -> None:
    """Redis killed and started again: what was published meanwhile is written before anything newer, none twice."""
    async with writing(redis_server.url) as publisher:
        publisher.publish(Channel.TICKS, event(n=0))
        await until(lambda: publisher.published == 1)
        redis_server.kill()
        for n in range(1, 30):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: publisher.outage is not None)
        redis_server.start()
        publisher.publish(Channel.TICKS, event(n=30))
        await until(lambda: publisher.published == 31)
    assert numbers(stream(redis_server.client)) == list(range(1, 31))


async def test_a_redis_that_dies_is_noticed_before_there_is_anything_to_write(redis_server: Any) -> None:
    """An outage is told when it begins, not with the next event."""
    async with writing(redis_server.url) as publisher:
        redis_server.kill()
        await until(lambda: publisher.outage is not None)
        redis_server.start()
        await until(lambda: publisher.connected)
    assert publisher.counts["outages"] == 1


async def test_clients_killed_by_an_administrator_come_back(redis_server: Any) -> None:
    """CLIENT KILL again and again while events flow: each event is in the stream, in order."""
    async with writing(redis_server.url) as publisher:
        for round_ in range(5):
            for n in range(100):
                publisher.publish(Channel.TICKS, event(n=100 * round_ + n))
            redis_server.client.client_kill_filter(_type="normal", skipme=True)
            await until(lambda: publisher.connected and not publisher.queued)
    events = stream(redis_server.client)
    assert numbers(list({each["seq"]: each for each in events}.values())) == list(range(500))


async def test_a_redis_that_stops_answering_is_given_up_and_found_again(redis_server: Any) -> None:
    """A frozen Redis counts as away after its time, and everything is written once it thaws; reading goes on."""
    async with writing(redis_server.url) as publisher:
        redis_server.client.client_pause(6_500, all=True)
        for n in range(10):
            publisher.publish(Channel.TICKS, event(n=n))
        started = time.monotonic()
        await until(lambda: publisher.outage is not None)
        assert 4 < time.monotonic() - started < 7
        assert "no answer in time" in str(publisher.outage)
        await until(lambda: publisher.published == 10)
    assert numbers(list({each["seq"]: each for each in stream(redis_server.client)}.values())) == list(range(10))


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


async def test_news_that_redis_pushes_are_no_answers(redis_server: Any) -> None:
    """What a server announces by itself in between, such as maintenance, does not shift the answers."""
    async with (
        speaking_first(redis_server.port, b">2\r\n$9\r\nMIGRATING\r\n:30\r\n", instead=False) as url,
        writing(url) as publisher,
    ):
        for n in range(3):
            publisher.publish(Channel.TICKS, event(n=n))
            await until(lambda: not publisher.queued)
    assert numbers(stream(redis_server.client)) == [0, 1, 2]
    assert publisher.counts == Counter()


# -- the bounded buffer


async def written_after(url: str, publisher: TradingEventPublisher) -> None:
    """Let a publisher that only queued so far write, and close it."""
    await publisher.connect()
    publisher.stop()
    await publisher.run()
    await publisher.close()


async def test_a_full_buffer_sheds_the_oldest_keeps_the_newest_of_each_symbol_and_counts(redis_server: Any) -> None:
    """Beyond the bound the oldest go, but the newest of every symbol and channel stays; what is missing is counted."""
    publisher = TradingEventPublisher(redis_server.url, max_events=100)
    quiet = [f"Q{i}" for i in range(40)]
    for symbol in quiet:
        publisher.publish(Channel.TICKS, event(symbol, n=-1))
    publisher.publish(Channel.LEVEL2, event("Q0", n=-2))
    for n in range(1_000):
        publisher.publish(Channel.TICKS, event("BUSY", n=n))
        assert publisher.queued <= 100
    dropped = publisher.dropped
    await written_after(redis_server.url, publisher)
    events = stream(redis_server.client)
    assert set(last(redis_server.client)) == {*quiet, "BUSY"}
    assert last(redis_server.client)["BUSY"]["n"] == 999
    assert numbers(stream(redis_server.client, "level2")) == [-2]
    busy = [each["n"] for each in events if each["symbol"] == "BUSY"]
    assert busy == list(range(1_000 - len(busy), 1_000))
    assert len(events) + dropped == 1_040
    seqs = [each["seq"] for each in events]
    assert seqs == sorted(seqs)
    assert publisher.dropped == dropped


async def test_the_buffer_is_bounded_in_bytes_too(redis_server: Any) -> None:
    """Large events reach the bound in bytes long before the one in events."""
    publisher = TradingEventPublisher(redis_server.url, max_bytes=50_000)
    for n in range(200):
        publisher.publish(Channel.LEVEL2, event("AAPL", n=n, pad="x" * 1_000))
        assert publisher.queued <= 50
    dropped = publisher.dropped
    await written_after(redis_server.url, publisher)
    kept = numbers(stream(redis_server.client, "level2"))
    assert kept == list(range(200 - len(kept), 200))
    assert 30 <= len(kept) <= 50
    assert len(kept) + dropped == 200


async def test_the_channel_that_holds_most_gives_first(redis_server: Any) -> None:
    """While quotes fill the buffer, nothing of the few status events that tell of it is given up."""
    publisher = TradingEventPublisher(redis_server.url, max_events=100)
    for n in range(1_000):
        publisher.publish(Channel.TICKS, event("BUSY", n=n))
        if n % 100 == 0:
            publisher.publish(Channel.STATUS, event(None, n=n))
    await written_after(redis_server.url, publisher)
    assert numbers(stream(redis_server.client, "status")) == list(range(0, 1_000, 100))
    assert publisher.dropped > 800


async def test_a_redis_that_falls_behind_is_told_before_anything_is_dropped(redis_server: Any) -> None:
    """While Redis answers, but slower than events come, whoever reads hears it once, and once that it has caught up."""
    heard: list[bool] = []
    async with writing(redis_server.url, max_events=1_000, on_pressure=heard.append) as publisher:
        redis_server.client.client_pause(200, all=False)
        publisher.publish(Channel.TICKS, event(n=0))
        await asyncio.sleep(0)  # the first batch leaves, the next ones queue behind it
        for n in range(1, 400):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: heard == [True, False])
        await until(lambda: publisher.published == 400)
        assert heard == [True, False]
        assert publisher.dropped == 0


async def test_pressure_ends_with_the_connection(redis_server: Any) -> None:
    """A Redis that is away presses nobody: what it misses is what the buffer is for."""
    heard: list[bool] = []

    def hear(pressed: bool) -> None:
        heard.append(pressed)
        if pressed:
            redis_server.kill()

    async with writing(redis_server.url, max_events=1_000, on_pressure=hear) as publisher:
        redis_server.client.client_pause(200, all=False)
        publisher.publish(Channel.TICKS, event(n=0))
        await asyncio.sleep(0)
        for n in range(1, 400):
            publisher.publish(Channel.TICKS, event(n=n))
        await until(lambda: publisher.outage is not None)
        redis_server.start()
        await until(lambda: publisher.published == 400)
        assert heard == [True, False]


async def test_more_symbols_than_the_buffer_holds_are_still_all_kept(redis_server: Any) -> None:
    """The newest of each symbol is never given up, even where that alone exceeds the bound, and costs little."""
    publisher = TradingEventPublisher(redis_server.url, max_events=1_000)
    started = time.process_time()
    for n in range(20_000):
        publisher.publish(Channel.TICKS, event(f"S{n % 4_000}", n=n))
    assert time.process_time() - started < 5
    assert publisher.queued <= 6_000
    await written_after(redis_server.url, publisher)
    assert {each["n"] for each in last(redis_server.client).values()} == set(range(16_000, 20_000))


async def test_what_no_redis_took_by_the_end_counts_as_dropped(redis_server: Any) -> None:
    """Closing with events still waiting says how many were never written."""
    publisher = TradingEventPublisher(redis_server.url)
    for n in range(3):
        publisher.publish(Channel.TICKS, event(n=n))
    await publisher.close()
    assert publisher.dropped == 3


# -- addresses


@contextlib.contextmanager
def server(folder: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A ``redis-server`` with these options."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    process = subprocess.Popen([program, "--save", "", "--dir", str(folder), *options], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def connected(publisher: TradingEventPublisher) -> None:
    """Connect as soon as the server is up."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await publisher.connect()
            except RedisUnavailable as error:
                if "Connection refused" not in str(error) and "No such file" not in str(error):
                    raise
                await asyncio.sleep(0.02)
            else:
                return


async def takes_an_event(url: str, plain: "redis.Redis") -> None:
    """A publisher at this address writes what a plain client finds."""
    publisher = TradingEventPublisher(url)
    try:
        await connected(publisher)
        publisher.publish(Channel.TICKS, event(n=1))
        publisher.stop()
        async with asyncio.timeout(DEADLINE_S):
            await publisher.run()
    finally:
        await publisher.close()
    with plain:
        assert numbers(stream(plain)) == [1]


async def test_a_unix_socket_with_a_password(tmp_path: Path) -> None:
    """``unix://:password@/path?db=2`` works, and the password is the decoded one."""
    path = str(tmp_path / "redis.sock")
    with server(tmp_path, "--port", "0", "--unixsocket", path, "--requirepass", PASSWORD):
        plain = redis.Redis(unix_socket_path=path, password=PASSWORD, db=2, decode_responses=True)
        await takes_an_event(f"unix://:{QUOTED}@{path}?db=2", plain)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "redis.crt", folder / "redis.key"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


async def test_tls_with_user_and_password(tmp_path: Path) -> None:
    """``rediss://user:password@…`` speaks TLS, checks the certificate and logs in as that user."""
    cert, key = certificate(tmp_path)
    port = free_port()
    tls = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    tls += ["--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no", "--bind", "127.0.0.1"]
    users = ["--user", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all", "--user", "default", "off"]
    with server(tmp_path, *tls, *users):
        address = f"rediss://app:{QUOTED}@127.0.0.1:{port}/0?ssl_ca_certs={cert}"
        plain = redis.Redis.from_url(address, decode_responses=True)
        await takes_an_event(address, plain)
        stranger = TradingEventPublisher(f"rediss://app:{QUOTED}@127.0.0.1:{port}/0")
        with pytest.raises(RedisUnavailable, match="certificate"):
            await stranger.connect()
        await stranger.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{password}@127.0.0.1:{port}/0",
        "redis://user:{password}@127.0.0.1:{port}/0",
        "redis://127.0.0.1:{port}/0?password={password}",
        "rediss://user:{password}@127.0.0.1:{port}/0",
        "unix://:{password}@/nowhere/redis.sock",
        "unix:///nowhere/redis.sock?db=1&password={password}",
    ],
)
async def test_no_message_holds_the_password(redis_server: Any, url: str) -> None:
    """Wrong password, no such user, nobody there: the message names the address without the password."""
    redis_server.client.config_set("requirepass", "another")
    redis_server.client.auth("another")
    for port in (redis_server.port, free_port()):
        publisher = TradingEventPublisher(url.format(password=QUOTED, port=port))
        with pytest.raises(RedisUnavailable) as caught, capture_logs() as logs:
            await publisher.connect()
        await publisher.close()
        for text in (str(caught.value), publisher.url, repr(logs)):
            assert "pa55" not in text
        assert publisher.url in str(caught.value)
        assert publisher.url == url.format(password="***", port=port)


async def test_a_host_that_does_not_exist_is_told_in_the_resolvers_words() -> None:
    """A name that cannot be resolved is not an unknown error."""
    publisher = TradingEventPublisher("redis://no-such-host.invalid:6379/0")
    with pytest.raises(RedisUnavailable, match=r"name|Name|resolution|in time") as caught:
        await publisher.connect()
    await publisher.close()
    assert "Unknown error" not in str(caught.value)


async def test_a_password_that_is_missing_is_told_at_once(redis_server: Any) -> None:
    """A Redis that wants a password is not taken for one that works."""
    redis_server.client.config_set("requirepass", "secret")
    redis_server.client.auth("secret")
    publisher = TradingEventPublisher(redis_server.url)
    with pytest.raises(RedisUnavailable, match="correct user and password in REDIS_URL"):
        await publisher.connect()
    await publisher.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:port/0",
        "redis://127.0.0.1:6379/0?socket_timeout=soon",
        "redis://127.0.0.1:6379/0?no_such_option=1",
    ],
)
async def test_an_address_that_cannot_be_one_is_a_wrong_setting(url: str) -> None:
    """A URL redis-py cannot take is named instead of showing a traceback."""
    with pytest.raises(ConfigurationError, match="the Redis URL"):
        TradingEventPublisher(url)
