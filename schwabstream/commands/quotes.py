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
from schwabstream.events import Event, StatusEvent
from schwabstream.logs import configure_logging
from schwabstream.market.rest_quotes import tick_of
from schwabstream.output import can_draw
from schwabstream.protocol.symbols import future_hints, parse_symbols
from schwabstream.report import StreamerReport
from schwabstream.settings import load_settings
from schwabstream.terminal.ladder import Ladder
from schwabstream.terminal.lines import arrival, print_lines, print_once, show_lines
from schwabstream.terminal.live_screen import watch
from schwabstream.terminal.quote_table import QuoteTable
from schwabstream.terminal.watchlist import Watchlist

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
    verbosity: int = 0


def quote(options: WatchOptions, sort: str | None = None) -> None:
    """Show the symbols' level 1 until a signal ends it; raises what the contract's exit codes name."""
    asyncio.run(_Watch(options, QuoteTable(_watchlist(options), sort=sort), over_rest=True).until_signalled())


def book(options: WatchOptions, depth: int = 10, *, venues: bool = False) -> None:
    """Show one symbol's level 2 until a signal ends it; raises what the contract's exit codes name."""
    watchlist = _watchlist(options)
    if len(watchlist.quotes) != 1:
        raise SymbolError(f"book shows one symbol, not {len(watchlist.quotes)}: run it once for each")
    view = Ladder(watchlist, depth=depth, venues=venues)
    asyncio.run(_Watch(options, view, over_rest=False).until_signalled())


def status(redis: str | None, verbosity: int) -> StreamerReport | None:
    """The running streamer's report; None when none runs. Raises ``RedisUnavailable``."""
    settings = load_settings(redis_url=redis)
    configure_logging(settings.schwab_log_format, verbosity=verbosity)
    return asyncio.run(read_report(settings.redis_url, settings.schwab_redis_prefix))


def _watchlist(options: WatchOptions) -> Watchlist:
    """The symbols asked for; the words of one, such as SPY 251219C600, need no quotes."""
    return Watchlist(parse_symbols([" ".join(options.symbols)], date.today()))  # noqa: DTZ011 - contracts expire locally


class _Watch:
    """One showing, from the settings to the last line; ``over_rest`` says whether REST has what it shows."""

    def __init__(self, options: WatchOptions, view: QuoteTable | Ladder, *, over_rest: bool) -> None:
        self._options, self._view, self._watchlist = options, view, view.watchlist
        self._over_rest = over_rest
        self._settings = load_settings(redis_url=options.redis)
        self._live = can_draw() and not options.once and not options.json
        # A log line on a live screen would tear it: there the screen itself says what is wrong.
        configure_logging(self._settings.schwab_log_format, verbosity=-1 if self._live else options.verbosity)
        for hint in future_hints(quote.symbol for quote in self._watchlist.quotes):
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
            self._watchlist.take_report(report)
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
        if self._over_rest:
            log.warning("no streamer runs: asking Schwab once", reason=reason)
            await self._once_over_rest()
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
            aliases = [quote.symbol.alias for quote in self._watchlist.quotes]
            self._watchlist.starting = True
            stream = await stack.enter_async_context(own_stream(aliases, redis, simulate=simulate))
            await self._show(url, stream.check, patience_s=FIRST_DATA_LIMIT_S)

    async def _show(self, url: str, check: Callable[[], None] = lambda: None, *, patience_s: float = 0.0) -> None:
        """Show what is in that Redis; ``--once`` waits up to ``patience_s`` for all there is to show."""
        updates = self._options.updates
        queue = ConflatingQueue(keys=self._watchlist.keys, newest_only=self._live)
        prefix = self._settings.schwab_redis_prefix
        async with Subscription(queue, kinds=self._view.channels, redis_url=url, prefix=prefix) as subscription:
            if self._options.once:
                await self._gather(subscription, check, patience_s)
                await self._print_streamed()
            elif self._live:
                await watch(subscription, self._watchlist, self._view, updates=updates, check=check)
            else:
                if missing := self._watchlist.not_streamed():
                    log.warning(missing)
                await show_lines(subscription, self._line_of, updates=updates, check=check)

    async def _gather(self, subscription: Subscription, check: Callable[[], None], patience_s: float) -> None:
        """Take in what is there, and for a while what comes, until there is something of everything."""
        queue, started = subscription.queue, time.monotonic()
        while True:
            check()
            while (event := queue.take()) is not None:
                self._watchlist.apply(event, time.time())
            if self._view.complete or time.monotonic() - started >= patience_s:
                break
            await arrival(subscription, 0.2)
        if patience_s and not self._watchlist.updates:
            raise SchwabUnavailable(f"nothing came for the symbols within {patience_s:.0f} s; try: schwabstream doctor")
        self._watchlist.invalid = queue.counts["invalid"]
        await self._await_report(subscription, REPORT_LIMIT_S if patience_s else 0.0)

    async def _print_streamed(self) -> None:
        """Print what there is; raises ``SchwabUnavailable`` when a symbol is not streamed."""
        watchlist = self._watchlist
        missing = watchlist.not_streamed()
        if not missing or any(quote.report or quote.tick or quote.book for quote in watchlist.quotes):
            await self._print_once()
        if missing:
            raise SchwabUnavailable(missing)

    async def _await_report(self, subscription: Subscription, patience_s: float) -> None:
        """Take in the newest report; from a stream just begun, one that knows it streams."""
        watchlist, started = self._watchlist, time.monotonic()
        while True:
            with contextlib.suppress(RedisUnavailable):
                watchlist.take_report(await subscription.fetch_report())
            if (watchlist.report and watchlist.report.healthy) or time.monotonic() - started >= patience_s:
                return
            await asyncio.sleep(0.1)

    async def _once_over_rest(self) -> None:
        """Ask Schwab's REST interface, which a streamer's connection does not mind."""
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
            known = [self._view.json_of(event) for event in (quote.tick, quote.book) if event is not None]
            lines += [line for line in known if line is not None]
            if not known:
                log.warning("no data", symbol=quote.symbol.alias)
        await print_lines(lines)

    def _line_of(self, event: Event) -> str | None:
        """The event's line; what the reader itself missed goes to the log."""
        if isinstance(event, StatusEvent):
            log.warning(event.reason, state=event.state)
            return None
        self._watchlist.apply(event, time.time())
        if self._options.json:
            return self._view.json_of(event)
        return self._view.line_of(event, time.time())
