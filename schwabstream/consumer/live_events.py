"""``subscribe``: the last value of each symbol, then live events, for ``async for`` and for ``for``.

Chooses the symbols and reports each that is not streamed. Reading Redis is in ``subscription``.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Generator, Iterator
from types import TracebackType
from typing import Self

from schwabstream.broker.arguments import check_number
from schwabstream.clock import today
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.loop_thread import LoopThread
from schwabstream.consumer.subscription import DEFAULT_PREFIX, DEFAULT_URL, EVERYTHING, Subscription
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel, Event
from schwabstream.protocol.symbols import Symbol, parse_symbols


def subscribe(
    *symbols: str,
    kinds: Collection[Channel] = EVERYTHING,
    redis_url: str = DEFAULT_URL,
    prefix: str = DEFAULT_PREFIX,
    max_pending: int = 4096,
) -> "LiveEvents":
    """Return an iterator over the last event of each symbol, then over every event as it is published.

    Iterate it with ``async for`` in asynchronous code, and with ``for`` in scripts and notebooks. It connects at the
    first event and disconnects when the loop is left.

    ``symbols`` are written as on the command line; a string may contain several, separated by commas or blanks.
    Without symbols, it yields the events of all symbols. A symbol is found under any of its aliases: ``/mnq`` yields
    the events of ``/MNQ:XCME``. ``kinds`` limits the channels.

    Whatever the ``kinds``, it also yields three reports, as StatusEvents with ``seq`` 0: ``stale`` with ``detail``
    ``not-streamed`` for a symbol that the streamer does not stream at present, ``gap`` for events that were lost on
    the way, and ``dropped`` when the reader is slow: beyond ``max_pending`` queued events, newer values replace older
    ones of the same symbol.

    Raises ``SymbolError`` at once for what cannot be a symbol and ``ConfigurationError`` for other invalid arguments;
    the first event raises ``RedisUnavailable`` when Redis cannot be reached. During later outages the iterator waits.
    """
    check_number("max_pending", max_pending, 1)
    wanted = parse_symbols(symbols, today())
    aliases, keys = [each.alias for each in wanted], [each.key for each in wanted]
    queue = ConflatingQueue(aliases, keys=keys, max_pending=max_pending)
    subscription = Subscription(queue, kinds=kinds, symbols=wanted, redis_url=redis_url, prefix=prefix)
    return LiveEvents(_read(subscription, wanted))


class LiveEvents(AsyncIterator[Event], Iterator[Event]):
    """An endless iterator over events: use it with ``async for`` or with ``for``, not with both.

    ``await anext(events)`` and ``next(events)`` return the next event. With ``for``, a background thread reads Redis,
    so a slow loop gets newer values instead of old ones, and Ctrl-C ends the wait at once. Leaving a ``with`` or
    ``async with`` block, ``close()``, ``aclose()`` and garbage collection disconnect.
    """

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self._events = events
        self._blocking = _iterate_blocking(events)

    def __anext__(self) -> Awaitable[Event]:
        return self._events.__anext__()

    async def aclose(self) -> None:
        """Disconnect an asynchronous iteration."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __next__(self) -> Event:
        return next(self._blocking)

    def close(self) -> None:
        """Disconnect a synchronous iteration and end its thread."""
        self._blocking.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _read(subscription: Subscription, wanted: Collection[Symbol]) -> AsyncGenerator[Event, None]:
    async with subscription:
        # A user whose ACL hides the report still gets the events.
        with contextlib.suppress(RedisUnavailable):
            report = await subscription.fetch_report()
            streamed = None if report is None else [line.key for line in report.symbols]
            subscription.queue.report_absent(wanted, streamed)
        async for event in subscription:
            yield event


def _iterate_blocking(events: AsyncGenerator[Event, None]) -> Generator[Event, None, None]:
    """Yield the events one by one. Events not yet asked for stay in the conflating queue."""

    async def next_event() -> Event:
        return await anext(events)

    with LoopThread() as loop:
        while True:
            yield loop.run(next_event())
