"""Symbol channels in a real Redis: what a reader of one symbol receives, and a user who may not publish there."""

from typing import Any

from schwabstream.events import Channel
from schwabstream.report import Count
from tests.support.publishing import Audience, event, numbers, stream, writing
from tests.support.waiting import until


async def test_a_reader_of_one_symbol_receives_its_events_alone(redis_server: Any) -> None:
    """Each tick, book and bar comes on its symbol's channel too, unchanged; a StatusEvent on the shared one only."""
    async with Audience(redis_server.url) as audience, writing(redis_server.url) as publisher:
        for n in range(4):
            publisher.publish(Channel.TICKS, event("AAPL" if n % 2 else "/MNQ:XCME", n=n))
        publisher.publish(Channel.LEVEL2, event("AAPL", n=4))
        publisher.publish(Channel.BARS, event("AAPL", n=5))
        publisher.publish(Channel.STATUS, event("AAPL", n=6))
        await audience.until(lambda it: bool(it.heard["status"]))
    assert audience.numbers("ticks:AAPL") == [1, 3]
    assert audience.numbers("ticks:/MNQ:XCME") == [0, 2]
    assert audience.heard["ticks:AAPL"] == [each for each in audience.heard["ticks"] if each["symbol"] == "AAPL"]
    assert (audience.numbers("level2:AAPL"), audience.numbers("bars:AAPL")) == ([4], [5])
    assert not [name for name in audience.heard if name.startswith("status:")]


async def test_symbol_channels_can_be_off(redis_server: Any) -> None:
    """Without symbol channels, events come on the shared channels alone."""
    async with (
        Audience(redis_server.url) as audience,
        writing(redis_server.url, symbol_channels=False) as publisher,
    ):
        assert not publisher.symbol_channels.on
        publisher.publish(Channel.TICKS, event("AAPL", n=0))
        publisher.publish(Channel.STATUS, event(None, n=1))
        await audience.until(lambda it: bool(it.heard["status"]))
    assert {name for name, heard in audience.heard.items() if heard} == {"ticks", "status"}


async def test_prev_is_the_event_before_of_the_same_symbol_and_channel(redis_server: Any) -> None:
    """``prev`` links the events of a symbol on a channel; it is 0 for the first, whatever other symbols do."""
    async with writing(redis_server.url) as publisher:
        for symbol in ("A", "B", "A", "A", "B"):
            publisher.publish(Channel.TICKS, event(symbol))
        publisher.publish(Channel.BARS, event("A"))
        publisher.publish(Channel.STATUS, event(None))
        publisher.publish(Channel.STATUS, event(None))
    ticks, statuses = stream(redis_server.client), stream(redis_server.client, "status")
    first = ticks[0]["seq"]
    assert [each["prev"] and each["prev"] - first for each in ticks] == [0, 0, 0, 2, 1]
    assert [each["prev"] for each in stream(redis_server.client, "bars")] == [0]
    assert [each["prev"] for each in statuses] == [0, statuses[0]["seq"]]


async def test_a_user_without_rights_to_symbol_channels_loses_nothing_else(redis_server: Any) -> None:
    """The batch is written without them, in order, once; one name of each kind is reported, and a grant is noticed."""
    redis_server.client.acl_setuser(
        "streamer", enabled=True, nopass=True, reset=True, keys=["*"], commands=["+@all"],
        channels=["market_data:ticks", "market_data:bars", "market_data:bars:*", "market_data:status"],
    )  # fmt: skip
    url = redis_server.url.replace("redis://", "redis://streamer:any@")
    async with Audience(redis_server.url) as audience, writing(url) as publisher:
        for n in range(50):
            publisher.publish(Channel.TICKS, event(f"S{n}", n=n))
            publisher.publish(Channel.BARS, event(f"S{n}", n=n))
        publisher.publish_report(b"{}")
        await audience.until(lambda it: len(it.numbers("ticks")) == len(it.numbers("bars:S7") * 50) == 50)
        assert list(publisher.refusing) == ["market_data:ticks:*"]
        assert not publisher.symbol_channels.on
        assert publisher.outage is None
        redis_server.client.execute_command("ACL", "SETUSER", "streamer", "&market_data:ticks:*")
        redis_server.client.client_kill_filter(user="streamer")
        await until(lambda: publisher.counts[Count.OUTAGES] == 1)
        publisher.publish(Channel.TICKS, event("S1", n=50))
        await audience.until(lambda it: it.numbers("ticks:S1") == [50])
        assert not publisher.refusing
    assert audience.numbers("ticks") == list(range(51))
    assert numbers(stream(redis_server.client)) == list(range(51))
