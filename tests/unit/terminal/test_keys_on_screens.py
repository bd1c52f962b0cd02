"""Every key on every live screen, read from the cells that a terminal shows; from 8 lines of 40 columns up."""

import io
from collections.abc import Callable
from datetime import date
from typing import Any

import pyte
import pytest
from rich.console import Console, ConsoleDimensions

from schwabstream.events import Level2Event, TickEvent
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal.ladder.view import Ladder
from schwabstream.terminal.market_screen import MarketScreen
from schwabstream.terminal.quote_table import QuoteTable
from schwabstream.terminal.screen.cells import lines_of, whole
from schwabstream.terminal.screen.live_screen import View
from schwabstream.terminal.watchlist import Watchlist

NOW = 1_790_000_000.0
NOW_MS = 1_790_000_000_000
SYMBOLS = [f"S{number:02}" for number in range(62)]
SIZES = [(40, 8), (60, 20), (80, 24), (120, 30), (300, 60)]

pytestmark = pytest.mark.usefixtures("utc")


def tick(symbol: str, price: float, **changes: Any) -> TickEvent:
    """A tick that has just arrived."""
    known = {"symbol": symbol, "key": symbol, "seq": 1, "timestamp": NOW_MS, "received_us": NOW_MS * 1000}
    return TickEvent.model_validate({**known, "asset": "EQUITY", "last_price": price, "is_trade": True, **changes})


def book(symbol: str, price: float) -> Level2Event:
    """A book of twenty levels a side around that price."""
    bids = [{"price": price - step, "size": 100, "makers": 1, "venues": []} for step in range(20)]
    asks = [{"price": price + 1 + step, "size": 100, "makers": 1, "venues": []} for step in range(20)]
    known = {"symbol": symbol, "key": symbol, "seq": 1, "timestamp": NOW_MS, "received_us": NOW_MS * 1000}
    return Level2Event.model_validate({**known, "service": "NASDAQ_BOOK", "source": "book", "bids": bids, "asks": asks})


class Stage:
    """A market of 62 symbols that is streamed, a screen of it, and a terminal that shows its cells."""

    def __init__(self, size: tuple[int, int] = (80, 24), view: Callable[[Watchlist], View] = QuoteTable) -> None:
        self.size = ConsoleDimensions(*size)
        self.watchlist = Watchlist(parse_symbols(SYMBOLS, date(2026, 11, 21)))
        lines = [SymbolReport(symbol=name, key=name, asset="EQUITY", fresh=True) for name in SYMBOLS]
        known: dict[str, Any] = {"state": "streaming", "since": NOW_MS - 5_000, "reported": NOW_MS, "started": 1}
        report = StreamerReport.model_validate({**known, "symbols": lines, "pid": 1, "host": "h", "version": "1"})
        self.watchlist.take_report(report)
        for number, name in enumerate(SYMBOLS):
            changes = {"close_price": 100.0, "total_volume": 1_000 * number}
            self.watchlist.apply(tick(name, 100.0 + number, **changes), NOW - 5)
            self.watchlist.apply(book(name, 100.0 + number), NOW - 5)
        self.view = view(self.watchlist)
        self.drawn: list[str] = []
        self.terminal = pyte.Screen(*size)
        self.lines(NOW)

    def lines(self, now_s: float = NOW) -> list[str]:
        """The lines of the screen, which never has more cells than the terminal."""
        canvas = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=self.size.width)
        options = canvas.options.update(width=self.size.width, height=self.size.height)
        segments = list(canvas.render(self.view.render(now_s, self.size), options))
        drawn = lines_of(segments, *self.size, lambda style: style.render(" ").partition(" ")[0])
        assert "".join(segment.text for segment in segments).count("\n") <= self.size.height
        pyte.Stream(self.terminal).feed(whole(drawn))
        self.drawn = [line.rstrip() for line in self.terminal.display]
        return self.drawn

    def prompt(self) -> str:
        """The last line of the screen."""
        return [line for line in self.drawn if line][-1]

    def press(self, *keys: str) -> list[str]:
        """Press keys, each after a drawing."""
        for key in keys:
            self.view.press(key)
            self.lines()
        return self.drawn

    def symbols(self) -> list[str]:
        """The symbols of the rows on the screen."""
        return [line.split()[0] for line in self.drawn if line.split()[:1] and line.split()[0] in SYMBOLS]

    def marked(self) -> list[str]:
        """The symbols of the rows that are marked as selected."""
        rows = [self.terminal.buffer[row] for row in range(self.size.height)]
        return ["".join(cells[column].data for column in range(3)) for cells in rows if cells[0].reverse]


@pytest.mark.parametrize("size", SIZES)
def test_a_long_table_scrolls_at_every_size(size: tuple[int, int]) -> None:
    """All rows can be reached, the header counts those on the screen, and the selected one is marked."""
    stage = Stage(size)
    rows = len(stage.symbols())
    assert (f"{rows} of 62" in stage.lines()[0]) == (rows < 62)
    assert stage.marked() == []
    stage.press("down")
    assert stage.marked() == ["S00"]
    seen = set(stage.symbols())
    while stage.marked() != ["S61"]:
        stage.press("page_down")
        assert len(stage.symbols()) == rows
        seen |= set(stage.symbols())
    assert seen == set(SYMBOLS)
    stage.press("home")
    assert (stage.symbols()[0], stage.marked()) == ("S00", ["S00"])
    stage.press("end", "page_up", "up")
    assert stage.marked()[0] in stage.symbols()


def test_the_order_is_named_in_the_header() -> None:
    """Each press is the next order; by volume the busiest comes first."""
    stage = Stage()
    names = [stage.press("s")[0].rpartition("62")[2].strip() for _ in range(5)]
    assert names == ["by symbol", "by change", "by volume", "by age", ""]
    stage.press("s", "s", "s")
    assert stage.symbols()[0] == "S61"


@pytest.mark.parametrize("size", SIZES)
def test_what_is_typed_filters_and_is_shown(size: tuple[int, int]) -> None:
    """The last line has the text of the filter, which is kept with Enter and cleared with Esc."""
    stage = Stage(size)
    before = stage.symbols()
    stage.press("/", "s", "4")
    assert stage.prompt().startswith("filter: s4▏")
    assert set(stage.symbols()) <= {name for name in SYMBOLS if name.startswith("S4")}
    stage.press("7", "enter")
    assert stage.symbols() == ["S47"]
    assert "1 of 62" in stage.lines()[0]
    assert stage.prompt().startswith("filter: s47 ")
    stage.press("escape")
    assert stage.symbols() == before


def test_a_pause_holds_everything_and_shows_since_when() -> None:
    """Prices, ages and books stay as they are while the stream goes on; the newest are there when it is over."""
    stage = Stage()
    rows = stage.lines()[1:]
    assert stage.press("p")[0].endswith("paused since 14:13:20")
    stage.watchlist.apply(tick("S00", 99.0), NOW + 1)
    stage.watchlist.apply(tick("S00", 98.5), NOW + 2)
    assert stage.lines(NOW + 30)[1:-2] == rows[:-2]
    assert stage.press("down")[0].endswith("paused since 14:13:20")
    stage.view.press(" ")
    resumed = stage.lines(NOW + 31)
    assert "paused" not in resumed[0]
    assert "98.50 ▼" in resumed[2]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", [QuoteTable, Ladder], ids=["table", "ladder"])
def test_the_keys_are_listed_on_every_screen(size: tuple[int, int], view: Callable[[Watchlist], View]) -> None:
    """? lists the keys in place of the rows, and any key closes the list."""
    stage = Stage(size, view)
    before = stage.lines()
    listed = " ".join(stage.press("?"))
    assert all(word in listed for word in ("pause", "leave", "PgUp", "draw again"))
    assert stage.press("q") == before
    assert not stage.view.left


@pytest.mark.parametrize("key", ["q", "escape"])
@pytest.mark.parametrize("view", [QuoteTable, Ladder], ids=["table", "ladder"])
def test_every_screen_is_left_with_a_key(key: str, view: Callable[[Watchlist], View]) -> None:
    """Both q and Esc leave the table and the ladder."""
    stage = Stage(view=view)
    assert not stage.view.left
    stage.press(key)
    assert stage.view.left


def test_a_ladder_is_paused_and_scrolled() -> None:
    """The book stays while the ladder is scrolled."""
    stage = Stage((60, 20), lambda watchlist: Ladder(watchlist, depth=20))
    centred = stage.lines()
    assert stage.press("p")[0].endswith("paused since 14:13:20")
    stage.watchlist.apply(book("S00", 500.0), NOW + 1)
    assert stage.lines(NOW + 9)[1:] == centred[1:]
    assert stage.press("up", "up") != centred
    assert stage.press("c")[1:] == centred[1:]
    assert any("500.00" in line for line in stage.press(" "))


def test_the_book_of_the_selected_row_is_opened_and_closed() -> None:
    """The key b opens the ladder of the selected row, which follows the arrows; Esc closes it first."""
    asked: list[str | None] = []

    def screen(watchlist: Watchlist) -> View:
        return MarketScreen(
            QuoteTable(watchlist), lambda quote: asked.append(None if quote is None else quote.symbol.alias)
        )

    stage = Stage((120, 30), screen)
    stage.press("down", "down", "b", "down", "escape")
    assert asked == ["S01", "S02", None]
    assert not stage.view.left
    stage.press("/", "b", "escape", "escape")
    assert asked == ["S01", "S02", None]
    assert stage.view.left
