"""The quote screen, drawn and held to its pictures."""

import io
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.style import Style

from schwabstream.events import BarEvent, TickEvent
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import LagReport, StreamerReport, SymbolReport
from schwabstream.terminal.quote_table import QuoteTable
from schwabstream.terminal.screen.cells import Screen, lines_of, put
from schwabstream.terminal.watchlist import Watchlist

Snapshot = Callable[[str, Callable[[], RenderableType]], None]

NOW = 1_790_000_000.0
NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
LIVE = ConsoleDimensions(80, 24)
# What a terminal theme maps to something readable on its own background, light or dark.
READABLE = {"", "0", "1", "2", "7", "31", "32", "35"}


def tick(key: str, last: float | None, **changes: Any) -> TickEvent:
    """A tick that arrived 0.4 s ago."""
    known = {"symbol": key, "key": key, "seq": 1, "timestamp": NOW_MS, "received_us": NOW_MS * 1000 - 400_000}
    return TickEvent.model_validate({**known, "asset": "FUTURE", "last_price": last, "is_trade": True, **changes})


def bar(key: str, minutes_ago: int, close: float) -> BarEvent:
    """A bar of one price."""
    known = {"symbol": key, "key": key, "seq": 1, "timestamp": NOW_MS - 60_000 * minutes_ago, "received_us": 1}
    return BarEvent.model_validate({**known, "open": 1, "high": 1, "low": 1, "close": close, "volume": 1})


def watchlist(**report_changes: Any) -> Watchlist:
    """A market with every kind of row: moving, falling, delayed, halted, in 32nds and rolled, and without data."""
    shown = Watchlist(parse_symbols(["/MNQ:XCME", "AAPL", "NVDA", "GME", "/ZN", "EUR/USD"], date(2026, 11, 21)))
    nasdaq = {
        "bid_price": 25211.25,
        "bid_size": 3,
        "ask_price": 25211.75,
        "ask_size": 15,
        "close_price": 25150.0,
        "high_price": 25301.0,
        "low_price": 25080.75,
        "total_volume": 812_345,
        "trade_time": NOW_MS - 1_000,
        "contract": "/MNQZ26",
    }
    shown.apply(tick("/MNQ", 25211.5, **nasdaq), NOW - 5)
    shown.apply(tick("/MNQ", 25211.75, **nasdaq), NOW)
    shown.apply(tick("AAPL", 233.3, bid_price=233.22, ask_price=233.33, bid_size=100, close_price=235.0), NOW - 9)
    shown.apply(tick("AAPL", 233.2, bid_price=233.22, ask_price=233.33, bid_size=100, close_price=235.0), NOW - 9)
    shown.apply(tick("NVDA", 178.7, delayed=True, close_price=178.7, total_volume=112_361_403), NOW)
    shown.apply(tick("GME", 23.1, received_us=NOW_MS * 1000 - 185_000_000), NOW)
    shown.apply(tick("/ZN", 110.578125, bid_price=110.5625, ask_price=110.578125, close_price=110.5), NOW)
    lines = [
        SymbolReport(symbol=q.symbol.alias, key=q.symbol.key, asset="FUTURE", fresh=True, rate=12.34)
        for q in shown.quotes
    ]
    description = "Micro E-mini Nasdaq-100 Index Futures,Dec-2026,ETH"
    lines[0] = lines[0].model_copy(update={"description": description, "expires": NOW_MS + 88 * DAY_MS})
    lines[3] = lines[3].model_copy(update={"security_status": "Halted"})
    lines[4] = lines[4].model_copy(update={"contract": "/ZNU26", "expires": NOW_MS})
    shown.apply_history([bar("/MNQ", minute, 25_200 + 7 * minute % 40) for minute in range(1, 20)])
    known = {
        "state": "streaming",
        "since": NOW_MS - 300_000,
        "reported": NOW_MS,
        "started": NOW_MS - 400_000,
        "pid": 77,
        "host": "box",
        "version": "1",
        "symbols": lines,
        "lag": LagReport(exchange_to_here_ms=45, here_to_redis_ms=0.31),
    }
    shown.take_report(StreamerReport.model_validate({**known, **report_changes}))
    return shown


def text_of(renderable: RenderableType, width: int = 200) -> str:
    """The renderable as plain text."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_screen_of_a_running_market(snapshot: Snapshot) -> None:
    """Each width from 60 columns shows what matters most; colours mark up, down and stale."""
    snapshot("quote", lambda: QuoteTable(watchlist()).render(NOW, LIVE))


def test_screen_while_the_streamer_waits(snapshot: Snapshot) -> None:
    """A lost session dims every row, and the header shows the reason."""
    waiting = {"state": "waiting", "reason": "the connection was lost", "simulated": True}
    shown = watchlist(**waiting)
    shown.invalid = 3
    snapshot("quote-waiting", lambda: QuoteTable(shown).render(NOW, LIVE))


@pytest.mark.usefixtures("utc")
def test_screen_is_readable_on_light_and_dark() -> None:
    """No colour is used that a light or a dark theme cannot show on its background."""
    console = Console(width=200, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(QuoteTable(watchlist()).render(NOW, LIVE))
    used = {code for codes in re.findall(r"\x1b\[([\d;]*)m", capture.get()) for code in codes.split(";")}
    assert used <= READABLE
    assert {"31", "32"} <= used


def test_no_color_takes_colours_but_not_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR the arrows still distinguish up from down."""
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(width=200, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(QuoteTable(watchlist()).render(NOW, LIVE))
    drawn = capture.get()
    assert not re.search(r"\x1b\[[\d;]*3[1-6]m", drawn)
    assert "▲" in drawn
    assert "▼" in drawn


def styles(shown: Watchlist, symbol: str, now_s: float = NOW) -> dict[str, str]:
    """The texts of a row with the colours that they have."""
    console = Console(width=220, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(QuoteTable(shown).render(now_s, LIVE))
    (line,) = [line for line in capture.get().splitlines() if symbol in line]
    return {text.strip(): codes for codes, text in re.findall(r"\x1b\[([\d;]+)m([^\x1b]*)\x1b\[0m", line)}


def test_the_price_has_the_colour_of_the_day_and_the_arrow_of_the_last_tick() -> None:
    """A share that has just risen is still red while it is below yesterday's close; the flash has the tick's colour."""
    shown = watchlist()
    for price in (233.2, 233.4):
        shown.apply(tick("AAPL", price, close_price=235.0), NOW)
    assert styles(shown, "AAPL")["233.40 ▲"] == "1;7;32"
    assert styles(shown, "AAPL", NOW + 1)["233.40 ▲"] == "1;31"
    shown.apply(tick("AAPL", 235.0, close_price=235.0), NOW)
    assert styles(shown, "AAPL", NOW + 1)["235.00 ▲"] == "1"


def test_the_roll_week_is_marked() -> None:
    """Days to an expiration are plain until the week in which traders move on, and dim while the row is stale."""
    shown = watchlist()
    assert "88d" not in styles(shown, "/MNQ")
    assert styles(shown, "/ZN")["today"] == "1;35"
    assert styles(shown, "/ZN", NOW + 100)["today"] == "2"


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("width", "age"), [(60, "closed until …"), (80, "closed until Sun …"), (220, "closed until Sun 22:00")]
)
def test_a_closed_market_is_named_with_its_next_opening(width: int, age: str) -> None:
    """It stands in place of the age, and on a narrow screen leaves the change of the day its room."""
    shown = watchlist()
    closed = {"session": "closed", "opens_at": NOW_MS + (6 * 24 * 60 + 7 * 60 + 46) * 60_000 + 40_000}
    report = shown.report
    assert report is not None
    lines = [line.model_copy(update=closed) for line in report.symbols]
    shown.take_report(report.model_copy(update={"symbols": lines}))
    drawn = text_of(QuoteTable(shown).render(NOW + 100, LIVE), width).splitlines()
    assert f"  {age}" in drawn[2]
    assert ("%" in drawn[1]) == (width > 60)


@pytest.mark.parametrize(("sort", "title"), [("change", "%"), ("volume", "Volume")])
def test_the_column_of_the_order_is_shown_before_others(sort: str, title: str) -> None:
    """On a narrow screen it takes the room of columns that are otherwise more important."""
    titles = [
        text_of(QuoteTable(watchlist(), sort=order).render(NOW, LIVE), 70).splitlines()[1].split()
        for order in (None, sort)
    ]
    assert [title in each for each in titles] == [False, True]
    assert all({"Last", "Bid", "Ask", "Age"} <= set(each) for each in titles)


@pytest.mark.parametrize(
    ("width", "description"),
    [(300, "Micro E-mini Nasdaq-100 Index Futures,Dec-2026,ETH"), (222, "Micro E-mini Nasdaq-100 In…")],
)
def test_a_description_is_as_long_as_there_is_room(width: int, description: str) -> None:
    """It gets what the other columns leave, and its cut is marked."""
    drawn = text_of(QuoteTable(watchlist()).render(NOW, LIVE), width).splitlines()
    assert drawn[2].rstrip().endswith(description)


def test_the_day_range_has_its_ends_on_a_wide_screen() -> None:
    """The dot is where the price is between the low and the high of the day."""
    assert "25,080.75  ─────●────  25,301.00" in text_of(QuoteTable(watchlist()).render(NOW, LIVE), 220)


@pytest.mark.parametrize(
    ("typed", "symbols"),
    [
        ("me", ["/MES:XCME", "GME"]),
        ("xc", []),
        ("z26", ["/NQ:XCME"]),
        (":xc", ["/MES:XCME", "/NQ:XCME", "/ZC:XCBT"]),
        ("q:xcm", ["/NQ:XCME"]),
        ("/z", ["/ZC:XCBT"]),
    ],
)
def test_a_filter_searches_exchanges_after_a_colon_only(typed: str, symbols: list[str]) -> None:
    """A part of the symbol or of the contract; the exchange, which most futures share, only if a colon is typed."""
    shown = Watchlist(parse_symbols(["/MES:XCME", "/NQ:XCME", "/ZC:XCBT", "GME"], date(2026, 11, 21)))
    shown.apply(tick("/NQ", 25211.5, contract="/NQZ26"), NOW)
    table = QuoteTable(shown)
    for key in ("/", *typed):
        table.press(key)
    drawn = text_of(table.body(NOW, LIVE)).splitlines()[1:]
    assert [line.split()[0] for line in drawn] == symbols


def test_header_distinguishes_redis_from_streamer() -> None:
    """No Redis, no streamer, and one on its way read differently."""
    shown = watchlist()
    table = QuoteTable(shown)
    shown.outage = "Connection refused"
    assert "Redis is away: Connection refused; reconnecting" in text_of(table.render(NOW, LIVE))
    shown.outage = None
    shown.take_report(None)
    assert "no streamer is running" in text_of(table.render(NOW, LIVE))
    shown.starting = True
    assert "starting a streamer" in text_of(table.render(NOW, LIVE))


def test_an_answer_over_rest_shows_its_time() -> None:
    """Values of an answer just got are not called the last known ones: the header has the time of the question."""
    shown = watchlist()
    shown.take_report(None)
    shown.asked_at = NOW
    drawn = text_of(QuoteTable(shown).render(NOW))
    assert re.search(r"no streamer is running  asked Schwab at \d\d:\d\d:\d\d\n", drawn)
    assert "last values" not in drawn


def test_a_symbol_that_is_not_streamed_is_named_on_the_live_screen() -> None:
    """The screen shows how to add what is not streamed; a snapshot leaves that to the error."""
    shown = watchlist(symbols=[SymbolReport(symbol="AAPL", key="AAPL", asset="EQUITY", fresh=True)])
    assert "are not streamed (streamed: AAPL): add them with" in text_of(QuoteTable(shown).render(NOW, LIVE))
    assert "add them with" not in text_of(QuoteTable(shown).render(NOW))


def test_columns_that_gave_way_to_an_outage_come_back() -> None:
    """A lost session widens the age of every row for as long as it lasts, and no longer."""
    shown = watchlist()
    table = QuoteTable(shown)
    before = text_of(table.render(NOW, LIVE), 80)
    shown.take_report(watchlist(state="waiting").report)
    assert "disconnected" in text_of(table.render(NOW, LIVE), 80)
    shown.take_report(watchlist().report)
    assert text_of(table.render(NOW, LIVE), 80) == before


@pytest.mark.parametrize("height", [24, 9])
def test_as_many_quotes_are_shown_as_the_screen_has_lines_for(height: int) -> None:
    """No line is drawn beyond the last of a live screen, and what does not fit is counted; a print shows all."""
    shown = Watchlist(parse_symbols([f"S{number}" for number in range(100)], date(2026, 11, 21)))
    shown.take_report(watchlist().report)
    shown.invalid = 1
    lines = text_of(QuoteTable(shown).render(NOW, ConsoleDimensions(80, height)), 80).splitlines()
    rows = [line for line in lines if re.match(r"S\d+ ", line)]
    assert len(lines) == height
    assert lines[0].endswith(f"  {len(rows)} of 100")
    assert lines[-1] == "?: keys   q: leave"
    assert "S99" in text_of(QuoteTable(shown).render(NOW), 80)


def test_sorting_is_the_users_wish() -> None:
    """By volume the busiest comes first, those without volume last."""
    lines = text_of(QuoteTable(watchlist(), sort="volume").render(NOW, LIVE)).splitlines()
    assert lines[2].startswith("NVDA")
    assert lines[3].startswith("/MNQ:XCME")


def test_foreign_text_is_shown_as_text() -> None:
    """Markup, escapes and newlines in what came over the wire do nothing."""
    shown = watchlist(reason="[red]\x1b[2J", state="waiting", host="h\x07")
    evil = shown.quotes[0].report
    assert evil is not None
    shown.quotes[0].report = evil.model_copy(update={"description": "[bold]\x1b]0;t\x07\n", "contract": "[/]\x9b"})
    shown.quotes[0].tick = tick("/MNQ", 1.0)
    drawn = text_of(QuoteTable(shown).render(NOW, LIVE))
    assert all(character == "\n" or character.isprintable() for character in drawn)
    assert "[red]\\u001b[2J" in drawn
    assert "[bold]\\u001b]0;t\\u0007\\n" in drawn
    assert "[/]\\u009b" in drawn


def test_a_name_of_a_thousand_characters_hides_no_price() -> None:
    """What another program writes as a symbol is cut; the prices of all rows stay on the screen."""
    shown, report = Watchlist(everything=True), watchlist().report
    assert report is not None
    named = report.symbols[0].model_copy(update={"symbol": "X" * 1000, "key": "X" * 1000})
    shown.take_report(report.model_copy(update={"symbols": (named, *report.symbols)}))
    shown.apply(tick("/MNQ", 25211.5), NOW)
    assert "25,211.50" in text_of(QuoteTable(shown).render(NOW, LIVE), 80)


def test_the_pictures_are_kept() -> None:
    """The pictures of both screens stand beside the tests."""
    kept = {path.name for path in (Path(__file__).parents[2] / "fixtures" / "screens").iterdir()}
    assert kept >= {"quote.txt", "quote.ansi", "quote-waiting.txt", "quote-waiting.ansi"}


def test_the_row_of_an_opened_book_is_selected() -> None:
    """A book opened before any row was selected is that of the first row on the screen, which is marked."""
    shown = watchlist()
    table = QuoteTable(shown, sort="volume")

    def selected() -> str | None:
        table.render(NOW, LIVE)
        return None if table.selected is None else table.selected.symbol.alias

    assert selected() is None
    table.choose()
    assert selected() == "NVDA"
    table.press("down")
    table.choose()
    assert selected() == "/MNQ:XCME"
    shown.show([])
    assert selected() is None
    assert table.choose() is None


def cells_of(table: QuoteTable, now_s: float, height: int = 24) -> Screen:
    """The table drawn whole on a wide screen, with the codes of its styles."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    size = ConsoleDimensions(170, height)
    segments = console.render(table.render(now_s, size), console.options.update(width=170, height=height))
    return lines_of(segments, 170, height, str)


def test_changes_show_the_prices_that_a_whole_frame_would_show() -> None:
    """The cells of prices are those of a new drawing; the first tick of a symbol and a longer price need one."""
    shown = watchlist()
    table = QuoteTable(shown)
    screen = cells_of(table, NOW)
    before = len(screen)
    assert table.changes(NOW) == []
    shown.apply(tick("NVDA", 178.5, delayed=True, close_price=178.7, bid_price=9.25, ask_price=9.75), NOW + 1)
    shown.apply(tick("/MNQ", 25211.25, bid_price=25211.0, ask_price=25211.25, close_price=25150.0), NOW + 1)
    runs = table.changes(NOW + 1)
    assert runs
    put(screen, runs, lambda style: str(Style.parse(style)))
    anew = cells_of(QuoteTable(shown), NOW + 1)
    assert len(screen) == before
    prices = slice(screen[1].texts.index("L"), "".join(screen[1].texts).index("Volume") - 8)
    for row in range(2, 8):
        assert "".join(screen[row].texts[prices]).split() == "".join(anew[row].texts[prices]).split()
    assert table.changes(NOW + 1.1) == []
    assert table.changes(NOW + 1.5)  # the ends of the flashes
    shown.apply(tick("NVDA", 1_234_567.5, delayed=True, close_price=178.7), NOW + 2)
    assert table.changes(NOW + 2) is None


@pytest.mark.parametrize("height", range(1, 7))
def test_changes_are_inside_the_lowest_screen(height: int) -> None:
    """A screen that is too low for a row is drawn whole: no change is below its last line."""
    shown = watchlist()
    table = QuoteTable(shown)
    screen = cells_of(table, NOW, height)
    shown.apply(tick("/MNQ", 25211.25, close_price=25150.0), NOW + 1)
    assert all(run.row < len(screen) for run in table.changes(NOW + 1) or ())


def test_changes_of_a_stale_row_need_a_whole_frame() -> None:
    """A row that becomes current again changes all its styles; while paused, nothing changes."""
    shown = watchlist()
    table = QuoteTable(shown)
    assert table.changes(NOW) is None  # nothing has been drawn yet
    cells_of(table, NOW)
    shown.apply(tick("GME", 23.2), NOW)
    assert table.changes(NOW) is None
    cells_of(table, NOW)
    table.press("p")
    assert table.changes(NOW) is None
