"""The live table of ``stream run``: its columns at each width, and its messages when something is wrong."""

import asyncio
import io
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog
from rich.console import Console

from schwabstream.auth.tokens import TokenSet
from schwabstream.events import Channel, TickEvent
from schwabstream.logs import configure_logging, logs_kept_aside
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.codec import Batch
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.queue.symbol_channels import SymbolChannels
from schwabstream.report import RedisReport
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.status import Status
from schwabstream.streaming.supervisor import Authorizer, SchwabStreamClient
from schwabstream.terminal.quote_table import QuoteTable
from schwabstream.terminal.screen.live_screen import View
from schwabstream.terminal.stream_table import QUESTION, StreamTable, on_screen
from schwabstream.terminal.watchlist import Watchlist

if TYPE_CHECKING:
    from schwabstream.auth.client import SchwabAuthClient
    from schwabstream.publishing.publisher import TradingEventPublisher

SNAPSHOT = {"key": "/NQ", "1": 20000.25, "2": 20000.5, "3": 20000.25, "4": 11, "5": 4, "8": 1234567, "34": "/NQZ26"}


@dataclass
class Shelf:
    """A publisher whose figures the test sets."""

    url: str = "redis://127.0.0.1:6379/0"
    published: int = 12_345
    queued: int = 0
    dropped: int = 0
    connected: bool = True
    outage: str | None = None
    round_trip_s: float | None = None
    redis: RedisReport = field(default_factory=RedisReport)
    refusing: dict[str, bytes | None] = field(default_factory=dict)
    symbol_channels: SymbolChannels = field(default_factory=lambda: SymbolChannels({}, wanted=True))
    counts: Counter[str] = field(default_factory=Counter)
    events: list[dict[str, Any]] = field(default_factory=list)

    def publish(self, channel: object, event: dict[str, Any]) -> None:
        """Take an event."""
        if channel is Channel.TICKS:
            self.events.append(event.copy())

    def publish_report(self, report: bytes) -> None:
        """Take a report."""


@dataclass
class Login:
    """A login in place of ``SchwabAuthClient``."""

    tokens: TokenSet | None
    unsaved: None = None


class Stage:
    """A streamer that was never started, and its screen."""

    def __init__(
        self, symbols: str = "/NQ:XCME", *, width: int = 120, simulated: bool = False, tokens: TokenSet | None = None
    ) -> None:
        self.shelf = Shelf()
        publisher = cast("TradingEventPublisher", self.shelf)
        self.client = SchwabStreamClient(
            cast("Authorizer", None),
            StreamState(parse_symbols(symbols.split(","), date(2026, 11, 21)), self.shelf.publish),
        )
        self.console = Console(file=io.StringIO(), width=width, height=30, force_terminal=True, color_system="standard")
        login = cast("SchwabAuthClient", Login(tokens))
        self.reporter = Reporter(self.client, publisher, simulated=simulated, login=login)
        self.table = StreamTable(lambda: self.client.symbols, self.client.market.instruments, self.reporter, self.shelf)

    def take(self, received_s: float | None = None, **change: Any) -> None:
        """Let the market take an entry; names are field numbers with an f before them."""
        entry = {"key": "/NQ", **{name[1:]: value for name, value in change.items()}} if change else SNAPSHOT
        received_us = int((time.time() if received_s is None else received_s) * 1e6)
        self.client.market.apply(Batch("LEVELONE_FUTURES", received_us // 1000, [dict(entry)]), received_us)

    def enter(self, state: Status, reason: str) -> None:
        """Put the streamer in a state."""
        self.client.announcer.enter(state, reason)  # the run itself is tried in the integration tests

    def drawn(self, *, styled: bool = False) -> str:
        """The content of the screen."""
        with self.console.capture() as capture:
            self.console.print(self.table.render(time.time(), self.console.size))
        text = capture.get()
        return (
            text
            if styled
            else "".join(part.partition("m")[2] if i else part for i, part in enumerate(text.split("\x1b[")))
        )

    def row(self) -> str:
        """The row of the first symbol."""
        return next(line for line in self.drawn().splitlines() if "/NQ:XCME" in line)


def test_a_row_shows_what_is_known() -> None:
    """Symbol, last, change since the close, bid and ask with sizes, volume, age: with the instrument's decimals."""
    stage = Stage(width=200)
    stage.take()
    stage.take(f14=19_900.0)
    for text in ("/NQZ26", "20,000.25", "11 ×  20,000.25", "20,000.50  × 4", "1,234,567", "+100.25", "+0.50%"):
        assert text in stage.row()
    assert re.search(r"\d\.\ds", stage.row())


def test_the_health_line_names_the_master() -> None:
    """Behind Sentinels or in a Cluster the line has the address that is written to; otherwise the URL."""
    stage = Stage()
    assert "0 dropped  Redis redis://127.0.0.1:6379/0  12,345 events in" in stage.drawn()
    stage.shelf.redis = RedisReport(mode="sentinel", name="mymaster", master="10.0.0.2:6379")
    assert "0 dropped  Redis 10.0.0.2:6379  12,345 events in" in stage.drawn()


def test_a_change_of_price_flashes() -> None:
    """The first screen a newcomer sees shows a new price in reverse for a moment, as ``quote`` does."""
    stage = Stage()
    stage.enter(Status.STREAMING, "subscribed")
    stage.take()
    assert "\x1b[1;7;" not in stage.drawn(styled=True)
    stage.take(f3=20000.5)
    assert "\x1b[1;7;32m20,000.50 ▲" in stage.drawn(styled=True)


def test_a_symbol_looks_as_it_does_in_quote() -> None:
    """The row that is drawn from memory is the row that ``quote`` draws from the events and the report in Redis."""
    stage = Stage("/NQ:XCME,AAPL", width=200)
    stage.enter(Status.STREAMING, "subscribed")
    stage.take()
    stage.table.render(time.time())
    stage.take(f3=20000.5, f14=19_900.0)
    watchlist = Watchlist(stage.client.symbols)
    watchlist.take_report(stage.reporter.report())
    now_s = time.time()
    for event in stage.shelf.events:
        watchlist.apply(TickEvent.model_validate(event), now_s - 1)
    stage.table.render(now_s - 1)

    def rows(view: View) -> list[str]:
        with stage.console.capture() as capture:
            stage.console.print(view.render(now_s, stage.console.size))
        return [line for line in capture.get().splitlines() if "AAPL" in line or "/NQ:XCME" in line or "Symbol" in line]

    assert rows(stage.table) == rows(QuoteTable(watchlist))
    assert len(rows(stage.table)) == 3


def test_what_is_not_known_is_a_dash_never_a_nought() -> None:
    """Before the first data a row has dashes and "no data yet", never a 0."""
    stage = Stage()
    stage.enter(Status.STREAMING, "subscribed")
    row = stage.row()
    assert "no data yet" in row
    assert "–" in row
    assert " 0 " not in row


def test_the_arrow_shows_the_last_change_of_price() -> None:
    """Up or down since the last different price; an update without a new price keeps it."""
    stage = Stage()
    stage.take()
    assert "▲" not in stage.row()
    assert "▼" not in stage.row()
    stage.take(f3=20000.5)
    assert "▲" in stage.row()
    stage.take(f1=20000.25)
    assert "▲" in stage.row()
    stage.take(f3=20000.0)
    assert "▼" in stage.row()


@pytest.mark.parametrize(("age_s", "shown"), [(3, "3.0s"), (59.2, "59s"), (61, "1m01"), (3_725, "1h02")])
def test_age_is_readable(age_s: float, shown: str) -> None:
    """Tenths of a second at first, then seconds, minutes and hours."""
    stage = Stage()
    stage.take(time.time() - age_s)
    assert shown in stage.row()


def test_numbers_of_another_moment_are_dim() -> None:
    """An unconfirmed or old quote looks different from a fresh one."""

    def dim(stage: Stage) -> bool:
        line = next(line for line in stage.drawn(styled=True).splitlines() if "20,000.25" in line)
        return "\x1b[2m20,000.25" in line

    stage = Stage()
    stage.take()
    assert dim(stage)  # it does not stream yet
    stage.enter(Status.STREAMING, "subscribed")
    assert not dim(stage)
    stage.client.market.begin_session()
    assert dim(stage)
    stage.take(time.time() - 91)
    assert dim(stage)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (40, ["Symbol", "Last", "Bid", "Age"]),
        (80, ["Symbol", "Last", "Net", "%", "Size", "Bid", "Ask", "Size", "Age"]),
        (100, ["Symbol", "Contract", "Last", "Net", "%", "Size", "Bid", "Ask", "Size", "Volume", "Age"]),
    ],
)
def test_a_narrow_terminal_drops_columns_not_digits(width: int, titles: list[str]) -> None:
    """A column that does not fit is left out as a whole; no row is wider than the terminal."""
    stage = Stage(width=width)
    stage.enter(Status.STREAMING, "subscribed")
    stage.take(f14=19_900.0)
    stage.take()
    lines = stage.drawn().splitlines()
    assert next(line for line in lines if "Symbol" in line).split() == titles
    assert "20,000.25" in stage.row()
    assert max(map(len, lines)) <= width


def test_the_screen_shows_the_state() -> None:
    """State, Redis without a password, updates, events, uptime; the footer names the keys."""
    stage = Stage()
    stage.enter(Status.STREAMING, "1 symbol subscribed")
    text = stage.drawn()
    for part in (
        "streaming for 0.0s",
        "Redis redis://127.0.0.1:6379/0",
        "0.0 updates/s  0 dropped  Redis redis://127.0.0.1:6379/0  12,345 events in 0.",
        "Ctrl-C",
    ):
        assert part in text
    assert "1 symbol subscribed" not in text


def test_trouble_is_shown_with_its_reason() -> None:
    """Waiting shows its reason; the demo's depth is marked as made up; a refused symbol shows Schwab's answer."""
    stage = Stage(simulated=True)
    stage.enter(Status.WAITING, "the streamer closed the connection (no close frame)")
    assert "no close frame" in stage.drawn()
    assert "Unlike the real Schwab" in stage.drawn()
    stage.enter(Status.CONNECTING, "again")
    stage.enter(Status.STREAMING, "subscribed")
    stage.client.stream.refused["LEVELONE_FUTURES", "/NQ"] = "LEVELONE_FUTURES refused: Symbol limit reached"
    assert "/NQ: LEVELONE_FUTURES refused: Symbol limit reached" in stage.drawn()


def test_the_header_agrees_with_the_report() -> None:
    """``stream run`` shows the trouble of the whole report, though it reads only the rows that are on the screen."""
    stage = Stage(",".join(f"S{n}" for n in range(100)))
    stage.enter(Status.STREAMING, "subscribed")
    whole = stage.reporter.report()
    assert whole.trouble == stage.reporter.trouble == "100 of 100 symbols without data"
    assert stage.drawn().startswith("unhealthy: 100 of 100 symbols without data  streaming for 0.")
    stage.shelf.refusing = {"market_data:stream:ticks": None}
    assert stage.reporter.report().trouble == stage.reporter.trouble


def test_the_book_of_an_opened_row_comes_from_memory() -> None:
    """The newest book is there at once, a newer one with the next frame, and none once the ladder is closed."""
    stage = Stage()
    stage.take()
    stage.client.market.use_top_of_book(["/NQ"])
    stage.drawn()
    (quote,) = stage.table.watchlist.quotes

    def bids() -> list[float] | None:
        stage.drawn()
        return None if quote.book is None else [level.price for level in quote.book.bids]

    assert bids() is None
    stage.table.show_book(quote)
    assert bids() == [20000.25]
    stage.take(f1=20000.0)
    assert bids() == [20000.0]
    stage.table.show_book(None)
    assert bids() is None


def test_a_login_due_within_a_day_is_shown() -> None:
    """From a day before the next login is due the screen shows it, with the command; before that it does not."""
    day_s = 86_400
    for age_s, shown in ((6.5 * day_s, True), (5.5 * day_s, False)):
        tokens = TokenSet("access", "refresh", time.time() + 60, time.time() - age_s)
        assert ("a new login is due in 1" in Stage(tokens=tokens).drawn()) is shown


def test_an_outage_of_redis_shows_what_is_queued_and_what_is_lost() -> None:
    """While Redis is away the screen counts what waits, and claims that nothing is lost only while that is so."""
    stage = Stage()
    stage.shelf.connected, stage.shelf.outage, stage.shelf.queued = False, "Redis refused a batch (OOM)", 1_234
    assert "Redis is away" in stage.drawn()
    assert "1,234 events queued, 0 dropped" in stage.drawn()
    stage.shelf.dropped = 56
    assert "none is lost" not in stage.drawn()
    assert "56 dropped" in stage.drawn()


def test_what_comes_from_outside_draws_nothing() -> None:
    """A contract's name and a reason are shown with their control characters as escapes."""
    stage = Stage(width=200)
    stage.take(f3=20000.5, f34="/MNQ\x1b]0;owned\x07")
    stage.enter(Status.WAITING, "refused: \x9b2J\u202e")
    drawn = stage.drawn()
    assert r"/MNQ\u001b]0;owned\u0007" in drawn
    assert r"refused: \u009b2J\u202e" in drawn
    assert "\x07" not in drawn
    assert "\x9b" not in drawn


async def test_the_newest_log_lines_are_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the screen is up log lines appear on it, the newest last; the run redraws until it is cancelled."""
    stage = Stage()
    monkeypatch.setattr("sys.stderr", io.StringIO())
    configure_logging("rich")
    with logs_kept_aside() as logs:
        arguments = (lambda: stage.client.symbols, stage.client.market.instruments, stage.reporter, stage.shelf)
        stage.table = StreamTable(*arguments, logs)
        with on_screen(stage.table, stage.table.last_page, lambda: None, stage.console) as keep_drawn:
            for n in range(9):
                structlog.get_logger("x").info(f"line {n}")
            task = asyncio.create_task(keep_drawn())
            await asyncio.sleep(0)
            assert "line 8" in stage.drawn()
            assert "line 2" not in stage.drawn()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    structlog.reset_defaults()
    assert isinstance(stage.console.file, io.StringIO)
    written = stage.console.file.getvalue()
    assert written.count("\x1b[?1049h") == written.count("\x1b[?1049l") == 1
    assert "connecting: 12,345 events in " in written.rpartition("\x1b[?1049l")[2]


def test_a_key_must_be_pressed_twice_to_stop_the_run() -> None:
    """A service or a recording does not end by accident: the last line asks for a second press for three seconds."""
    stage = Stage()
    lines = stage.drawn().splitlines()
    stage.table.press("q")
    asked = stage.drawn().splitlines()
    assert asked[-1] == "press q again to stop the run"
    assert len(asked) == len(lines)
    stage.table.press("s")
    assert QUESTION not in stage.drawn()
    stage.table.press("q")
    assert not stage.table.left
    stage.drawn()
    stage.table.press("q")
    assert stage.table.left


async def test_leaving_the_table_stops_the_run_and_leaves_the_table_on_the_terminal() -> None:
    """The run is asked to stop; the prices and what the run did stay below the closed screen."""
    stage, stopped = Stage(), asyncio.Event()
    stage.take()
    with on_screen(stage.table, stage.table.last_page, stopped.set, stage.console) as keep_drawn:
        task = asyncio.create_task(keep_drawn())
        await asyncio.sleep(0)
        for _ in range(2):
            stage.table.press("q")
            stage.drawn()
        await asyncio.wait_for(stopped.wait(), 10)
        assert not task.done()  # it shows how the run ends
        task.cancel()
    assert isinstance(stage.console.file, io.StringIO)
    left = stage.console.file.getvalue().rpartition("\x1b[?1049l")[2]
    assert "20,000.25" in left
    assert "12,345 events in " in left


def test_the_last_page_has_the_rows_of_before_the_logout() -> None:
    """A run that was asked to stop leaves its prices as current as they were, with the price that no frame showed."""
    stage = Stage()
    stage.enter(Status.STREAMING, "subscribed")
    stage.take()
    stage.drawn()
    stage.take(f3=20_001.5)
    stage.table.keep_rows(time.time())
    stage.enter(Status.STOPPED, "asked to stop")
    stage.drawn()
    with stage.console.capture() as capture:
        stage.console.print(stage.table.last_page(time.time()))
    assert "20,001.50" in capture.get()
    assert "disconnected" not in capture.get()
    assert "stopped: 12,345 events in " in capture.get()


def test_rows_that_are_scrolled_to_have_their_prices() -> None:
    """Only the symbols on the screen are read from memory; those that a key brings there are, too."""
    stage = Stage(",".join([*(f"S{n}" for n in range(100)), "/NQ:XCME"]))
    stage.take()
    stage.drawn()
    stage.table.press("end")
    stage.drawn()
    assert "20,000.25" in stage.row()
    stage.table.press("s")
    stage.drawn()
    assert "20,000.25" in stage.row()


@pytest.mark.parametrize(
    ("published", "dropped", "line"),
    [(438, 0, "stopped: 438 events in 1m11, 0 dropped"), (1, 1234, "stopped: 1 event in 1m11, 1,234 dropped")],
)
def test_the_line_that_stays_sums_up_the_run(published: int, dropped: int, line: str) -> None:
    """The line below the closed screen is a plain sentence: final state, events, duration and losses."""
    stage = Stage()
    stage.enter(Status.STOPPED, "interrupted")
    stage.shelf.published, stage.shelf.dropped = published, dropped
    started_s = stage.reporter.report(()).started / 1000
    assert str(stage.table.last_line(started_s + 71.5)) == line


@pytest.mark.parametrize("trouble", ["", "the streamer closed the connection (no close frame) " * 8])
def test_as_many_symbols_are_shown_as_the_terminal_has_lines_for(trouble: str) -> None:
    """No line is drawn beyond the last of the terminal, and what does not fit is counted."""
    stage = Stage(",".join(f"S{n}" for n in range(100)))
    if trouble:
        stage.enter(Status.WAITING, trouble)
    lines = stage.drawn().rstrip("\n").split("\n")
    shown = [line for line in lines if re.match(r" ?S\d+ ", line)]
    assert len(lines) <= 30
    assert len(shown) > 10
    assert lines[0].endswith(f" {len(shown)} of 100")
    assert "Ctrl-C" in lines[-1]


@pytest.mark.parametrize(("height", "logs"), [(8, 0), (14, 0), (20, 1), (24, 3), (30, 6), (60, 6)])
def test_a_low_screen_keeps_its_lines_for_rows(height: int, logs: int) -> None:
    """Log lines give way first, so that a table of 14 lines is not mostly notes."""
    stage = Stage(",".join(f"S{n}" for n in range(100)), simulated=True)
    stage.console.height = height
    arguments = (lambda: stage.client.symbols, stage.client.market.instruments, stage.reporter, stage.shelf)
    stage.table = StreamTable(*arguments, [f"line {n}" for n in range(9)])
    lines = stage.drawn().splitlines()
    assert sum(line.startswith("line ") for line in lines) == logs
    assert sum(bool(re.match(r"S\d+ ", line)) for line in lines) >= height // 2 - 1
    assert len(lines) <= height
