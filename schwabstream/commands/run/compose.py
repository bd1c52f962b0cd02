"""The composition of one run: the session, the publisher, the report and the screen, and how signals end them."""

import asyncio
import contextlib
import functools
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import open_store
from schwabstream.clock import today
from schwabstream.commands.embedded_redis import EMBEDDED
from schwabstream.commands.resources import lease_for, publisher_to, redis_for, schwab_for
from schwabstream.commands.run.drain import drain
from schwabstream.commands.run.monitors import Monitors, monitors_for
from schwabstream.commands.run.standby import take_turns
from schwabstream.commands.signals import ending_signals
from schwabstream.commands.start import overrides_for, settings_and_logs, symbols_of
from schwabstream.errors import ConfigurationError, RedisUnavailable
from schwabstream.logs import logs_kept_aside
from schwabstream.monitoring.reporter import Reporter
from schwabstream.output import LineWriter, can_draw, safe_lines
from schwabstream.protocol.symbols import Symbol
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.publishing.wanted import WishPoll
from schwabstream.settings import Settings
from schwabstream.side_tasks import end, start_beside
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient
from schwabstream.terminal.text import counted

if TYPE_CHECKING:
    from schwabstream.recording.writer import FileRecorder
    from schwabstream.terminal.stream_table import KeepDrawn

log = structlog.get_logger(__name__)

HOLIDAYS_AFTER_S = 20.0


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The options of ``stream run``; None means the configured value."""

    symbols: list[str] | None = None
    duration_s: float | None = None
    simulate: bool = False
    redis: str | None = None
    ensure_env: bool = False
    json: bool = False
    live: bool = True
    verbosity: int = 0
    standby: bool = True
    take_over: bool = False
    simulate_from: Path | None = None
    record: Path | None = None
    rotate: Sequence[str] = ()
    keep: int | None = None

    @property
    def simulated(self) -> bool:
        """Whether no Schwab is involved."""
        return self.simulate or self.simulate_from is not None


def stream(options: StreamOptions) -> None:
    """Run the streamer until a signal, the duration or an error ends it; raises ``SchwabStreamError``."""
    overrides = overrides_for(options.symbols, None if options.redis == EMBEDDED else options.redis)
    if options.ensure_env:
        from schwabstream.commands.doctor.local import ensure_environment

        ensure_environment(simulated=options.simulated, **overrides)
    if (options.rotate or options.keep) and options.record is None:
        raise ConfigurationError("--rotate and --keep belong to a recording: add --record FILE")
    settings = settings_and_logs(options.verbosity, **overrides)
    if not options.simulated:
        settings.require()
    symbols = _symbols(settings, options)
    if not symbols:
        raise ConfigurationError("no symbols to stream: set SCHWAB_SYMBOLS or give --symbols /MNQ:XCME")
    run = _Run(options, settings, symbols)
    asyncio.run(run.until_stopped())
    if run.interrupted:
        raise KeyboardInterrupt
    if run.loss is not None:  # only here: the run has ended cleanly by now, so no alert is due
        raise run.loss


def _symbols(settings: Settings, options: StreamOptions) -> list[Symbol]:
    """The configured symbols; those of the recording when one is served and none were asked for."""
    if options.simulate_from is not None and options.symbols is None:
        from schwabstream.recording.reader import Recording

        with Recording(options.simulate_from) as recording:
            return symbols_of(recording.header.symbols, recording.header.started.date())
    return symbols_of(settings.symbols)


class _Run:
    """One run of the streamer, from its first connection to its end."""

    def __init__(self, options: StreamOptions, settings: Settings, symbols: list[Symbol]) -> None:
        self._options, self._settings, self._symbols = options, settings, symbols
        self._stopping = self._signalled = False
        self.interrupted = False
        self.loss: RedisUnavailable | None = None
        self._client: SchwabStreamClient | None = None
        self._before_logout: Callable[[], None] = lambda: None
        self._recorder: FileRecorder | None = None
        self._monitors = Monitors()
        self._task: asyncio.Task[None] | None = None

    async def until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(self._compose())
        for number in ending_signals():
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._stopping:
                raise

    def stop(self) -> None:
        """End the run cleanly: log out and drain if there is a session. A second call changes nothing."""
        if self._stopping:
            return
        self._stopping = True
        self._before_logout()
        if self._client is not None:
            self._client.stop()
        elif self._task is not None:
            self._task.cancel()

    def _on_signal(self, number: signal.Signals) -> None:
        """Stop cleanly; at a second SIGINT or SIGTERM stop at once. A third one gets Python's default handling.

        SIGHUP comes twice when a terminal closes, from the kernel and from the shell, and always stops cleanly.
        """
        if number is signal.SIGHUP or not self._signalled:
            self._signalled = self._signalled or number is not signal.SIGHUP
            if not self._stopping:
                log.info("stopping", reason=number.name)
            self.stop()
            return
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(each)
        self._stopping = self.interrupted = True
        if self._task is not None:
            self._task.cancel()

    async def _compose(self) -> None:
        options = self._options
        async with contextlib.AsyncExitStack() as stack:
            if options.record is not None:
                from schwabstream.recording.rotation import Rotation
                from schwabstream.recording.writer import recording_to

                rotation = Rotation.parse(options.rotate, options.keep)
                recording = recording_to(options.record, rotation, self._symbols, simulated=options.simulated)
                self._recorder = stack.enter_context(recording)
            schwab = schwab_for(self._settings, simulated=options.simulated, recording=options.simulate_from)
            settings = await stack.enter_async_context(schwab)
            place = redis_for(self._settings, options.redis, simulated=options.simulated)
            redis = await stack.enter_async_context(place)
            auth = await stack.enter_async_context(SchwabAuthClient(settings, open_store(settings)))
            self._monitors = await stack.enter_async_context(monitors_for(settings, auth))
            await stack.enter_async_context(self._monitors.alerting_on_failure())
            tap = stack.enter_context(_json_lines(self.stop)) if options.json else None
            # An embedded Redis of a live run is private and needs no lease. A simulated one may listen on the port of a
            # live streamer's Redis while that is away: the lease keeps that streamer out.
            if not redis.shared and not options.simulated:
                auth.auto_refresh.start()
                await self._lead(settings, redis.url, auth, tap)
                return
            lease = await stack.enter_async_context(lease_for(settings, redis.url, auth, simulated=options.simulated))
            self._monitors.watch_lease(lease)
            auth.auto_refresh.start()
            await take_turns(
                lease,
                functools.partial(self._lead, settings, redis.url, auth, tap, lease),
                standby=options.standby,
                take_over=options.take_over,
                stopping=lambda: self._stopping,
            )

    async def _lead(
        self,
        settings: Settings,
        redis_url: str,
        auth: SchwabAuthClient,
        tap: Callable[[bytes], None] | None,
        lease: Lease | None = None,
        fence: Fence | None = None,
    ) -> None:
        """Stream until stopped, or until the lease is lost."""
        publisher = publisher_to(redis_url, settings, fence=fence, tap=tap, on_pressure=self._hold, on_loss=self._renew)
        try:
            await publisher.connect()
            stream = StreamState(
                self._symbols,
                publisher.publish,
                heartbeat_timeout_s=settings.schwab_heartbeat_timeout_s,
                on_status=self._monitors.take_status,
                max_symbols=settings.schwab_max_symbols,
            )
            stream.also_subscribe(settings.services)
            client = SchwabStreamClient(
                auth,
                stream,
                keepalive_s=settings.schwab_tick_keepalive_s,
                recorder=self._recorder,
                permit=functools.partial(lease.confirm, fence) if lease and fence else None,
            )
            if self._stopping:
                return
            self._client = client
            reporter = Reporter(client, publisher, login=auth, simulated=self._options.simulated)
            with (
                self._monitors.watching(client, publisher),
                self._screen(client, publisher, reporter) as keep_drawn,
            ):
                by_symbol = settings.schwab_redis_symbol_channels
                wishes = WishPoll(redis_url, settings.schwab_redis_prefix, client.wish, symbol_channels=by_symbol)
                background = [self._announce(client, publisher), reporter.run(), wishes.run(), _learn_holidays(client)]
                await self._stream(client, publisher, reporter, [*background, *([keep_drawn()] if keep_drawn else [])])
        finally:
            self._client = None
            await publisher.close()

    def _renew(self, lost: int) -> None:
        """Write the hashes again after a loss of events, because they may be older than the streams."""
        if self._client is not None:
            self._client.market.renew(ticks=lost > 0)

    def _hold(self, held: bool) -> None:
        """Leave incoming frames in the socket while Redis is behind."""
        if self._client is not None:
            self._client.hold(held)

    async def _stream(
        self,
        client: SchwabStreamClient,
        publisher: TradingEventPublisher,
        reporter: Reporter,
        background: list[Coroutine[None, None, None]],
    ) -> None:
        """Run the streamer and the publisher, with the rest beside them; however it ends, write what is queued."""
        streamer = asyncio.create_task(client.run(), name="streamer")
        writer = asyncio.create_task(publisher.run(), name="publisher")
        extras = [start_beside(coroutine) for coroutine in background]
        try:
            await asyncio.wait({streamer, writer}, return_when=asyncio.FIRST_COMPLETED)
            client.stop()  # a publisher that lost the lease ends the session too
            await streamer
        finally:
            await end(*extras)
            unwritten = await drain(writer, publisher, reporter)
            streamer.cancel()
            await asyncio.wait({streamer})
            (log.warning if unwritten else log.info)("done", published=publisher.published, unwritten=unwritten)
        if not writer.cancelled():
            writer.result()
        if unwritten:
            self.loss = RedisUnavailable(
                f"{counted(unwritten, 'event')} not written to Redis before the end of the run "
                f"({publisher.outage or f'no answer in time from {publisher.url}'}): see schwabstream doctor"
            )

    @contextlib.contextmanager
    def _screen(
        self, client: SchwabStreamClient, publisher: TradingEventPublisher, reporter: Reporter
    ) -> "Iterator[KeepDrawn | None]":
        options = self._options
        if not options.live or options.json or options.verbosity < 0 or not can_draw():
            yield None
            return
        from schwabstream.terminal.market_screen import MarketScreen
        from schwabstream.terminal.stream_table import StreamTable, on_screen

        with logs_kept_aside() as logs:
            table = StreamTable(lambda: client.symbols, client.market.instruments, reporter, publisher, logs)
            self._before_logout = lambda: table.keep_rows(time.time())
            with on_screen(MarketScreen(table, table.show_book), table.last_page, self._on_key) as keep_drawn:
                yield keep_drawn

    def _on_key(self) -> None:
        """Stop cleanly, as at a signal."""
        log.info("stopping", reason="q")
        self.stop()

    async def _announce(self, client: SchwabStreamClient, publisher: TradingEventPublisher) -> None:
        """Announce once that everything is subscribed, then stop after the duration asked for, if any."""
        await client.ready.wait()
        troubles = client.troubles()
        without = [symbol.alias for symbol in client.symbols if symbol.key in troubles]
        log.info(
            "ready: streaming, some symbols were not subscribed"
            if without
            else "ready: streaming, all symbols subscribed",
            symbols=",".join(symbol.alias for symbol in client.symbols),
            redis=publisher.url,
            **({"refused": ",".join(without)} if without else {}),
        )
        if self._options.simulate_from is not None:
            log.warning("replaying recorded prices, not live ones", file=str(self._options.simulate_from))
        elif self._options.simulate:
            log.warning("simulated prices; unlike the real Schwab, the simulator has futures depth")
        if self._options.duration_s is not None:
            await asyncio.sleep(self._options.duration_s)
            self.stop()


async def _learn_holidays(client: SchwabStreamClient) -> None:
    """Load the holidays once the stream has settled; nothing needs them in the first minute."""
    from schwabstream.commands.run.holidays import load_holidays

    await client.ready.wait()
    await asyncio.sleep(HOLIDAYS_AFTER_S)
    year = today().year
    if loaded := await load_holidays(year):
        client.schedule.new_york, client.schedule.chicago = loaded
    else:
        log.warning("cannot load the holidays: every weekday counts as a trading day", year=year)


@contextlib.contextmanager
def _json_lines(stop: Callable[[], None]) -> Iterator[Callable[[bytes], None]]:
    loop = asyncio.get_running_loop()

    def closed(_error: OSError) -> None:
        with contextlib.suppress(RuntimeError):  # the run may be over already
            loop.call_soon_threadsafe(stop)

    writer = LineWriter(closed, escape=safe_lines)
    try:
        yield writer.write
    finally:
        writer.close()
        if writer.dropped:
            log.warning("the reader of standard output was too slow", dropped=writer.dropped)
    writer.check()
