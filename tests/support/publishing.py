"""A publisher at work, and what its Redis holds and its subscribers receive."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Self

import orjson
from redis.asyncio import Redis

from schwabstream.events import Channel
from schwabstream.publishing.publisher import TradingEventPublisher
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    import redis


def event(symbol: str | None = "/MES:XCME", **values: Any) -> dict[str, Any]:
    """An event as the market lends it."""
    return {"v": 1, "type": "tick", "symbol": symbol, "key": symbol, "seq": 0, **values}


class Audience:
    """Every event that subscribers of one Redis receive, by channel, in order."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url, socket_timeout=None)
        self.heard = defaultdict[str, list[dict[str, Any]]](list, {str(channel): [] for channel in Channel})

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

    async def until(self, condition: Callable[["Audience"], bool]) -> None:
        """Wait until something was heard."""
        await until(lambda: condition(self), show=lambda: self.heard)

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
