"""``subscribe``: the last value of each symbol, then live events, for ``async for`` and for ``for``.

Chooses the symbols and reports each that is not streamed. Reading Redis is in ``subscription``, asking the streamer
for symbols in ``wishes``.
"""

import contextlib
import shlex
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Generator, Iterator
from types import TracebackType
from typing import Self

from schwabstream.broker.arguments import check_number
from schwabstream.clock import today
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.loop_thread import LoopThread
from schwabstream.consumer.subscription import DEFAULT_PREFIX, DEFAULT_URL, EVERYTHING, Subscription
from schwabstream.consumer.wishes import Wishes
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel, Event
from schwabstream.protocol.symbols import Symbol, parse_symbols
from schwabstream.report import StreamerReport, SymbolReport


def subscribe(
    *symbols: str,
    kinds: Collection[Channel] = EVERYTHING,
    redis_url: str = DEFAULT_URL,
    prefix: str = DEFAULT_PREFIX,
    max_pending: int = 4096,
    request: bool = True,
) -> "LiveEvents":
    """Return an iterator over the last event of each symbol, then over every event as it is published.

    Iterate it with ``async for`` in asynchronous code, and with ``for`` in scripts and notebooks. It connects at the
    first event and disconnects when the loop is left.

    ``symbols`` are written as on the command line; a string may contain several, separated by commas or blanks.
    Without symbols, it yields the events of all symbols. A symbol is found under any of its aliases: ``/mnq`` yields
    the events of ``/MNQ:XCME``. ``kinds`` limits the channels.

    It asks the streamer for the symbols that are not streamed yet, for as long as it runs; ``request=False`` reads only
    what is streamed anyway.

    Whatever the ``kinds``, it also yields three reports, as StatusEvents with ``seq`` 0: ``stale`` with ``detail``
    ``not-streamed`` for a symbol that the streamer refuses or was not asked for, or when no streamer is running;
    ``gap`` for events that were lost on the way; and ``dropped`` when the reader is slow: beyond ``max_pending`` queued
    events, newer values replace older ones of the same symbol.

    Raises ``SymbolError`` at once for what cannot be a symbol and ``ConfigurationError`` for other invalid arguments;
    the first event raises ``RedisUnavailable`` when Redis cannot be reached. During later outages the iterator waits.
    """
    check_number("max_pending", max_pending, 1)
    wanted = parse_symbols(symbols, today())
    aliases, keys = [each.alias for each in wanted], [each.key for each in wanted]
    queue = ConflatingQueue(aliases, keys=keys, max_pending=max_pending)
    # Listening to the channel of a symbol asks for it, so a reader that requests nothing reads the shared channels.
    listed = wanted if request else ()
    subscription = Subscription(queue, kinds=kinds, symbols=listed, redis_url=redis_url, prefix=prefix)
    return LiveEvents(_read(subscription, _Absences(subscription, wanted), request=request))


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


async def _read(subscription: Subscription, absences: "_Absences", *, request: bool) -> AsyncGenerator[Event, None]:
    async with subscription, contextlib.AsyncExitStack() as stack:
        if request and absences.symbols:
            absences.wishes = wishes = Wishes(absences.symbols, subscription, absences.take)
            await stack.enter_async_context(wishes)
        else:
            # A user whose ACL hides the report still gets the events.
            with contextlib.suppress(RedisUnavailable):
                absences.take(await subscription.fetch_report())
        async for event in subscription:
            yield event


class _Absences:
    """Reports each of the ``symbols`` that is not streamed, once for each reason, from the streamer's reports."""

    def __init__(self, subscription: Subscription, symbols: list[Symbol]) -> None:
        self.symbols, self._subscription = symbols, subscription
        self.wishes: Wishes | None = None
        self._reported: dict[str, str] = {}
        self._begun = False

    def take(self, report: StreamerReport | None) -> None:
        """Take in one report; that no streamer runs is reported at the start alone, as a StatusEvent follows later."""
        queue, begun, self._begun = self._subscription.queue, self._begun, True
        if report is None and begun:
            return
        lines = report.by_key() if report else {}
        for symbol in self.symbols:
            reason = self._reason(symbol, report, lines.get(symbol.key))
            if reason is None:
                self._reported.pop(symbol.alias, None)
            elif self._reported.get(symbol.alias) != reason:
                self._reported[symbol.alias] = reason
                queue.report_absent(symbol, reason)
                self._subscription.notify()

    def _reason(self, symbol: Symbol, report: StreamerReport | None, line: SymbolReport | None) -> str | None:
        """Why a symbol is absent, with the next step; None when it is streamed or may still come."""
        if line is not None:
            return line.refusal
        absent = f"{symbol.alias} is not streamed"
        if report is None:
            none_runs = f"{absent}: no streamer is running; start one with schwabstream stream run"
            return None if self._subscription.queue.holds(symbol.key) else none_runs
        if symbol.alias in report.refused:
            return report.refused[symbol.alias]
        if self.wishes is None or self.wishes.refusal is not None:
            return f"{absent}: add it with schwabstream stream add {shlex.quote(symbol.alias)}"
        return None


def _iterate_blocking(events: AsyncGenerator[Event, None]) -> Generator[Event, None, None]:
    """Yield the events one by one. Events not yet asked for stay in the conflating queue."""

    async def next_event() -> Event:
        return await anext(events)

    with LoopThread() as loop:
        while True:
            yield loop.run(next_event)
