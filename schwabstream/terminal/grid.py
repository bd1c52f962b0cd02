"""A table that fits any width: columns are left out by priority, and never shrink while it is shown.

A Rich renderable that lays out plain cells itself: Rich's own table costs ten times as much per refresh, too much for a
screen that is redrawn eleven times a second.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from schwabstream.terminal.screen.cells import Run, is_narrow


class Column(NamedTuple):
    """One column: the higher its ``rank``, the sooner it is left out; ``left`` aligned, or right.

    A column to ``cut`` may be narrower than its cells, and gets what the others leave; a ``sparse`` one is left out
    while its cells are empty.
    """

    title: str
    rank: int
    left: bool = False
    cut: bool = False
    sparse: bool = False


class Cell(NamedTuple):
    """Text and Rich style of one cell; the text must be safe to show."""

    text: str
    style: str = ""


GAP = "  "
CUT_TO = 12


class Grid:
    """Rows of cells under columns. ``widths`` remembers the widest cell of each column from one drawing to the next."""

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[Cell]],
        widths: dict[int, int] | None = None,
        *,
        header: bool = True,
    ) -> None:
        self._columns, self._rows, self._header = columns, [list(row) for row in rows], header
        self._places: dict[int, tuple[int, int, bool, bool]] = {}
        self._widths = {} if widths is None else widths
        for index, column in enumerate(columns):
            widest = max((_width(row[index].text) for row in self._rows), default=0)
            title = _width(column.title) if header and (widest or not column.sparse) else 0
            self._widths[index] = max(self._widths.get(index, 0), widest, title)

    def shown(self, width: int) -> dict[int, int]:
        """Which columns, by index, fit into ``width``, and how wide each is.

        The lowest ranks first, equal ranks together; the first always. The columns to ``cut`` get what is left, also
        by rank.
        """
        ranks: dict[int, list[int]] = {}
        for index, column in enumerate(self._columns):
            if self._widths[index] or not column.sparse:
                ranks.setdefault(column.rank, []).append(index)
        chosen: dict[int, int] = {}
        left = width + len(GAP)
        for _, together in sorted(ranks.items()):
            rooms = {index: self._narrowest(index) for index in together}
            needed = sum(rooms.values()) + len(GAP) * len(rooms)
            if needed <= left or not chosen:
                chosen |= rooms
                left -= needed
        for _, together in sorted(ranks.items()):
            narrowed = [index for index in together if index in chosen and chosen[index] < self._widths[index]]
            for position, index in enumerate(narrowed):
                share = max(0, left // (len(narrowed) - position))
                wider = min(self._widths[index] - chosen[index], share)
                chosen[index] += wider
                left -= wider
        return dict(sorted(chosen.items()))

    def _narrowest(self, index: int) -> int:
        return min(self._widths[index], CUT_TO) if self._columns[index].cut else self._widths[index]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        shown = self.shown(options.max_width)
        start = 0
        for index, room in shown.items():
            column = self._columns[index]
            self._places[index] = start, min(room, options.max_width), column.left, column.cut
            start += room + len(GAP)
        if self._header:
            titles = [Cell(column.title, "bold") for column in self._columns]
            yield from self._line(titles, shown, options.max_width)
        for row in self._rows:
            yield from self._line(row, shown, options.max_width)

    def change(self, row: int, cells: Mapping[int, Cell], *, below: int) -> list[Run] | None:
        """Change cells of a row, by column, after it has been drawn ``below`` so many lines; returns what differs.

        None when a cell has become too wide for its column: the grid must be drawn anew.
        """
        runs: list[Run] = []
        shown = self._rows[row]
        line = row + self._header + below
        for index, cell in cells.items():
            old = shown[index]
            if index not in self._places or cell == old:
                continue
            shown[index] = cell
            start, room, is_left, is_cut = self._places[index]
            text, length = _fitted(cell.text, room)
            if text is not cell.text and not is_cut:
                return None
            at = start if is_left else start + room - length
            rest = min(_width(old.text), room) - length
            if rest > 0:
                runs.append(Run(line, at + length if is_left else at - rest, " " * rest))
            runs.append(Run(line, at, text, cell.style))
        return runs

    def _line(self, row: Sequence[Cell], shown: dict[int, int], width: int) -> Iterable[Segment]:
        """One line in as few segments as its styles allow: Rich measures every segment several times."""
        plain = ""
        for position, (index, wanted) in enumerate(shown.items()):
            column = self._columns[index]
            style = row[index].style
            room = min(wanted, width)
            text, length = _fitted(row[index].text, room)
            padding = " " * (room - length)
            before = (GAP if position else "") + ("" if column.left else padding)
            after = padding if column.left and position < len(shown) - 1 else ""
            if not style:
                plain += before + text + after
                continue
            if plain or before:
                yield Segment(plain + before)
            yield Segment(text, Style.parse(style))
            plain = after
        if plain:
            yield Segment(plain)
        yield Segment.line()


def _fitted(text: str, room: int) -> tuple[str, int]:
    """The text, cut to the cells that there is room for, and how many it takes."""
    length = _width(text)
    return (text, length) if length <= room else (set_cell_size(text, room - 1) + "…", room)


def _width(text: str) -> int:
    """Cells that a text takes."""
    return len(text) if is_narrow(text) else cell_len(text)
