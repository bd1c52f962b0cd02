"""The consumer against a real Redis that comes and goes."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from schwabstream.consumer import subscribe
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.streams import read_stream
from schwabstream.consumer.subscription import Subscription, read_report
from schwabstream.errors import ConfigurationError, RedisUnavailable, SymbolError
from schwabstream.events import AccountEvent, Channel, Event, ScreenerEvent, StatusEvent, TickEvent
from schwabstream.report import StreamerReport, SymbolReport
from tests.support.channel_messages import everything
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

FIRST = 1_700_000_000_000_000


def tick(seq: int, symbol: str = "/MNQ:XCME", **changes: Any) -> bytes:
    """A tick as the streamer publishes it."""
    event = {
        "v": 1,
        "type": "tick",
        "symbol": symbol,
        "key": symbol.partition(":")[0],
        "seq": FIRST + seq,
        "timestamp": 1,
        "received_us": 1,
    }
    return orjson.dumps(event | {"asset": "FUTURE", "last_price": float(seq), "is_trade": False} | changes)


def publish(server: RedisServer, *ticks: bytes) -> None:
    """Publish and keep as last values, in one transaction each."""
    for payload in ticks:
        pipe = server.client.pipeline()
        pipe.hset("market_data:last:ticks", orjson.loads(payload)["symbol"], payload.decode())
        pipe.publish("market_data:ticks", payload.decode())
        pipe.execute()


async def collect(subscription: Subscription, count: int) -> list[Event]:
    """The next events."""
    events: list[Event] = []
    async with asyncio.timeout(DEADLINE_S):
        async for event in subscription:
            events.append(event)
            if len(events) == count:
                break
    return events


def numbers(events: list[Event]) -> list[int]:
    """Sequence numbers counted from the first."""
    return [event.seq - FIRST for event in events if event.seq]


async def test_a_late_comer_has_the_full_picture_at_once(redis_server: RedisServer) -> None:
    """The last value of every symbol comes first, followed by new events, each once."""
    publish(redis_server, tick(1, "/MNQ:XCME"), tick(2, "/ES"), tick(3, "/MNQ:XCME"))
    async with Subscription(redis_url=redis_server.url) as subscription:
        assert numbers(await collect(subscription, 2)) == [2, 3]
        await asyncio.to_thread(publish, redis_server, tick(4), tick(5, "/ES"))
        assert numbers(await collect(subscription, 2)) == [4, 5]


async def test_subscribe_yields_the_wanted_symbol_and_cleans_up(redis_server: RedisServer) -> None:
    """``async for`` over subscribe gives models of one symbol; leaving the loop closes its connections."""
    publish(redis_server, tick(1, "/ES"), tick(2))
    events = subscribe("/MNQ:XCME", kinds={Channel.TICKS}, redis_url=redis_server.url)
    async for event in events:
        assert isinstance(event, TickEvent)
        assert (event.symbol, event.last_price) == ("/MNQ:XCME", 2.0)
        break
    await events.aclose()
    await until(lambda: len(redis_server.client.client_list()) == 1)


def put_report(server: RedisServer, *symbols: str) -> None:
    """The report of a streamer that streams these."""
    lines = tuple(SymbolReport(symbol=each, key=each.partition(":")[0], asset="FUTURE") for each in symbols)
    report = StreamerReport(
        state="streaming", since=1, reported=1, started=1, pid=1, host="box", version="1", symbols=lines
    )
    server.client.set("market_data:streamer", report.model_dump_json())


@pytest.mark.parametrize("text", ["/MNQ", "/mnq", "/mnq:xcme", "/ES,/MNQ:XCME"])
async def test_subscribe_finds_a_streamed_symbol_under_any_alias(redis_server: RedisServer, text: str) -> None:
    """The last value and live events come under the streamer's alias, however the symbol was written."""
    put_report(redis_server, "/MNQ:XCME", "AAPL", "/ES")
    publish(redis_server, tick(1, "/MNQ:XCME"), tick(2, "AAPL"))
    events = subscribe(text, kinds={Channel.TICKS}, redis_url=redis_server.url)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
        first = await anext(events)
        await asyncio.to_thread(publish, redis_server, tick(3, "AAPL"), tick(4, "/MNQ:XCME"))
        second = await anext(events)
    assert [(event.symbol, event.seq - FIRST) for event in (first, second)] == [("/MNQ:XCME", 1), ("/MNQ:XCME", 4)]


async def test_a_symbol_that_is_not_streamed_is_reported_and_waited_for(redis_server: RedisServer) -> None:
    """Each symbol that nobody asks the streamer for is a StatusEvent with its name; when it comes, it comes."""
    put_report(redis_server, "AAPL")
    publish(redis_server, tick(1, "AAPL"), tick(2, "NOPE"))
    events = subscribe("nope", "MNQ", "AAPL", redis_url=redis_server.url, request=False)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
        absent = [await anext(events), await anext(events)]
        assert [(await anext(events)).symbol, (await anext(events)).symbol] == ["AAPL", "NOPE"]
        await asyncio.to_thread(publish, redis_server, tick(3, "MNQ"))
        assert (await anext(events)).symbol == "MNQ"
    assert all(isinstance(event, StatusEvent) for event in absent)
    assert [(event.symbol, event.seq) for event in absent] == [("nope", 0), ("MNQ", 0)]
    assert [(event.state, event.detail) for event in absent if isinstance(event, StatusEvent)] == [
        ("stale", "not-streamed")
    ] * 2
    reasons = [event.reason for event in absent if isinstance(event, StatusEvent)]
    assert reasons[0].endswith("stream add nope")
    assert reasons[1].endswith("did you mean /MNQ?")


async def test_without_a_streamer_what_redis_does_not_know_is_reported(redis_server: RedisServer) -> None:
    """A symbol with a last value is not reported; one without is, with the way to start a streamer."""
    publish(redis_server, tick(1, "AAPL"))
    events = subscribe("AAPL", "NVDA", redis_url=redis_server.url)
    async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
        absent, known = await anext(events), await anext(events)
    assert (absent.symbol, known.symbol) == ("NVDA", "AAPL")
    assert isinstance(absent, StatusEvent)
    assert "no streamer is running" in absent.reason


@pytest.mark.parametrize("text", ["no/symbol", "", " ", "AAPL!"])
async def test_what_cannot_be_a_symbol_is_an_error(redis_server: RedisServer, text: str) -> None:
    """A misspelt symbol raises, and is neither "all" nor a silent wait."""
    with pytest.raises(SymbolError):
        subscribe("AAPL", text, redis_url=redis_server.url)


async def test_without_redis_the_start_is_an_error(redis_server: RedisServer) -> None:
    """No Redis at the start is an error that names the URL, not an endless wait."""
    redis_server.kill()
    with pytest.raises(RedisUnavailable, match=redis_server.url):
        async with Subscription(redis_url=redis_server.url):
            pass


async def test_a_wrong_password_is_an_error(redis_server: RedisServer) -> None:
    """A refusal by Redis is the same error, and its message holds no password."""
    redis_server.client.config_set("requirepass", "secret")
    url = redis_server.url.replace("//", "//:wrong@")
    with pytest.raises(RedisUnavailable) as caught:
        async with Subscription(redis_url=url):
            pass
    assert "wrong@" not in str(caught.value)


async def test_a_user_who_may_not_listen_gets_the_missing_right(redis_server: RedisServer) -> None:
    """An ACL without a channel of the reader is named as such, with the right that is missing."""
    rights = ["resetchannels", "~*", "&market_data:status", "+@all"]
    redis_server.client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", *rights)
    url = redis_server.url.replace("//", "//reader:pw@")
    with pytest.raises(RedisUnavailable, match=r"refuses a command \(.*channel.*\): grant its user that right \(ACL\)"):
        await anext(subscribe("AAPL", redis_url=url))


async def test_redis_restarts_are_outlived_and_reported_as_a_gap(redis_server: RedisServer) -> None:
    """Each restart is an outage that shows and ends within five seconds; what was missed in between is a gap."""
    publish(redis_server, tick(1))
    async with Subscription(redis_url=redis_server.url) as subscription:
        await collect(subscription, 1)
        await asyncio.to_thread(publish, redis_server, tick(2))
        await collect(subscription, 1)
        seq = 2
        for restart in range(1, 4):
            redis_server.kill()
            await until(lambda: subscription.outage is not None)
            assert subscription.outages == restart
            redis_server.start()
            await until(lambda: subscription.outage is None)
            seq += 3
            await asyncio.to_thread(publish, redis_server, tick(seq))
            gap, live = await collect(subscription, 2)
            assert isinstance(gap, StatusEvent)
            assert (gap.state, gap.count) == ("gap", 2)
            assert numbers([live]) == [seq]


async def test_a_cut_connection_brings_back_the_last_values(redis_server: RedisServer) -> None:
    """When only the connection is cut, missed events come as last values, without a gap."""
    async with Subscription(redis_url=redis_server.url) as subscription:
        await asyncio.to_thread(publish, redis_server, tick(1))
        await collect(subscription, 1)
        redis_server.client.client_kill_filter(_type="pubsub")
        await asyncio.to_thread(publish, redis_server, tick(2))
        events = await collect(subscription, 1)
        await asyncio.to_thread(publish, redis_server, tick(3))
        events += await collect(subscription, 1)
        assert numbers(events) == [2, 3]


async def test_a_silent_connection_is_probed(redis_server: RedisServer) -> None:
    """Silence is answered with a PING; a Redis that does not answer it counts as away."""
    async with Subscription(redis_url=redis_server.url, probe_after_s=0.2) as reader:
        pings = "cmdstat_ping"
        known = redis_server.client.info("commandstats").get(pings, {"calls": 0})["calls"]
        await until(lambda: redis_server.client.info("commandstats").get(pings, {"calls": 0})["calls"] > known + 2)
        assert reader.outages == 0
        redis_server.client.client_pause(800)
        await until(lambda: reader.outages == 1)
        await until(lambda: reader.outage is None)


async def test_a_screen_of_a_fast_market_reads_samples(redis_server: RedisServer) -> None:
    """It receives no ticks while the market is fast, has the newest at each refresh, and listens again afterwards."""

    def listeners() -> int:
        return dict(redis_server.client.pubsub_numsub("market_data:ticks"))["market_data:ticks"]

    def report(rate: float) -> StreamerReport:
        line = SymbolReport(symbol="/MNQ:XCME", key="/MNQ", asset="FUTURE", rate=rate)
        facts = {"since": 1, "reported": 1, "started": 1, "pid": 1, "host": "box", "version": "1"}
        return StreamerReport(state="streaming", symbols=(line,), **facts)

    queue = ConflatingQueue(newest_only=True)
    async with Subscription(queue, kinds={Channel.TICKS}, redis_url=redis_server.url, probe_after_s=0.2) as reader:
        reader.follow_rate(report(10_000.0))
        publish(redis_server, tick(1))
        await until(lambda: listeners() == 0)
        await until(lambda: reader.samples.active and numbers(everything(queue)) == [1])
        for seq in (2, 3):
            publish(redis_server, tick(seq))
        await reader.samples.refresh()
        assert numbers(everything(queue)) == [3]
        redis_server.client.client_kill_filter(_type="normal")
        redis_server.client.client_kill_filter(_type="pubsub")
        await until(lambda: reader.outages == 1 and reader.outage is None)
        publish(redis_server, tick(4))
        await reader.samples.refresh()
        assert numbers(everything(queue)) == [4]
        reader.follow_rate(report(10.0))
        await until(lambda: listeners() == 1)
        publish(redis_server, tick(5))
        assert numbers(await collect(reader, 1)) == [5]


async def test_a_reader_of_every_event_reads_no_samples(redis_server: RedisServer) -> None:
    """However fast the market is, a program gets each event."""
    line = SymbolReport(symbol="/MNQ:XCME", key="/MNQ", asset="FUTURE", rate=50_000.0)
    facts = {"since": 1, "reported": 1, "started": 1, "pid": 1, "host": "box", "version": "1"}
    async with Subscription(kinds={Channel.TICKS}, redis_url=redis_server.url) as reader:
        reader.follow_rate(StreamerReport(state="streaming", symbols=(line,), **facts))
        publish(redis_server, tick(1), tick(2), tick(3))
        assert numbers(await collect(reader, 3)) == [1, 2, 3]
        assert not reader.samples.active


async def test_the_report_of_a_running_streamer(redis_server: RedisServer) -> None:
    """The report is read as its model; none, or one of another shape, is None; no Redis is an error."""
    assert await read_report(redis_server.url, "market_data") is None
    report = StreamerReport(state="streaming", since=1, reported=1, started=1, pid=1, host="box", version="1")
    redis_server.client.set("market_data:streamer", report.model_dump_json())
    assert await read_report(redis_server.url, "market_data") == report
    redis_server.client.set("market_data:streamer", "{}")
    assert await read_report(redis_server.url, "market_data") is None
    redis_server.kill()
    with pytest.raises(RedisUnavailable, match=rf"^Redis at {redis_server.url} does not answer \(Connection refused\)"):
        await read_report(redis_server.url, "market_data")


@pytest.mark.parametrize("read", [subscribe, functools.partial(read_stream, Channel.TICKS)])
async def test_a_wrong_url_is_named_and_an_absent_redis_too(read: Callable[..., AsyncGenerator[object, None]]) -> None:
    """Programs get the same errors and words as people: which part of the URL is wrong, or that nothing answers."""
    with pytest.raises(ConfigurationError, match="has an unknown option foo"):
        await anext(read(redis_url="redis://127.0.0.1:1/0?foo=1"))
    with pytest.raises(RedisUnavailable, match=r"^Redis at redis://127.0.0.1:1/0 does not answer \(Connection refused"):
        await anext(read(redis_url="redis://127.0.0.1:1/0"))


async def test_a_slow_reader_is_bounded_and_gets_a_count(redis_server: RedisServer) -> None:
    """A slow reader gets the newest event of its symbol and a count of those it missed."""
    async with Subscription(ConflatingQueue(max_pending=50), redis_url=redis_server.url) as subscription:
        await asyncio.to_thread(publish, redis_server, *(tick(seq) for seq in range(1, 501)))
        await until(lambda: subscription.queue.counts["received"] == 500)
        dropped, newest = await collect(subscription, 2)
        assert isinstance(dropped, StatusEvent)
        assert (dropped.state, dropped.count) == ("dropped", 499)
        assert numbers([newest]) == [500]


async def test_screeners_and_account_activity_come_only_to_readers_that_ask(redis_server: RedisServer) -> None:
    """A reader without ``kinds`` gets only events of symbols; one that names the two channels gets theirs, typed."""
    screener = tick(1, "NYSE_VOLUME_5", type="screener", items=[{"symbol": "NVDA"}])
    account = tick(1, "****6789", type="account", message_type="OrderCreated")

    def send() -> None:
        redis_server.client.publish("market_data:screeners", screener)
        redis_server.client.publish("market_data:account", account)
        redis_server.client.publish("market_data:ticks", tick(2))

    kinds = {Channel.SCREENERS, Channel.ACCOUNT, Channel.TICKS}
    async with (
        Subscription(redis_url=redis_server.url) as usual,
        Subscription(redis_url=redis_server.url, kinds=kinds) as asking,
    ):
        await asyncio.to_thread(send)
        assert [type(each) for each in await collect(asking, 3)] == [ScreenerEvent, AccountEvent, TickEvent]
        assert [type(each) for each in await collect(usual, 1)] == [TickEvent]


async def test_recent_bars_are_those_of_the_keys_and_minutes_asked_for(redis_server: RedisServer) -> None:
    """Bars of other keys and of before, and entries that are none, are left out; without a stream there are none."""
    async with Subscription(redis_url=redis_server.url) as subscription:
        assert await subscription.fetch_recent_bars({"/MNQ"}, 0) == []
        for at, key, seq in ((1_000, "/MNQ", 1), (5_000, "/MNQ", 2), (6_000, "AAPL", 3), (7_000, "/MNQ", 4)):
            prices = {"open": 1, "high": 1, "low": 1, "close": float(seq), "volume": 1}
            bar = tick(seq, key, type="bar", **prices).decode()
            redis_server.client.xadd("market_data:stream:bars", {"symbol": key, "event": bar}, id=str(at))
        for payload in (tick(5), b'{"v":1,"type":"bar","symbol":"/MNQ","key":"/MNQ","seq":1}', b"no JSON"):
            redis_server.client.xadd("market_data:stream:bars", {"symbol": "/MNQ", "event": payload.decode()})
        bars = await subscription.fetch_recent_bars({"/MNQ", "/ES"}, 5_000)
        assert [bar.close for bar in bars] == [4.0, 2.0]
