"""Readers of some symbols in a real Redis: which channels they listen to, and how they follow the streamer."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from schwabstream.consumer import subscribe
from schwabstream.events import Channel, StatusEvent, status_event
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.report import StreamerReport, SymbolReport
from tests.support.publishing import writing
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any


def tick(symbol: str, price: float) -> dict[str, Any]:
    """A tick as the market lends it."""
    return {
        "v": 1, "type": "tick", "symbol": symbol, "key": symbol.partition(":")[0], "seq": 0, "prev": 0, "timestamp": 1,
        "received_us": 1, "asset": "EQUITY", "last_price": price, "is_trade": False,
    }  # fmt: skip


def announce(publisher: TradingEventPublisher, *aliases: str) -> None:
    """The report and the status of a streamer that has begun to stream these."""
    lines = tuple(SymbolReport(symbol=each, key=each.partition(":")[0], asset="EQUITY") for each in aliases)
    report = StreamerReport(
        state="streaming", since=1, reported=1, started=1, pid=1, host="box", version="1", symbols=lines,
        symbol_channels=publisher.symbol_channels.on,
    )  # fmt: skip
    publisher.publish_report(report.model_dump_json().encode())
    publisher.publish(Channel.STATUS, status_event("streaming", "subscribed", 1))


def listened(server: RedisServer) -> set[str]:
    """The channels with a subscriber."""
    found: Any = server.client.pubsub_channels()
    return {name if isinstance(name, str) else name.decode() for name in found}


async def report_written(server: RedisServer) -> None:
    """Wait for the report."""
    await until(lambda: bool(server.client.exists("market_data:streamer")))


async def test_a_reader_listens_to_the_channels_of_its_symbols(redis_server: RedisServer) -> None:
    """The last value comes first, then the events of the symbol's own channel, under the streamer's alias."""
    async with writing(redis_server.url) as publisher:
        announce(publisher, "/MNQ:XCME", "AAPL")
        publisher.publish(Channel.TICKS, tick("/MNQ:XCME", 1.0))
        publisher.publish(Channel.TICKS, tick("AAPL", 2.0))
        await report_written(redis_server)
        events = subscribe("/mnq", kinds={Channel.TICKS}, redis_url=redis_server.url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            assert getattr(await anext(events), "last_price", None) == 1.0
            assert listened(redis_server) == {"market_data:ticks:/MNQ:XCME", "market_data:status"}
            publisher.publish(Channel.TICKS, tick("AAPL", 3.0))
            publisher.publish(Channel.TICKS, tick("/MNQ:XCME", 4.0))
            second = await anext(events)
    assert (second.symbol, second.type) == ("/MNQ:XCME", "tick")


async def test_a_symbol_that_is_not_streamed_is_listened_to_as_written(redis_server: RedisServer) -> None:
    """Listening to its channels asks the streamer for it; the reader gets its first event."""
    async with writing(redis_server.url) as publisher:
        announce(publisher, "AAPL")
        await report_written(redis_server)
        events = subscribe("NVDA", redis_url=redis_server.url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            first = asyncio.ensure_future(anext(events))
            own = {"market_data:ticks:NVDA", "market_data:level2:NVDA"}
            await until(lambda: listened(redis_server) >= own, show=lambda: listened(redis_server))
            publisher.publish(Channel.TICKS, tick("NVDA", 5.0))
            assert (await first).symbol == "NVDA"


@pytest.mark.parametrize("before", ["none", "off"])
async def test_a_reader_follows_a_new_run_to_other_channels(redis_server: RedisServer, before: str) -> None:
    """Without symbol channels it listens to the shared ones, and moves when a new run, which it reports, has them."""
    async with contextlib.AsyncExitStack() as stack:
        if before == "off":
            async with writing(redis_server.url, symbol_channels=False) as publisher:
                announce(publisher, "AAPL")
                publisher.publish(Channel.TICKS, tick("AAPL", 1.0))
        events = subscribe("AAPL", kinds={Channel.TICKS}, redis_url=redis_server.url)
        await stack.enter_async_context(asyncio.timeout(DEADLINE_S))
        await stack.enter_async_context(contextlib.aclosing(events))
        first = await anext(events)
        assert isinstance(first, StatusEvent) is (before == "none")
        assert "market_data:ticks" in listened(redis_server)
        publisher = await stack.enter_async_context(writing(redis_server.url))
        announce(publisher, "AAPL")
        moved = {"market_data:ticks:AAPL", "market_data:status"}
        await until(lambda: listened(redis_server) == moved, show=lambda: listened(redis_server))
        publisher.publish(Channel.TICKS, tick("AAPL", 2.0))
        if before == "off":
            gap = await anext(events)
            assert isinstance(gap, StatusEvent)
            assert gap.reason == "a new run of the streamer on ticks"
        assert getattr(await anext(events), "last_price", None) == 2.0


def reader(server: RedisServer, channels: list[str], commands: list[str]) -> str:
    """Create an ACL user with these channels and commands, and return its URL."""
    server.client.acl_setuser(
        "reader",
        enabled=True,
        passwords=["+pw"],
        keys=["market_data:*"],
        channels=channels,
        commands=[f"+{command}" for command in commands],
        reset=True,
    )
    return server.url.replace("redis://", "redis://reader:pw@")


async def test_a_reader_that_may_not_see_the_report_listens_to_the_shared_channels(redis_server: RedisServer) -> None:
    """An ACL without GET costs the symbol channels, not the events."""
    url = reader(redis_server, ["*"], ["subscribe", "hvals", "ping", "select"])
    async with writing(redis_server.url) as publisher:
        announce(publisher, "AAPL")
        publisher.publish(Channel.TICKS, tick("AAPL", 1.0))
        await report_written(redis_server)
        events = subscribe("AAPL", kinds={Channel.TICKS}, redis_url=url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            assert (await anext(events)).symbol == "AAPL"
            assert "market_data:ticks" in listened(redis_server)
            publisher.publish(Channel.TICKS, tick("AAPL", 2.0))
            assert getattr(await anext(events), "last_price", None) == 2.0


async def test_a_reader_without_rights_to_symbol_channels_listens_to_the_shared_ones(redis_server: RedisServer) -> None:
    """An ACL that names only the shared channels costs the symbol channels, not the events."""
    commands = ["subscribe", "get", "hvals", "hmget", "ping", "select"]
    url = reader(redis_server, ["market_data:ticks", "market_data:status"], commands)
    async with writing(redis_server.url) as publisher:
        announce(publisher, "AAPL")
        publisher.publish(Channel.TICKS, tick("AAPL", 1.0))
        await report_written(redis_server)
        events = subscribe("AAPL", kinds={Channel.TICKS}, redis_url=url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            assert (await anext(events)).symbol == "AAPL"
            assert listened(redis_server) == {"market_data:ticks", "market_data:status"}
            announce(publisher, "AAPL")
            publisher.publish(Channel.TICKS, tick("AAPL", 2.0))
            assert getattr(await anext(events), "last_price", None) == 2.0
            assert listened(redis_server) == {"market_data:ticks", "market_data:status"}
