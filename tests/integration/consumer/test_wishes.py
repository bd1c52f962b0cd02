"""``subscribe`` for symbols that the streamer does not stream yet, against a real Redis and a streamer that answers."""

import asyncio
import contextlib
import time
from typing import TypeGuard

from schwabstream import Channel, StatusEvent, TickEvent, subscribe
from schwabstream.events import Event
from tests.conftest import RedisServer
from tests.support.answering_streamer import AnsweringStreamer, wishes
from tests.support.waiting import DEADLINE_S

READER = "resetchannels &* %R~market_data:* -@all +subscribe +get +hvals +hmget +ping +select +client"


def is_status(event: Event) -> TypeGuard[StatusEvent]:
    """Whether it is a StatusEvent."""
    return isinstance(event, StatusEvent)


async def test_a_symbol_that_is_not_streamed_is_asked_for(redis_server: RedisServer) -> None:
    """The reader's wish makes the streamer stream the symbol: its ticks come, and no absence is reported."""
    with AnsweringStreamer(redis_server):
        events = subscribe("NVDA", redis_url=redis_server.url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            seen = [await anext(events)]
            while not isinstance(seen[-1], TickEvent):
                seen.append(await anext(events))
            left_s = wishes(redis_server)["NVDA"] - time.time()
    assert seen[-1].symbol == "NVDA"
    assert {event.state for event in seen if isinstance(event, StatusEvent)} <= {"subscribed"}
    assert 0 < left_s <= 60


async def test_a_refusal_reaches_the_reader_whatever_it_reads(redis_server: RedisServer) -> None:
    """The reason of a refusal comes as a StatusEvent of the reader's own, also to one that reads ticks alone."""
    with AnsweringStreamer(redis_server, refuses={"NOPE": "NOPE is no symbol of Schwab"}):
        events = subscribe("NOPE", kinds={Channel.TICKS}, redis_url=redis_server.url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            event = await anext(events)
    with AnsweringStreamer(redis_server, refuses={"NADA": "the limit is reached"}):
        both = subscribe("NADA", redis_url=redis_server.url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(both):
            pair = {str(each.state): each.reason for each in [await anext(both), await anext(both)] if is_status(each)}
    assert isinstance(event, StatusEvent)
    assert (event.state, event.symbol, event.detail) == ("stale", "NOPE", "not-streamed")
    assert event.reason == "NOPE is no symbol of Schwab"
    assert pair == {"refused": "the limit is reached", "stale": "the limit is reached"}


async def test_a_reader_that_requests_nothing_writes_nothing(redis_server: RedisServer) -> None:
    """With ``request=False`` the absence is reported with the way to add the symbol, and Redis gets no wish."""
    with AnsweringStreamer(redis_server):
        events = subscribe("NVDA", "MNQ", redis_url=redis_server.url, request=False)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            absent = [await anext(events), await anext(events)]
    reasons = [event.reason for event in absent if isinstance(event, StatusEvent)]
    assert reasons[0] == "NVDA is not streamed: add it with schwabstream stream add NVDA"
    assert reasons[1].endswith("did you mean /MNQ?")
    assert wishes(redis_server) == {}


async def test_a_user_who_may_not_wish_still_reads(redis_server: RedisServer) -> None:
    """Where an ACL allows no wish, the absence is reported, and what is streamed comes."""
    redis_server.client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", *READER.split())
    url = redis_server.url.replace("//", "//reader:pw@")
    with AnsweringStreamer(redis_server, ["AAPL"]):
        events = subscribe("AAPL", "NVDA", kinds={Channel.TICKS}, redis_url=url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            absent, tick = await anext(events), await anext(events)
    assert isinstance(absent, StatusEvent)
    assert absent.reason == "NVDA is not streamed: add it with schwabstream stream add NVDA"
    assert tick.symbol == "AAPL"
    assert wishes(redis_server) == {}


async def test_two_readers_of_one_symbol_do_not_end_each_others_wish(redis_server: RedisServer) -> None:
    """The end of one reader leaves the wish to expire, and a wish until removal stays one."""
    with AnsweringStreamer(redis_server):
        for _ in range(2):
            events = subscribe("NVDA", redis_url=redis_server.url)
            async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
                await anext(events)
            assert wishes(redis_server)["NVDA"] > time.time()
        redis_server.client.zadd("market_data:wanted", {"NVDA": "+inf"})
        events = subscribe("NVDA", redis_url=redis_server.url)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(events):
            await anext(events)
    assert wishes(redis_server) == {"NVDA": float("inf")}
