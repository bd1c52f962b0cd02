"""The book beside the quotes of a screen: read from Redis for as long as it is shown."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.subscription import Subscription
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel, Event
from schwabstream.terminal.watchlist import Quote

SETTLE_S: Final = 0.15
_RETRY_S: Final = 1.0

Subscribe = Callable[[Quote], Subscription]


def subscribe_to_book(quote: Quote, redis_url: str, prefix: str) -> Subscription:
    """The books of this quote: on a channel of its symbol, this also asks a streamer for a symbol that it lacks."""
    queue = ConflatingQueue(keys={quote.symbol.key}, newest_only=True)
    return Subscription(queue, kinds={Channel.LEVEL2}, symbols=[quote.symbol], redis_url=redis_url, prefix=prefix)


class ShownBook:
    """Reads the book of at most one quote, in an ``async with`` block; ``take`` gets its events."""

    def __init__(self, subscribe: Subscribe, take: Callable[[Event], None]) -> None:
        self._subscribe, self._take = subscribe, take
        self._tasks: set[asyncio.Task[None]] = set()  # the newest, and those before it that are ending

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.show(None)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def show(self, quote: Quote | None) -> None:
        """Read the book of this quote from now on, and forget the one before; None: read none."""
        before = set(self._tasks)
        for task in before:
            task.cancel()
        if quote is not None:
            task = asyncio.create_task(self._read(quote, before), name="shown book")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read(self, quote: Quote, before: set[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        await asyncio.sleep(SETTLE_S)  # the selection may only pass this row
        try:
            while True:
                with contextlib.suppress(RedisUnavailable):  # the screen reports an outage
                    async with self._subscribe(quote) as subscription:
                        async for event in subscription:
                            self._take(event)
                await asyncio.sleep(_RETRY_S)
        finally:
            quote.book = None  # it would be old when it is shown again
