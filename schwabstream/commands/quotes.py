"""What ``quote``, ``book`` and ``status`` do: read Redis, or, with no streamer running, the next best thing.

Never opens a second streaming connection while a streamer reports: Schwab allows one (protocol 3.8). With none,
``quote`` asks once over REST, and ``book`` runs a stream of its own for as long as it is shown.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import orjson
import structlog

from schwabstream.commands.signals import until_signalled
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.subscription import Subscription, read_report
from schwabstream.errors import (
    ConfigurationError,
    LoginRequired,
    RedisUnavailable,
    RedisUnsuitable,
    SchwabUnavailable,
    SymbolError,
)
from schwabstream.events import Channel, Event, Level2Event, StatusEvent, TickEvent
from schwabstream.logs import configure_logging, write_message
from schwabstream.market.rest_quotes import tick_of
from schwabstream.output import can_draw
from schwabstream.protocol.symbols import Symbol, future_hints, parse_symbols
from schwabstream.settings import Settings, load_settings
from schwabstream.terminal.ladder import Ladder, book_line
from schwabstream.terminal.live import View, arrival, print_lines, print_once, show_lines, show_live
from schwabstream.terminal.quote_table import QuoteTable, quote_line
from schwabstream.terminal.status_page import render_status
from schwabstream.terminal.watchlist import Board, Quote

log = structlog.get_logger(__name__)

FIRST_DATA_LIMIT_S = 20.0
REPORT_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What ``quote`` and ``book`` were asked for; None means "as the settings say", or without end."""

    symbols: list[str]
    once: bool = False
    json: bool = False
    simulate: bool = False
    redis: str | None = None
    updates: int | None = None
    sort: str | None = None
    depth: int = 10
    venues: bool = False
    verbosity: int = 0


def quote(options: WatchOptions) -> None:
    """Show the symbols' level 1 until a signal ends it; raises what the contract's exit codes name."""
    asyncio.run(_Watch(options, _QuoteKind(options)).until_signalled())


def book(options: WatchOptions) -> None:
    """Show one symbol's level 2 until a signal ends it; raises what the contract's exit codes name."""
    asyncio.run(_Watch(options, _BookKind(options)).until_signalled())


def show_status(redis: str | None, *, json: bool) -> bool:
    """Print what the running streamer says of itself; says whether it is healthy. Raises ``RedisUnavailable``."""
    settings = load_settings(redis_url=redis)
    configure_logging(settings.schwab_log_format)
    return asyncio.run(_show_status(settings, json=json))


async def _show_status(settings: Settings, *, json: bool) -> bool:
    report = await read_report(settings.redis_url, settings.schwab_redis_prefix)
    if json:
        said = {"v": 1} if report is None else report.model_dump(mode="json")
        await print_lines([orjson.dumps({**said, "healthy": report is not None and report.healthy}).decode()])
    elif report is None:
        write_message("no streamer runs: start one with schwabstream stream run")
    else:
        await print_once(render_status(report, time.time()))
    return report is not None and report.healthy


def _symbols(options: WatchOptions) -> list[Symbol]:
    """The symbols asked for; the words of one, such as SPY 251219C600, need no quotes."""
    return parse_symbols([" ".join(options.symbols)], date.today())  # noqa: DTZ011 - contracts expire locally


class _QuoteKind:
    """Level 1 of any number of symbols."""

    channels = frozenset({Channel.TICKS})

    def __init__(self, options: WatchOptions) -> None:
        self.board = Board(_symbols(options))
        self.view: View = QuoteTable(self.board, sort=options.sort)

    def complete(self) -> bool:
        """Whether every symbol has something to show."""
        return all(quote.tick is not None for quote in self.board.quotes)

    def text_of(self, event: Event, quote: Quote) -> str | None:
        """The event as a line for people, None when it is not shown here."""
        return quote_line(quote, time.time()) if isinstance(event, TickEvent) else None

    def json_of(self, event: Event) -> str | None:
        """The event as a line for programs, None when it is not shown here."""
        return event.model_dump_json() if isinstance(event, TickEvent) else None


class _BookKind:
    """Level 2 of one symbol, with its last price beside it."""

    channels = frozenset({Channel.LEVEL2, Channel.TICKS})

    def __init__(self, options: WatchOptions) -> None:
        self._depth = options.depth
        symbols = _symbols(options)
        if len(symbols) != 1:
            raise SymbolError(f"book shows one symbol, and these are {len(symbols)}: run it once for each")
        self.board = Board(symbols)
        self.view: View = Ladder(self.board, depth=options.depth, venues=options.venues)

    def complete(self) -> bool:
        """Whether there is a book to show."""
        return self.board.quotes[0].book is not None

    def text_of(self, event: Event, quote: Quote) -> str | None:
        """The event as a line for people, None when it is not shown here."""
        return book_line(quote, event, time.time(), self._depth) if isinstance(event, Level2Event) else None

    def json_of(self, event: Event) -> str | None:
        """The event as a line for programs, cut to the depth; None when it is not shown here."""
        if not isinstance(event, Level2Event):
            return None
        cut = {"bids": event.bids[: self._depth], "asks": event.asks[: self._depth]}
        return event.model_copy(update=cut).model_dump_json()


class _Watch:
    """One showing, from the settings to the last line."""

    def __init__(self, options: WatchOptions, kind: _QuoteKind | _BookKind) -> None:
        self._options, self._kind = options, kind
        self._settings = load_settings(redis_url=options.redis)
        self._live = can_draw() and not options.once and not options.json
        # A log line on a live screen would tear it: there the screen itself says what is wrong.
        configure_logging(self._settings.schwab_log_format, verbosity=-1 if self._live else options.verbosity)
        for hint in future_hints(quote.symbol for quote in kind.board.quotes):
            log.warning(hint)

    async def until_signalled(self) -> None:
        await until_signalled(asyncio.ensure_future(self._run()))

    async def _run(self) -> None:
        if self._options.simulate:
            await self._run_own(embedded=self._options.redis is None, simulate=True)
            return
        outage: RedisUnavailable | None = None
        settings = self._settings
        try:
            report = await read_report(settings.redis_url, settings.schwab_redis_prefix)
        except RedisUnavailable as error:
            if self._options.redis is not None or isinstance(error, RedisUnsuitable):
                raise
            outage, report = error, None
        if report is not None:
            self._kind.board.take_report(report)
            await self._show(settings.redis_url)
            return
        try:
            await self._without_streamer(outage)
        except (ConfigurationError, LoginRequired) as error:
            if outage is None:
                raise
            raise type(error)(f"{outage}; Schwab cannot be asked instead: {error}") from error

    async def _without_streamer(self, outage: RedisUnavailable | None) -> None:
        reason = None if outage is None else str(outage)
        if isinstance(self._kind, _QuoteKind):
            log.warning("no streamer runs: asking Schwab once", reason=reason)
            await self._once_over_rest(self._kind)
        else:
            log.warning("no streamer runs: opening a stream of its own", reason=reason)
            await self._run_own(embedded=outage is not None, simulate=False)

    async def _run_own(self, *, embedded: bool, simulate: bool) -> None:
        """Run a streamer of our own and show what it brings."""
        from schwabstream.commands.child_streamer import own_stream
        from schwabstream.commands.embedded_redis import embedded_redis

        if simulate and not embedded:
            from schwabstream.commands.resources import keep_from_live

            await keep_from_live(self._settings)
        async with contextlib.AsyncExitStack() as stack:
            url, redis = self._settings.redis_url, self._options.redis
            if embedded:
                # Not the usual port: a streamer whose own Redis is away for a moment must not find this one there.
                redis = url = (await stack.enter_async_context(embedded_redis(0))).url
            aliases = [quote.symbol.alias for quote in self._kind.board.quotes]
            self._kind.board.starting = True
            stream = await stack.enter_async_context(own_stream(aliases, redis, simulate=simulate))
            await self._show(url, stream.check, patience_s=FIRST_DATA_LIMIT_S)

    async def _show(self, url: str, check: Callable[[], None] = lambda: None, *, patience_s: float = 0.0) -> None:
        """Show what is in that Redis; ``--once`` waits up to ``patience_s`` for all there is to show."""
        kind, updates = self._kind, self._options.updates
        queue = ConflatingQueue(keys=kind.board.keys, newest_only=self._live)
        prefix = self._settings.schwab_redis_prefix
        async with Subscription(queue, kinds=kind.channels, redis_url=url, prefix=prefix) as subscription:
            if self._options.once:
                await self._gather(subscription, check, patience_s)
                await self._print_streamed(queue)
            elif self._live:
                await show_live(subscription, kind.board, kind.view, updates=updates, check=check)
            else:
                if missing := kind.board.not_streamed():
                    log.warning(missing)
                await show_lines(subscription, self._line_of, updates=updates, check=check)

    async def _gather(self, subscription: Subscription, check: Callable[[], None], patience_s: float) -> None:
        """Take in what is there, and for a while what comes, until there is something of everything."""
        kind, queue, started = self._kind, subscription.queue, time.monotonic()
        while True:
            check()
            while (event := queue.take()) is not None:
                kind.board.apply(event, time.time())
            if kind.complete() or time.monotonic() - started >= patience_s:
                break
            await arrival(subscription, 0.2)
        if patience_s and not kind.board.updates:
            raise SchwabUnavailable(f"nothing came for the symbols within {patience_s:.0f} s; try: schwabstream doctor")
        await self._await_report(subscription, REPORT_LIMIT_S if patience_s else 0.0)

    async def _print_streamed(self, queue: ConflatingQueue) -> None:
        """Print what there is; raises ``SchwabUnavailable`` when a symbol is not streamed."""
        board = self._kind.board
        missing = board.not_streamed()
        if not missing or any(quote.report or quote.tick or quote.book for quote in board.quotes):
            await self._print_once(queue)
        if missing:
            raise SchwabUnavailable(missing)

    async def _await_report(self, subscription: Subscription, patience_s: float) -> None:
        """Take in the newest report; from a stream just begun, one that knows it streams."""
        board, started = self._kind.board, time.monotonic()
        while True:
            with contextlib.suppress(RedisUnavailable):
                board.take_report(await subscription.fetch_report())
            if (board.report and board.report.healthy) or time.monotonic() - started >= patience_s:
                return
            await asyncio.sleep(0.1)

    async def _once_over_rest(self, kind: _QuoteKind) -> None:
        """Ask Schwab's REST interface, which a streamer's connection does not mind."""
        from schwabstream.auth.client import SchwabAuthClient, open_store

        settings = self._settings.require()
        async with SchwabAuthClient(settings, open_store(settings)) as auth:
            quotes = await auth.fetch_quotes(sorted(kind.board.keys))
        now_us = time.time_ns() // 1000
        kind.board.asked_at = now_us / 1e6
        for quote in kind.board.quotes:
            if tick := tick_of(quote.symbol, quotes, now_us):
                kind.board.apply(tick, now_us / 1e6)
        await self._print_once(ConflatingQueue())

    async def _print_once(self, queue: ConflatingQueue) -> None:
        kind = self._kind
        if not self._options.json:
            await print_once(kind.view.render(time.time(), invalid=queue.counts["invalid"], live=False))
            return
        lines = []
        for quote in kind.board.quotes:
            known = [kind.json_of(event) for event in (quote.tick, quote.book) if event is not None]
            lines += [line for line in known if line is not None]
            if not known:
                log.warning("no data", symbol=quote.symbol.alias)
        await print_lines(lines)

    def _line_of(self, event: Event) -> str | None:
        """The event's line; what the reader itself missed goes to the log."""
        kind = self._kind
        if isinstance(event, StatusEvent):
            log.warning(event.reason, state=event.state)
            return None
        kind.board.apply(event, time.time())
        if self._options.json:
            return kind.json_of(event)
        quotes = (quote for quote in kind.board.quotes if quote.symbol.key == event.key)
        return next((kind.text_of(event, quote) for quote in quotes), None)
