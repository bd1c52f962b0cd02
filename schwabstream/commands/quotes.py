"""``quote``, ``book`` and ``status``: read Redis, or, while no streamer is running, ask Schwab.

Never opens a second streaming connection while a streamer runs: Schwab allows one (protocol 3.8). It asks that streamer
for the symbols that are not streamed yet; ``quote`` without symbols shows what is streamed and asks for nothing.
Without a streamer, ``quote`` asks Schwab once over REST, and ``book`` runs a child streamer for as long as it is shown.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from schwabstream.commands.signals import until_signalled
from schwabstream.commands.start import settings_and_logs, symbols_of
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.subscription import Subscription, read_report
from schwabstream.consumer.wishes import Wishes
from schwabstream.errors import (
    ConfigurationError,
    LoginRequired,
    RedisUnavailable,
    RedisUnsuitable,
    SchwabUnavailable,
    SymbolError,
)
from schwabstream.events import Event, StatusEvent
from schwabstream.market.rest_quotes import tick_of
from schwabstream.market.spark import MINUTES
from schwabstream.output import can_draw
from schwabstream.report import StreamerReport
from schwabstream.settings import Settings
from schwabstream.terminal.ladder.view import Ladder
from schwabstream.terminal.lines import arrival, print_lines, print_once, show_lines
from schwabstream.terminal.market_screen import MarketScreen
from schwabstream.terminal.quote_table import QuoteTable
from schwabstream.terminal.screen.live_screen import watch
from schwabstream.terminal.shown_book import ShownBook, subscribe_to_book
from schwabstream.terminal.watchlist import Watchlist

log = structlog.get_logger(__name__)

FIRST_DATA_LIMIT_S = 20.0
ANSWER_LIMIT_S = 8.0
REPORT_LIMIT_S = 2.0
HISTORY_LIMIT_S = 0.5
_NO_SYMBOLS = "no symbols to show: name some, as in schwabstream quote AAPL, or set SCHWAB_SYMBOLS"


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """The options of ``quote`` and ``book``; None means the configured value, or no limit.

    No ``symbols``: all that are streamed.
    """

    symbols: list[str]
    once: bool = False
    json: bool = False
    simulate: bool = False
    redis: str | None = None
    updates: int | None = None
    verbosity: int = 0

    @property
    def live(self) -> bool:
        """Whether a screen shows it, rather than lines."""
        return not self.once and not self.json and can_draw()


def quote(options: WatchOptions, sort: str | None = None) -> None:
    """Show the symbols' level 1 until a signal ends it; raises ``SchwabStreamError``."""
    settings = _settings(options)
    view = QuoteTable(_watchlist(options), sort=sort)
    asyncio.run(_Watch(options, settings, view, over_rest=True).until_signalled())


def book(options: WatchOptions, depth: int = 10, *, venues: bool = False) -> None:
    """Show one symbol's level 2 until a signal ends it; raises ``SchwabStreamError``."""
    settings = _settings(options)
    watchlist = _watchlist(options)
    if len(watchlist.quotes) != 1:
        raise SymbolError(f"book shows one symbol, not {len(watchlist.quotes)}: run it once for each")
    view = Ladder(watchlist, depth=depth, venues=venues)
    asyncio.run(_Watch(options, settings, view, over_rest=False).until_signalled())


def status(redis: str | None, verbosity: int) -> StreamerReport | None:
    """The running streamer's report; None when none is running. Raises ``RedisUnavailable``."""
    settings = settings_and_logs(verbosity, redis_url=redis)
    return asyncio.run(read_report(settings.redis_url, settings.schwab_redis_prefix))


def _settings(options: WatchOptions) -> Settings:
    # A log line would damage a live screen, which shows problems itself.
    return settings_and_logs(-1 if options.live else options.verbosity, redis_url=options.redis)


def _watchlist(options: WatchOptions) -> Watchlist:
    """The symbols to watch. A symbol of several words, such as SPY 251219C600, needs no quotation marks."""
    if not options.symbols:
        return Watchlist(everything=True)
    return Watchlist(symbols_of([" ".join(options.symbols)]))


class _Watch:
    """One ``quote`` or ``book``, from the settings to the last line; ``over_rest``: REST has what it shows."""

    def __init__(
        self, options: WatchOptions, settings: Settings, view: QuoteTable | Ladder, *, over_rest: bool
    ) -> None:
        self._options, self._settings, self._over_rest = options, settings, over_rest
        self._view, self._watchlist = view, view.watchlist
        self._logged: str | None = None

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
            self._watchlist.take_report(report)
            await self._show(settings.redis_url, request=True)
            return
        try:
            await self._without_streamer(outage)
        except (ConfigurationError, LoginRequired) as error:
            cause = outage or "no streamer is running"
            raise type(error)(f"{cause}; Schwab cannot be asked either: {error}") from error

    async def _without_streamer(self, outage: RedisUnavailable | None) -> None:
        reason = None if outage is None else str(outage)
        self._show_configured()
        if self._over_rest:
            log.warning("no streamer is running: asking Schwab once", reason=reason)
            await self._once_over_rest()
        else:
            log.warning("no streamer is running: starting one for this book", reason=reason)
            await self._run_own(embedded=outage is not None, simulate=False)

    def _show_configured(self) -> None:
        """Show the configured symbols, if none were named and none are streamed; raises ``ConfigurationError``."""
        if not self._watchlist.everything:
            return
        symbols = symbols_of(self._settings.symbols)
        if not symbols:
            raise ConfigurationError(_NO_SYMBOLS)
        self._watchlist.everything = False
        self._watchlist.show(symbols)

    async def _run_own(self, *, embedded: bool, simulate: bool) -> None:
        """Run a child streamer and show what it publishes."""
        from schwabstream.commands.child_streamer import own_stream
        from schwabstream.commands.embedded_redis import embedded_redis

        self._show_configured()
        if simulate and not embedded:
            from schwabstream.commands.resources import keep_from_live

            await keep_from_live(self._settings)
        async with contextlib.AsyncExitStack() as stack:
            url, redis = self._settings.redis_url, self._options.redis
            if embedded:
                # Not the usual port: a streamer whose Redis is away for a moment must not connect to this one.
                redis = url = (await stack.enter_async_context(embedded_redis(0))).url
            aliases = [quote.symbol.alias for quote in self._watchlist.quotes]
            self._watchlist.starting = True
            stream = await stack.enter_async_context(own_stream(aliases, redis, simulate=simulate))
            await self._show(url, stream.check, patience_s=FIRST_DATA_LIMIT_S)

    async def _show(
        self, url: str, check: Callable[[], None] = lambda: None, *, patience_s: float = 0.0, request: bool = False
    ) -> None:
        """Show what is in that Redis, and ``request`` the symbols on the watchlist that are not streamed.

        ``--once`` waits up to ``patience_s`` for data of every symbol.
        """
        symbols = [] if self._watchlist.everything else [quote.symbol for quote in self._watchlist.quotes]
        queue = ConflatingQueue(keys={symbol.key for symbol in symbols}, newest_only=self._options.live)
        kinds, prefix = self._view.channels, self._settings.schwab_redis_prefix
        async with (
            Subscription(queue, kinds=kinds, symbols=symbols, redis_url=url, prefix=prefix) as subscription,
            contextlib.AsyncExitStack() as stack,
        ):
            if request and symbols:
                await stack.enter_async_context(self._wishes(subscription))
            if self._options.once:
                await (self._await_answers(subscription) if request else self._gather(subscription, check, patience_s))
                await self._print_streamed()
            elif self._options.live:
                await self._show_history(subscription)
                await self._watch(subscription, url, check)
            else:
                await show_lines(subscription, self._line_of, updates=self._options.updates, check=check)

    async def _watch(self, subscription: Subscription, url: str, check: Callable[[], None]) -> None:
        """Draw until cancelled, or for the number of updates; beside quotes, also the book that the user opens."""
        watchlist, updates = self._watchlist, self._options.updates
        if isinstance(self._view, Ladder):
            await watch(subscription, watchlist, self._view, updates=updates, check=check)
            return

        def take(event: Event) -> None:
            watchlist.take_book(event)
            subscription.notify()

        prefix = self._settings.schwab_redis_prefix
        async with ShownBook(lambda quote: subscribe_to_book(quote, url, prefix), take) as book:
            view = MarketScreen(self._view, book.show)
            await watch(subscription, watchlist, view, updates=updates, check=check)

    async def _show_history(self, subscription: Subscription) -> None:
        """Take in the bars of the last minutes; a screen without them shows its prices from now on."""
        since_ms = int(time.time() - 60 * 2 * MINUTES) * 1000
        with contextlib.suppress(RedisUnavailable, TimeoutError):
            async with asyncio.timeout(HISTORY_LIMIT_S):
                self._watchlist.apply_history(await subscription.fetch_recent_bars(self._watchlist.keys, since_ms))

    def _wishes(self, subscription: Subscription) -> Wishes:
        """Ask the streamer for the symbols of the watchlist, which gets its reports."""

        def take(report: StreamerReport | None) -> None:
            self._watchlist.requested = wishes.refusal is None
            self._watchlist.take_report(report)
            if not self._options.once and (missing := self._watchlist.not_streamed()) != self._logged:
                self._logged = missing
                if missing:
                    log.warning(missing)

        wishes = Wishes((quote.symbol for quote in self._watchlist.quotes), subscription, take)
        return wishes

    async def _gather(self, subscription: Subscription, check: Callable[[], None], patience_s: float) -> None:
        """Take in the last values, and new events for ``patience_s`` or until every symbol has data."""
        started = time.monotonic()
        while True:
            check()
            self._take_in(subscription)
            if all(map(self._view.shown, self._watchlist.quotes)) or time.monotonic() - started >= patience_s:
                break
            await arrival(subscription, 0.2)
        if patience_s and not self._watchlist.updates:
            raise SchwabUnavailable(f"no data for the symbols within {patience_s:.0f} s: run schwabstream doctor")
        await self._await_report(subscription, REPORT_LIMIT_S if patience_s else 0.0)

    async def _await_answers(self, subscription: Subscription) -> None:
        """Take in the last values, and wait until each requested symbol has new data or is refused."""
        watchlist, view, started = self._watchlist, self._view, time.monotonic()
        self._take_in(subscription)
        awaited = [(quote, view.shown(quote)) for quote in watchlist.quotes if quote.report is None]
        while awaited and watchlist.requested and time.monotonic() - started < ANSWER_LIMIT_S:
            await arrival(subscription, 0.2)
            self._take_in(subscription)
            awaited = [
                (quote, before)
                for quote, before in awaited
                if not watchlist.refusal(quote) and (quote.report is None or view.shown(quote) is before)
            ]
        await self._await_report(subscription, 0.0)

    def _take_in(self, subscription: Subscription) -> None:
        while (event := subscription.queue.take()) is not None:
            self._watchlist.apply(event, time.time())
        self._watchlist.invalid = subscription.queue.counts["invalid"]

    async def _print_streamed(self) -> None:
        """Print the snapshot; raises ``SchwabUnavailable`` when a symbol is not streamed."""
        watchlist = self._watchlist
        missing = watchlist.not_streamed()
        if not missing or any(quote.report or quote.tick or quote.book for quote in watchlist.quotes):
            await self._print_once()
        if missing and not watchlist.everything:
            raise SchwabUnavailable(missing)

    async def _await_report(self, subscription: Subscription, patience_s: float) -> None:
        """Take in the newest report; ``patience_s`` gives a stream that just began the time to become healthy."""
        watchlist, started = self._watchlist, time.monotonic()
        while True:
            with contextlib.suppress(RedisUnavailable):
                watchlist.take_report(await subscription.fetch_report())
            if (watchlist.report and watchlist.report.healthy) or time.monotonic() - started >= patience_s:
                return
            await asyncio.sleep(0.1)

    async def _once_over_rest(self) -> None:
        """Ask Schwab over REST, which does not disturb a streaming connection."""
        from schwabstream.auth.client import SchwabAuthClient
        from schwabstream.auth.store import open_store

        settings, watchlist = self._settings.require(), self._watchlist
        async with SchwabAuthClient(settings, open_store(settings)) as auth:
            quotes = await auth.fetch_quotes(sorted(watchlist.keys))
            now_us = time.time_ns() // 1000
            watchlist.asked_at = now_us / 1e6
            for quote in watchlist.quotes:
                if tick := tick_of(quote.symbol, quotes, now_us):
                    watchlist.apply(tick, now_us / 1e6)
            await self._print_once()
            if auth.lost is not None:
                raise auth.lost

    async def _print_once(self) -> None:
        if not self._options.json:
            await print_once(self._view.render(time.time()))
            return
        lines = []
        for quote in self._watchlist.quotes:
            events = [event for event in (quote.tick, quote.book) if event is not None]
            lines += [line for line in map(self._view.json_of, events) if line is not None]
            if not events:
                log.warning("no data", symbol=quote.symbol.alias)
        await print_lines(lines)

    def _line_of(self, event: Event) -> str | None:
        """The event's line; a gap that this reader found goes to the log."""
        if isinstance(event, StatusEvent):
            log.warning(event.reason, state=event.state)
            return None
        self._watchlist.apply(event, time.time())
        if self._watchlist.quote(event) is None:  # the last value of a symbol that is no longer streamed
            return None
        if self._options.json:
            return self._view.json_of(event)
        return self._view.line_of(event, time.time())
