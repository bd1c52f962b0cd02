"""The screen of ``stream run``: the quote table of the streamed symbols, drawn from memory, with the newest logs below.

Does not read the streamer or the publisher: it gets their last values and their report.
"""

import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.events import TickEvent, parse_event
from schwabstream.market.instruments import Instrument
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import StreamerReport
from schwabstream.terminal import text
from schwabstream.terminal.page import HEALTH_FROM, Header, delayed, header, health, keys_line, one_line
from schwabstream.terminal.quote_table import QuoteTable
from schwabstream.terminal.screen.live_screen import STREAMER_SHARE, LiveScreen, View
from schwabstream.terminal.watchlist import Quote, Watchlist

LOG_LINES = 6
_LOGS_FROM: Final = 18
"""Lines of a screen that has log lines, more on a higher one; on a lower one, another row is worth more."""
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


class StreamTable(QuoteTable):
    """Draws the current ``symbols`` of one run from its ``instruments``, by key, and its ``reporter``."""

    def __init__(
        self,
        symbols: Callable[[], Sequence[Symbol]],
        instruments: Mapping[str, Instrument],
        reporter: Reporter,
        redis: Redis,
        logs: Sequence[str] = (),
    ) -> None:
        self._symbols = symbols
        self._streamed = symbols()
        super().__init__(Watchlist(self._streamed), question=QUESTION)
        self._instruments = instruments
        self._reporter = reporter
        self._redis = redis
        self._logs = logs
        self._report = reporter.report(())
        self._with_book: Quote | None = None
        self._book: Mapping[str, Any] | None = None
        self._is_kept = False

    def changes(self, now_s: float) -> None:
        """A run has no core to spare for more than whole frames."""

    def header(self, now_s: float, size: ConsoleDimensions | None) -> Header:
        """The state of the streamer, as of now."""
        self._follow_symbols()
        self._report = self._sample(self._expected(size), now_s)
        return header(self._report, now_s, trouble=self._trouble())

    def show_book(self, quote: Quote | None) -> None:
        """Take in the books of this quote from now on; None: of none."""
        if self._with_book is not None and self._with_book is not quote:
            self._with_book.book = None
        self._with_book, self._book = quote, None

    def _follow_symbols(self) -> None:
        """Show the symbols that are streamed now; a symbol that stays keeps its quotes."""
        symbols = self._symbols()
        if symbols is not self._streamed:
            self._streamed = symbols
            self.watchlist.show(symbols)

    def _expected(self, size: ConsoleDimensions | None) -> Sequence[Quote]:
        """The quotes that the next frame shows; all of them if that depends on their values."""
        quotes, browse = self.watchlist.quotes, self.browse
        if size is None or browse.is_narrowed:
            return quotes
        return browse.window(quotes, browse.fit or size.height)

    def last_page(self, now_s: float) -> RenderableType:
        """What stays on the terminal after the screen has closed: the table if it had prices, and what the run did."""
        if not self.watchlist.updates:
            return self.last_line(now_s)
        self._sample(self.watchlist.quotes, now_s)
        return Group(self.body(now_s, None), self.last_line(now_s))

    def keep_rows(self, now_s: float) -> None:
        """Leave the rows as they are from now on: after the logout they would only show that there is no session."""
        self._sample(self.watchlist.quotes, now_s)
        self._is_kept = True

    def last_line(self, now_s: float) -> Text:
        """What the run did, in one line."""
        report = self._reporter.report(())
        lasted = text.age(now_s - report.started / 1000)
        published = text.counted(report.published, "event")
        return Text(f"{report.state.replace('_', ' ')}: {published} in {lasted}, {report.dropped:,} dropped")

    def _sample(self, quotes: Sequence[Quote], now_s: float) -> StreamerReport:
        """Take in the report and the last values of these quotes."""
        report = self._reporter.report([quote.symbol.key for quote in quotes])
        if self._is_kept:
            return report
        self.watchlist.take_report(report)
        self._sample_book()
        for quote in quotes:
            instrument = self._instruments[quote.symbol.key]
            tick = instrument.tick
            new = quote.tick is None or quote.tick.received_us != tick["received_us"]
            if new and instrument.has_price:
                self.watchlist.apply(TickEvent.model_construct(**tick), now_s)
        return report

    def _sample_book(self) -> None:
        """Take in the newest book of the quote whose ladder is shown, if it is another than before."""
        instrument = self._with_book and self._instruments.get(self._with_book.symbol.key)
        if instrument and (book := instrument.newest_book) is not None and book is not self._book:
            self._book = book
            self.watchlist.take_book(parse_event(orjson.dumps(book)))

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """The notes below the rows: problems of symbols, what is due, figures of the run, the keys, the newest logs."""
        report = self._report
        lines = delayed(self.watchlist.quotes)
        if problems := self._problems():
            lines.append(Text(safe(problems), "bold red"))
        if reminder := self._reporter.login_reminder:
            lines.append(Text(reminder, "bold"))
        if report.simulated and (size is None or size.height >= _LOGS_FROM):
            lines.append(one_line("Unlike the real Schwab, the simulator has futures depth."))
        if size is None or size.height >= HEALTH_FROM:
            rate = sum(self._reporter.rates.values())
            lines.append(health(report, now_s, size, rate=rate, redis=report.redis.master or self._redis.url))
        lines.append(keys_line(size, "?: keys", "Ctrl-C: log out and stop", "Ctrl-C twice: stop at once"))
        room = LOG_LINES if size is None else min(LOG_LINES, (size.height - _LOGS_FROM) // 2)
        newest = list(self._logs)[-room:] if room > 0 else []
        return lines + [Text.from_ansi(line, style="dim", no_wrap=True, overflow="ellipsis") for line in newest]

    def _trouble(self) -> str | None:
        """What is wrong while the streamer streams; its report has only the symbols that are shown."""
        if self._redis.outage is None:
            return self._reporter.trouble
        queued, dropped = text.counted(self._report.queued, "event"), f"{self._report.dropped:,} dropped"
        return f"Redis is away: {self._redis.outage} ({queued} queued, {dropped})"

    def _problems(self) -> str:
        if self._report.state != "streaming":  # the header has the reason for the state
            return self._trouble() or "" if self._redis.outage is not None else ""
        problems = {line.key: line.problem for line in self._report.symbols if line.problem}
        return "; ".join(f"{key}: {problem}" for key, problem in problems.items())


@contextlib.contextmanager
def on_screen(
    view: View,
    last_page: Callable[[float], RenderableType],
    stop: Callable[[], None],
    console: Console | None = None,
) -> Iterator[KeepDrawn]:
    """Show the view for the duration of the block, which gets the coroutine that redraws it until cancelled.

    ``stop`` is called when keys have asked to leave; ``last_page`` stays on the terminal.
    """
    screen = LiveScreen(view, console, share=STREAMER_SHARE)

    async def keep_drawn() -> None:
        while not view.left:
            await screen.draw(time.time())
        stop()
        while True:
            await screen.draw(time.time())

    try:
        yield keep_drawn
    finally:
        screen.close(last_page(time.time()))
