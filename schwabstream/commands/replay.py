"""``stream replay``: sends a recording through the same codec, last values and publisher as the live stream.

Events keep their recorded exchange and receive times. They go to an embedded Redis unless another is named, and never
to one where a streamer runs: old prices must not look like new ones.
"""

import asyncio
import contextlib
import platform
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from os import getpid
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from schwabstream import __version__
from schwabstream.broker.kind import reach
from schwabstream.commands.embedded_redis import EMBEDDED, embedded_redis
from schwabstream.commands.resources import publisher_to, refuse_beside_streamer
from schwabstream.commands.signals import until_signalled
from schwabstream.commands.start import settings_and_logs
from schwabstream.errors import ConfigurationError
from schwabstream.events import Channel
from schwabstream.market.last_values import LastValues, Publish
from schwabstream.output import LineWriter, safe_lines
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.recording.compare import Comparison, Difference
from schwabstream.recording.format import Record
from schwabstream.recording.playback import Numbering, Playback
from schwabstream.recording.reader import Recordings
from schwabstream.recording.replay_clock import Pace, parse_moment
from schwabstream.report import StreamerReport
from schwabstream.settings import Settings
from schwabstream.terminal.progress import progress
from schwabstream.terminal.text import counted

log = structlog.get_logger(__name__)

CROWDED = 5_000
_ADVICE = "old prices must not mix with new ones. Replay into --redis embedded, or set another SCHWAB_REDIS_PREFIX"
_RECORDS_PER_TURN = 200
_POLL_S = 0.002
_REPORT_EVERY_S, _DRAIN_LIMIT_S = 1.0, 1.5


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of ``stream replay``; ``speed`` is a factor, infinite for no pauses.

    ``since`` and ``until`` are as the user wrote them, see ``replay_clock.parse_moment``.
    """

    files: list[Path]
    speed: float = 1.0
    since: str | None = None
    until: str | None = None
    loop: bool = False
    redis: str | None = None
    json: bool = False
    check: Path | None = None
    verbosity: int = 0


@dataclass(slots=True)
class ReplayResult:
    """The number of events, the first difference from the golden file, and the damage found in the recordings.

    ``complete`` is false when the replay was stopped before its end.
    """

    problems: list[str]
    events: int = 0
    complete: bool = False
    difference: Difference | None = None

    def verdict(self) -> list[str]:
        """The comparison with the golden file, in lines."""
        if self.difference is not None:
            return self.difference.explain()
        return [f"{'identical' if self.complete else 'stopped; identical so far'}: {counted(self.events, 'event')}"]


def replay(options: ReplayOptions) -> ReplayResult:
    """Replay until the end or a signal; raises ``SchwabStreamError``."""
    if options.check is not None and options.loop:
        raise ConfigurationError("--check needs a replay that ends, and --loop never does: use one of them")
    settings = settings_and_logs(options.verbosity, redis_url=None if options.redis == EMBEDDED else options.redis)
    return asyncio.run(_Replay(options, settings).until_stopped())


class _Replay:
    """One replay: files in, events out."""

    def __init__(self, options: ReplayOptions, settings: Settings) -> None:
        self._options, self._settings = options, settings
        self._recordings = Recordings(options.files)
        self._result = ReplayResult(self._recordings.problems)
        self._lines: LineWriter | None = None
        self._comparison: Comparison | None = None
        self._publisher: TradingEventPublisher | None = None
        self._market: LastValues | None = None
        self._reader_gone = False

    async def until_stopped(self) -> ReplayResult:
        """Replay until the end or a signal."""
        await until_signalled(asyncio.ensure_future(self._run()))
        if self._lines is not None:
            self._lines.check()
        return self._result

    async def _run(self) -> None:
        options = self._options
        async with contextlib.AsyncExitStack() as stack:
            if options.check is not None:
                self._comparison = Comparison(options.check)
            if options.json:
                self._lines = LineWriter(self._on_reader_gone, escape=safe_lines)
                stack.callback(self._lines.close)
            publish = await stack.enter_async_context(self._destination())
            with progress("replaying", self._recordings.size) as show:
                await self._play(publish, show)
                while options.loop and not self._reader_gone and self._result.events:
                    await self._play(publish, show)
            if self._comparison is not None:
                self._comparison.finish()
                self._result.difference = self._comparison.difference
            await self._catch_up(0)
            self._result.complete = True
            log.info("replayed", events=self._result.events)

    async def _play(self, publish: Publish, show: Callable[[int], None]) -> None:
        """Play all files once, between the two times asked for."""
        options, first = self._options, self._recordings.first
        from_us = parse_moment(options.since, first) if options.since else 0
        until_us = parse_moment(options.until, first) if options.until else 1 << 62
        playback = Playback(publish, from_us=from_us)
        pace = Pace(options.speed)
        for number, item in enumerate(self._recordings.items(show)):
            if isinstance(item, Record) and not item.repeated:
                if item.at_us > until_us or self._done:
                    return
                if item.at_us >= from_us:
                    await pace.wait_for(item.at_us)
            playback.take(item)
            self._market = playback.market
            if number % _RECORDS_PER_TURN == 0:
                await asyncio.sleep(0)
                await self._catch_up(CROWDED)

    async def _catch_up(self, most: int) -> None:
        """Wait until at most this many events are still queued."""
        while self._waiting > most:  # noqa: ASYNC110 - a thread and Redis empty the queues, without a notice
            await asyncio.sleep(_POLL_S)

    @property
    def _waiting(self) -> int:
        lines = self._lines.queued if self._lines is not None else 0
        return max(lines, self._publisher.queued if self._publisher is not None else 0)

    @property
    def _done(self) -> bool:
        differs = self._comparison is not None and self._comparison.difference is not None
        return self._reader_gone or differs

    def _on_reader_gone(self, _error: OSError) -> None:
        self._reader_gone = True

    # -- where events go

    def _tap(self, event: bytes) -> None:
        self._result.events += 1
        if self._lines is not None:
            self._lines.write(event)
        if self._comparison is not None:
            self._comparison.take(event)

    @contextlib.asynccontextmanager
    async def _destination(self) -> AsyncIterator[Publish]:
        """Where the events go: to Redis, or only to standard output and the comparison."""
        options = self._options
        if options.redis is None and (options.json or options.check is not None):
            yield Numbering(self._encode).publish
        elif options.redis in (None, EMBEDDED):
            async with embedded_redis() as embedded:
                log.info("embedded redis", url=embedded.url, kind=embedded.kind)
                async with self._redis(embedded.url) as publish:
                    yield publish
        else:
            async with self._redis(self._settings.redis_url) as publish:
                yield publish

    def _encode(self, channel: Channel, event: dict[str, Any]) -> None:
        del channel
        self._tap(orjson.dumps(event))

    @contextlib.asynccontextmanager
    async def _redis(self, url: str) -> AsyncIterator[Publish]:
        settings = self._settings
        await reach(url, settings.schwab_redis_prefix, to_write=True)
        await refuse_beside_streamer(url, settings.schwab_redis_prefix, _ADVICE, simulated_too=True)
        publisher = publisher_to(url, settings, tap=self._tap)
        try:
            await publisher.connect()
            self._publisher = publisher
            writer = asyncio.create_task(publisher.run(), name="publisher")
            reporter = asyncio.create_task(self._report(publisher), name="report")
            try:
                yield publisher.publish
            finally:
                reporter.cancel()
                await asyncio.wait({reporter})
                publisher.stop()
                await asyncio.wait({writer}, timeout=_DRAIN_LIMIT_S)
                writer.cancel()
                await asyncio.wait({writer})
        finally:
            await publisher.close()

    async def _report(self, publisher: TradingEventPublisher) -> None:
        """Publish a report that marks the events as a replay, for as long as it runs."""
        started = int(time.time() * 1000)
        try:
            while True:
                self._publish_report("streaming", started, publisher)
                await asyncio.sleep(_REPORT_EVERY_S)
        finally:
            self._publish_report("stopped", started, publisher)

    def _publish_report(
        self, state: Literal["streaming", "stopped"], started: int, publisher: TradingEventPublisher
    ) -> None:
        """Publish the instruments that have changed, and the report that they are written with."""
        if self._market is not None:
            publisher.instruments.add(self._market.take_changed(sys.maxsize))
        publisher.publish_report(self._describe(state, started, publisher))

    def _describe(
        self, state: Literal["streaming", "stopped"], started: int, publisher: TradingEventPublisher
    ) -> bytes:
        report = StreamerReport(
            state=state,
            reason=f"replaying {', '.join(path.name for path in self._recordings.paths)}",
            since=started,
            started=started,
            reported=int(time.time() * 1000),
            pid=getpid(),
            host=platform.node(),
            version=__version__,
            simulated=True,
            symbol_channels=publisher.symbol_channels.on,
            published=publisher.published,
            queued=publisher.queued,
        )
        return report.model_dump_json(exclude_none=True).encode()
