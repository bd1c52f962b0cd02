"""One screen of a market: the table of quotes and, once opened, the ladder of the selected row.

The ladder is beside the table on a wide screen, below it on a tall one, else in its place. Where quotes and books come
from is up to the command.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderableType, RenderResult
from rich.rule import Rule
from rich.segment import Segment
from rich.text import Text

from schwabstream.terminal.ladder.view import Ladder
from schwabstream.terminal.page import HEALTH_FROM, Header, Parts, compose, keys_line
from schwabstream.terminal.screen.cells import Run
from schwabstream.terminal.watchlist import Quote, Watchlist

BESIDE_FROM: Final = 110
"""Columns of a screen that has the ladder beside the table."""
BELOW_FROM: Final = 30
"""Lines of a narrower screen that has the ladder below the table."""
_LADDER_FROM, _LADDER_TO = 44, 80
_MOST_LEVELS: Final = 50
_SCROLLING: Final = frozenset({"up", "down", "page_up", "page_down", "home", "end"})
_BETWEEN: Final = " │ "


class Table(Parts, Protocol):
    """The table of such a screen."""

    watchlist: Watchlist

    @property
    def selected(self) -> Quote | None:
        """The quote of the selected row; None without one."""

    def choose(self) -> Quote | None:
        """The same, after selecting a row if none was; None without rows."""

    @property
    def takes_all_keys(self) -> bool:
        """Whether the next key is for the table alone, as while a filter is typed."""

    @property
    def left(self) -> bool:
        """Whether the screen is to be closed."""

    def press(self, key: str) -> None:
        """Act on a key."""

    def changes(self, now_s: float) -> Sequence[Run] | None:
        """What has changed in the last frame; None: draw another."""


class MarketScreen:
    """A view of the ``table`` that opens ladders; ``show_book`` gets the quote of the open one, None of none."""

    def __init__(self, table: Table, show_book: Callable[[Quote | None], None]) -> None:
        self._table, self._show_book = table, show_book
        self._ladder: Ladder | None = None
        self._quote: Quote | None = None
        self._scrolls_ladder = self._is_tall = False

    @property
    def left(self) -> bool:
        """Whether the screen is to be closed."""
        return self._table.left

    def press(self, key: str) -> None:
        """``b`` and Enter open or close the ladder, Esc closes it, Tab lets the arrows scroll it, ``c`` centres it."""
        if self._table.takes_all_keys:
            self._table.press(key)
        elif key in ("b", "enter"):
            self._open(self._table.choose() if self._ladder is None else None)
        elif self._ladder is None:
            self._table.press(key)
        elif key == "escape":
            self._open(None)
        elif key == "tab":
            self._scrolls_ladder = not self._scrolls_ladder
        elif key == "c" or (self._scrolls_ladder and key in _SCROLLING):
            self._ladder.press(key)
        else:
            self._table.press(key)

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The screen of that ``size`` at ``now_s``; None: a print of the table."""
        if size is None:
            return compose(self._table, now_s, None)
        return compose(self, now_s, size)

    def changes(self, now_s: float) -> Sequence[Run] | None:
        """Those of the table; None while the ladder is open."""
        return self._table.changes(now_s) if self._ladder is None else None

    def header(self, now_s: float, size: ConsoleDimensions | None) -> Header:
        """The header of the table."""
        self._is_tall = size is not None and size.height >= BELOW_FROM
        first = self._table.header(now_s, size)
        if self._ladder is not None:
            self._open(self._table.selected)  # another row, or none any more
        return first

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """The notes of the table, and the keys of the ladder while it is open."""
        below = self._table.below(now_s, size)
        if self._ladder is None or size is None or size.height < HEALTH_FROM:
            return below
        arrows = "the table" if self._scrolls_ladder else "the book"
        return [*below, keys_line(size, "b: close the book", f"Tab: arrow keys scroll {arrows}")]

    def body(self, now_s: float, size: ConsoleDimensions | None) -> RenderableType:
        """The table, the ladder, or both."""
        ladder = self._ladder
        if ladder is None or size is None:
            return self._table.body(now_s, size)
        if size.width >= BESIDE_FROM:
            width = max(_LADDER_FROM, min(_LADDER_TO, size.width * 2 // 5))
            left = ConsoleDimensions(size.width - width - len(_BETWEEN), size.height)
            right = ConsoleDimensions(width, size.height)
            return _Beside(self._table.body(now_s, left), ladder.body(now_s, right), right)
        if self._is_tall:
            rows = min(len(self._table.watchlist.quotes) + 1, size.height // 3)
            above = ConsoleDimensions(size.width, rows)
            rest = ConsoleDimensions(size.width, size.height - rows - 1)
            return Group(self._table.body(now_s, above), Rule(style="dim"), ladder.body(now_s, rest))
        return self._table.body(now_s, size) if self._table.takes_all_keys else ladder.body(now_s, size)

    def note(self, now_s: float) -> str:
        """That of the table."""
        return self._table.note(now_s)

    def prompt(self, now_s: float) -> str | None:
        """That of the table."""
        return self._table.prompt(now_s)

    def _open(self, quote: Quote | None) -> None:
        """Show the ladder of this quote; None: close it."""
        if quote is self._quote:
            return
        self._quote, self._ladder = quote, None
        if quote is None:
            self._scrolls_ladder = False
        else:
            self._ladder = Ladder(self._table.watchlist, quote, depth=_MOST_LEVELS)
        self._show_book(quote)


class _Beside:
    """Two renderables side by side; the ``right`` one has that ``size``, the other one the rest of the width."""

    def __init__(self, left: RenderableType, right: RenderableType, size: ConsoleDimensions) -> None:
        self._left, self._right, self._size = left, right, size

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = self._size
        left = options.update_dimensions(options.max_width - width - len(_BETWEEN), height)
        columns = (left, self._left), (options.update_dimensions(width, height), self._right)
        lines = (console.render_lines(renderable, each, pad=True) for each, renderable in columns)
        between = Segment(_BETWEEN, console.get_style("dim"))
        for table, ladder in zip(*lines, strict=True):
            yield from (*table, between, *ladder, Segment.line())
