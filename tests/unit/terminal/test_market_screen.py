"""The table and the ladder of the selected row on one screen, at every size."""

from datetime import date
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.events import Level2Event, TickEvent
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal.market_screen import MarketScreen
from schwabstream.terminal.page import Header, one_line
from schwabstream.terminal.screen.cells import Run
from schwabstream.terminal.watchlist import Quote, Watchlist

NOW = 1_790_000_000.0
NOW_MS = 1_790_000_000_000
SYMBOLS = ["AAPL", "NVDA", "GME"]
WIDE, TALL, SMALL = ConsoleDimensions(120, 20), ConsoleDimensions(80, 40), ConsoleDimensions(80, 20)


def book(symbol: str, price: float) -> Level2Event:
    """A book of twelve levels a side around that price."""
    bids = [{"price": price - step, "size": 100 + step, "makers": 1, "venues": []} for step in range(12)]
    asks = [{"price": price + 1 + step, "size": 100 + step, "makers": 1, "venues": []} for step in range(12)]
    known = {"symbol": symbol, "key": symbol, "seq": 1, "timestamp": NOW_MS, "received_us": NOW_MS * 1000}
    return Level2Event.model_validate({**known, "service": "NASDAQ_BOOK", "source": "book", "bids": bids, "asks": asks})


class Rows:
    """A table of plain rows, whose selection the arrows move; ``text`` collects what is typed."""

    def __init__(self) -> None:
        self.watchlist = Watchlist(parse_symbols(SYMBOLS, date(2026, 11, 21)))
        self.pressed: list[str] = []
        self.takes_all_keys = self.left = False
        self.place = 0
        self.changed = [Run(1, 0, "233.45")]

    @property
    def selected(self) -> Quote | None:
        """The quote at the place of the selection."""
        return self.watchlist.quotes[self.place] if self.watchlist.quotes else None

    def choose(self) -> Quote | None:
        """The same, as a row is always selected."""
        return self.selected

    def press(self, key: str) -> None:
        """Move, leave, or take text."""
        self.pressed.append(key)
        self.left = self.left or key == "q"
        self.place = max(0, min(len(SYMBOLS) - 1, self.place + {"down": 1, "up": -1}.get(key, 0)))

    def changes(self, now_s: float) -> list[Run]:
        """One price."""
        return self.changed

    def header(self, now_s: float, size: ConsoleDimensions | None) -> Header:
        """A first line."""
        return Header(Text("streaming for 5m00"))

    def body(self, now_s: float, size: ConsoleDimensions | None) -> RenderableType:
        """A line for each symbol."""
        return Text("\n".join(f"row {quote.symbol.alias}" for quote in self.watchlist.quotes))

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """A last line."""
        return [one_line("2 updates/s  0 dropped")]

    def note(self, now_s: float) -> str:
        """None."""
        return ""

    def prompt(self, now_s: float) -> str | None:
        """None."""
        return None


class Stage:
    """A screen of three symbols, each with a book, and the books that it has asked for."""

    def __init__(self) -> None:
        self.table = Rows()
        self.asked: list[str | None] = []
        self.screen = MarketScreen(self.table, self._show_book)
        lines = [SymbolReport(symbol=name, key=name, asset="EQUITY", fresh=True) for name in SYMBOLS]
        known: dict[str, Any] = {"state": "streaming", "since": 1, "reported": NOW_MS, "started": 1, "symbols": lines}
        report = StreamerReport.model_validate({**known, "pid": 1, "host": "h", "version": "1"})
        self.table.watchlist.take_report(report)

    def _show_book(self, quote: Quote | None) -> None:
        self.asked.append(None if quote is None else quote.symbol.alias)
        for number, each in enumerate(self.table.watchlist.quotes, 1):
            each.book = book(each.symbol.alias, 100.0 * number) if each is quote else None

    def press(self, *keys: str) -> None:
        """Press keys, with a frame after each."""
        for key in keys:
            self.screen.press(key)
            self.screen.render(NOW, WIDE)

    def lines(self, size: ConsoleDimensions | None = WIDE) -> list[str]:
        """The lines of the screen."""
        console = Console(width=200 if size is None else size.width, color_system=None)
        with console.capture() as capture:
            console.print(self.screen.render(NOW, size))
        return [line.rstrip() for line in capture.get().splitlines()]

    def has(self, text: str, size: ConsoleDimensions = WIDE) -> bool:
        """Whether a line of the screen has this text."""
        return any(text in line for line in self.lines(size))


def test_a_closed_ladder_takes_no_room_and_no_data() -> None:
    """Until ``b`` is pressed the screen is the table, and no book is asked for."""
    stage = Stage()
    assert stage.lines() == ["streaming for 5m00", "row AAPL", "row NVDA", "row GME", "2 updates/s  0 dropped"]
    assert stage.asked == []


@pytest.mark.parametrize("key", ["b", "enter"])
def test_the_ladder_is_beside_the_table_where_there_is_room(key: str) -> None:
    """From 110 columns both are side by side, with the figures of the run below."""
    stage = Stage()
    stage.press(key)
    lines = stage.lines()
    assert stage.asked == ["AAPL"]
    assert lines[1].startswith("row AAPL")
    assert "│ AAPL" in lines[1]
    assert all(line[69:72] == " │ " for line in [line.ljust(120) for line in lines[1:-2]])
    assert any("101.00" in line for line in lines)
    assert any("100.00" in line for line in lines)
    assert lines[-2] == "2 updates/s  0 dropped"
    assert lines[-1].startswith("b: close the book")
    assert len(lines) == WIDE.height


def test_the_ladder_is_below_on_a_tall_screen_and_else_in_place_of_the_table() -> None:
    """Narrow and tall: the table first; narrow and low: the ladder alone. The best prices are always there."""
    stage = Stage()
    stage.press("b")
    tall = stage.lines(TALL)
    assert tall[1:4] == ["row AAPL", "row NVDA", "row GME"]
    assert tall[4] == "─" * 80
    assert tall[5].startswith("AAPL")
    assert not stage.has("row AAPL", SMALL)
    assert stage.lines(SMALL)[1].startswith("AAPL")
    for size in (TALL, SMALL):
        assert stage.has("101.00", size)
        assert stage.has("100.00", size)


@pytest.mark.parametrize("width", [40, 80, 109, 110, 160, 300])
@pytest.mark.parametrize("height", [8, 20, 29, 30, 60])
def test_the_screen_never_has_more_lines_or_columns_than_the_terminal(width: int, height: int) -> None:
    """At every size the header is first, the best prices are shown, and nothing is cut off below."""
    stage = Stage()
    stage.press("b")
    lines = stage.lines(ConsoleDimensions(width, height))
    assert lines[0] == "streaming for 5m00"
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("101.00" in line for line in lines)
    assert any("100.00" in line for line in lines)


def test_the_ladder_follows_the_selection() -> None:
    """Another row is another book, read from then on; the one before is not read any longer."""
    stage = Stage()
    stage.press("b", "down")
    assert stage.asked == ["AAPL", "NVDA"]
    assert stage.has("│ NVDA")
    assert stage.has("201.00")
    stage.press("down", "up", "up")
    assert stage.asked == ["AAPL", "NVDA", "GME", "NVDA", "AAPL"]


@pytest.mark.parametrize("key", ["b", "enter", "escape"])
def test_the_same_key_and_escape_close_the_ladder(key: str) -> None:
    """The table has the whole screen again, no book is read, and the table does not get the key."""
    stage = Stage()
    stage.press("b", key)
    assert stage.asked == ["AAPL", None]
    assert len(stage.lines()) == 5
    assert stage.table.pressed == []
    stage.press("escape")
    assert stage.table.pressed == ["escape"]


def test_tab_lets_the_arrows_scroll_the_ladder() -> None:
    """While the ladder has the arrows the selection stays; ``c`` centres it; a second Tab gives them back."""
    stage = Stage()
    stage.press("b")
    centred = stage.lines()
    stage.press("tab")
    assert stage.lines()[-1] == "b: close the book   Tab: arrow keys scroll the table"
    stage.press("up", "up", "up")
    assert stage.table.pressed == []
    assert stage.lines()[1:-1] != centred[1:-1]
    stage.press("c", "tab")
    assert stage.lines() == centred
    stage.press("down")
    assert stage.table.pressed == ["down"]


def test_a_ladder_that_is_opened_again_leaves_the_arrows_to_the_table() -> None:
    """That the arrows scroll the ladder ends with it."""
    stage = Stage()
    stage.press("b", "tab", "b", "b", "down")
    assert stage.table.pressed == ["down"]


def test_changed_prices_are_shown_while_the_ladder_is_closed() -> None:
    """Beside an open ladder each frame is whole: the rows of the table are not where it would draw them."""
    stage = Stage()
    assert stage.screen.changes(NOW) == stage.table.changed
    stage.press("b")
    assert stage.screen.changes(NOW) is None
    stage.press("b")
    assert stage.screen.changes(NOW) == stage.table.changed


def test_other_keys_and_typed_text_go_to_the_table() -> None:
    """Sorting works beside an open ladder, and a ``b`` in a filter is a letter."""
    stage = Stage()
    stage.press("b", "s", "p")
    assert stage.table.pressed == ["s", "p"]
    stage.table.takes_all_keys = True
    stage.press("b", "enter", "escape", "tab", "c")
    assert stage.table.pressed[2:] == ["b", "enter", "escape", "tab", "c"]
    assert stage.asked == ["AAPL"]
    stage.table.takes_all_keys = False
    assert not stage.screen.left
    stage.press("q")
    assert stage.screen.left


def test_without_rows_there_is_no_ladder() -> None:
    """A table that loses its rows, to a filter or because nothing is streamed, closes the ladder."""
    stage = Stage()
    stage.press("b")
    stage.table.watchlist.show([])
    assert not stage.has("│")
    assert stage.asked == ["AAPL", None]
    stage.press("b")
    assert stage.asked == ["AAPL", None]


def test_the_ladder_has_the_last_trade_of_its_row() -> None:
    """The price and the mark of the last trade come from the ticks of the table."""
    stage = Stage()
    known = {"symbol": "AAPL", "key": "AAPL", "seq": 1, "timestamp": 1, "received_us": NOW_MS * 1000}
    tick = {**known, "asset": "EQUITY", "last_price": 101.0, "is_trade": True}
    stage.table.watchlist.apply(TickEvent.model_validate(tick), NOW)
    stage.press("b")
    assert stage.has("101.00◂")


def test_a_print_is_the_table_alone() -> None:
    """What stays on the terminal after the screen is the table, also when a ladder was open."""
    stage = Stage()
    stage.press("b")
    assert stage.lines(None) == ["streaming for 5m00", "row AAPL", "row NVDA", "row GME", "2 updates/s  0 dropped"]
