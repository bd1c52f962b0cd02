"""The screen of ``stream run``: the quote table of the streamed symbols, drawn from memory, with the newest logs below.

Does not read the streamer or the publisher: it gets their last values and their report.
"""

import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Protocol

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.events import TickEvent
from schwabstream.market.instruments import Instrument
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import StreamerReport
from schwabstream.terminal import text
from schwabstream.terminal.page import lag, state
from schwabstream.terminal.quote_table import QuoteTable, delayed
from schwabstream.terminal.screen.live_screen import STREAMER_SHARE, LiveScreen
from schwabstream.terminal.watchlist import Quote, Watchlist

LOG_LINES = 6
QUESTION = "press q again to stop the run"
KeepDrawn = Callable[[], Coroutine[None, None, None]]


class Redis(Protocol):
    """The Redis that a run writes to."""

    @property
    def url(self) -> str:
        """Its address, without a password."""

    @property
    def outage(self) -> str | None:
        """Why nothing can be written to it at the moment; None while it works."""


class StreamTable:
    """Draws the current ``symbols`` of one run from its ``instruments``, by key, and its ``reporter``."""

    def __init__(
        self,
        symbols: Callable[[], Sequence[Symbol]],
        instruments: Mapping[str, Instrument],
        reporter: Reporter,
        redis: Redis,
        logs: Sequence[str] = (),
    ) -> None:
        self._symbols, self._shown = symbols, symbols()
        self._watchlist = Watchlist(self._shown)
        self._table = QuoteTable(self._watchlist, question=QUESTION)
        self._instruments, self._reporter, self._redis, self._logs = instruments, reporter, redis, logs

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The screen of that ``size`` as it is at ``now_s``, newest log lines last; None: a print of all symbols."""
        self._follow_symbols()
        report = self._sample(self._expected(size), now_s)
        below = self._below(report)
        return self._table.page(self._headline(report, now_s), self._watchlist.quotes, below, now_s, size)

    @property
    def left(self) -> bool:
        """Whether keys have asked to stop the run."""
        return self._table.left

    def press(self, key: str) -> None:
        """Take in a key."""
        self._table.press(key)

    def _expected(self, size: ConsoleDimensions | None) -> Sequence[Quote]:
        """The quotes that the next frame shows, or all if that depends on their values."""
        quotes, browse = self._watchlist.quotes, self._table.browse
        if size is None or browse.is_narrowed:
            return quotes
        return browse.window(quotes, browse.fit or size.height)

    def _follow_symbols(self) -> None:
        """Show the symbols that are streamed now; a symbol that stays keeps its quotes."""
        symbols = self._symbols()
        if symbols is not self._shown:
            self._shown = symbols
            self._watchlist.show(symbols)

    def last_page(self, now_s: float) -> RenderableType:
        """What stays on the terminal after the screen has closed: the table, if it has prices, and the last line."""
        if not self._watchlist.updates:
            return self.last_line(now_s)
        self._sample(self._watchlist.quotes, now_s)
        rows = self._table.browse.window(self._watchlist.quotes, None)
        return Group(self._table.grid(rows, now_s, marks=False), self.last_line(now_s))

    def last_line(self, now_s: float) -> Text:
        """The line that stays on the terminal after the screen has closed: what the run did."""
        report = self._reporter.report(())
        lasted = text.age(now_s - report.started / 1000)
        published = text.counted(report.published, "event")
        return Text(f"{report.state.replace('_', ' ')}: {published} in {lasted}, {report.dropped:,} dropped")

    def _sample(self, quotes: Sequence[Quote], now_s: float) -> StreamerReport:
        """Take in the report and the last values of these quotes."""
        report = self._reporter.report([quote.symbol.key for quote in quotes])
        self._watchlist.take_report(report)
        for quote in quotes:
            instrument = self._instruments[quote.symbol.key]
            tick = instrument.tick
            new = quote.tick is None or quote.tick.received_us != tick["received_us"]
            if new and instrument.has_price:
                self._watchlist.apply(TickEvent.model_construct(**tick), now_s)
        return report

    def _headline(self, report: StreamerReport, now_s: float) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis").append_text(state(report, now_s))
        redis = report.redis.master if report.redis.mode != "single" else self._redis.url
        line.append(f"  Redis {safe(redis)}" if self._redis.outage is None else "  Redis is away")
        line.append(f"  {text.counted(report.published, 'event')} in {text.age(now_s - report.started / 1000)}")
        return line.append(lag(report))

    def _below(self, report: StreamerReport) -> list[Text]:
        lines = delayed(self._watchlist.quotes)
        if problem := self._problem(report):
            lines.append(Text(safe(problem), "bold red"))
        if reminder := self._reporter.login_reminder:
            lines.append(Text(reminder, "bold yellow"))
        if report.simulated:
            lines.append(Text("Simulated prices. Unlike the real Schwab, the simulator has futures depth.", "yellow"))
        keys = "Ctrl-C: log out and stop   Ctrl-C twice: stop at once   ?: keys"
        lines.append(Text(keys, "dim", no_wrap=True, overflow="ellipsis"))
        newest = list(self._logs)[-LOG_LINES:]
        return lines + [Text.from_ansi(line, style="dim", no_wrap=True, overflow="ellipsis") for line in newest]

    def _problem(self, report: StreamerReport) -> str | None:
        if self._redis.outage is not None:
            return f"{self._redis.outage} ({text.counted(report.queued, 'event')} queued, {report.dropped:,} dropped)"
        if report.state != "streaming":
            return report.reason
        problems = {line.key: line.problem for line in report.symbols if line.problem}
        return "; ".join(f"{key}: {problem}" for key, problem in problems.items())


@contextlib.contextmanager
def on_screen(table: StreamTable, stop: Callable[[], None], console: Console | None = None) -> Iterator[KeepDrawn]:
    """Show the table for the duration of the block, which gets the coroutine that redraws it until cancelled.

    ``stop`` is called when keys have asked to stop the run.
    """
    screen = LiveScreen(table, console, share=STREAMER_SHARE)

    async def keep_drawn() -> None:
        while not table.left:
            await screen.draw(time.time())
        stop()
        while True:
            await screen.draw(time.time())

    try:
        yield keep_drawn
    finally:
        screen.close(table.last_page(time.time()))
