"""A screen as cells, and the bytes that turn one into another: moves of the cursor and the cells that have changed.

Does not write. A character that is two cells wide has its text in the first cell and an empty text in the second.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import compress, count, repeat
from operator import ne
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

RESET: Final = "\x1b[0m"
_ERASE_LINE: Final = "\x1b[K"
_WORTH_A_MOVE: Final = 4
"""As many unchanged cells cost more bytes than a move of the cursor across them."""


_NARROW: Final = re.compile("[ -~–×▲▼●─▁-█]*")


class Line(NamedTuple):
    """One line: the text of each cell, and its style as an escape sequence, empty for plain text."""

    texts: list[str]
    styles: list[str]


Screen = list[Line]


class Run(NamedTuple):
    """Text of one style at a place of a screen, counted from 0; its style is one of Rich, empty for plain text."""

    row: int
    column: int
    text: str
    style: str = ""


def lines_of(segments: Iterable[Segment], width: int, height: int, sequence_of: Callable[[Style], str]) -> Screen:
    """What Rich has drawn, as a screen of that size: cut where it is larger, blank where it is smaller."""
    screen: Screen = []
    line = Line([], [])
    for text, style, control in segments:
        if control:
            continue
        sequence = "" if style is None else sequence_of(style)
        for number, part in enumerate(text.split("\n") if "\n" in text else (text,)):
            if number:
                screen.append(line)
                line = Line([], [])
            cells = part if is_narrow(part) else _cells(part)
            line.texts.extend(cells)
            line.styles.extend(repeat(sequence, len(cells)))
    screen.append(line)
    del screen[height:]
    for line in screen:
        _fit(line, width)
    screen.extend(Line([" "] * width, [""] * width) for _ in range(height - len(screen)))
    return screen


def is_narrow(text: str) -> bool:
    """Whether each character takes one cell; false for some that do. To look the width of each up would take longer."""
    return text.isascii() or _NARROW.fullmatch(text) is not None


@lru_cache(2048)
def _cells(text: str) -> tuple[str, ...]:
    cells: list[str] = []
    for character in text:
        width = cell_len(character)
        if width:
            cells += [character, *[""] * (width - 1)]
        elif cells:  # a mark that combines with the character before it
            cells[-1 if cells[-1] else -2] += character
    return tuple(cells)


def _fit(line: Line, width: int) -> None:
    texts, styles = line
    missing = width - len(texts)
    if missing < 0:
        is_split = not texts[width]
        del texts[width:], styles[width:]
        if is_split and width:  # half of a wide character cannot be shown
            texts[-1] = " "
    elif missing:
        texts.extend(repeat(" ", missing))
        styles.extend(repeat("", missing))


def have_same_size(one: Screen, other: Screen) -> bool:
    """Whether one screen can become the other by changes."""
    return len(one) == len(other) and (not one or len(one[0].texts) == len(other[0].texts))


def whole(screen: Screen) -> str:
    """What draws every line, whatever the terminal shows."""
    pen = _Pen(RESET)
    for row, line in enumerate(screen):
        last = len(line.texts)
        while last and line.texts[last - 1] == " " and not line.styles[last - 1]:
            last -= 1
        pen.write(line, row, 0, last)
        if last < len(line.texts):
            pen.erase_rest(row, last)
    return pen.written()


def changes(before: Screen, after: Screen) -> str:
    """What turns the one into the other, which has the same size."""
    pen = _Pen()
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.texts == new.texts and old.styles == new.styles:
            continue
        first = last = -_WORTH_A_MOVE - 1
        for place in _differing(old, new):
            if place - last > _WORTH_A_MOVE:
                pen.write(new, row, first, last + 1)
                first = place
            last = place
        pen.write(new, row, first, last + 1)
    return pen.written()


def put(screen: Screen, runs: Iterable[Run], sequence_of: Callable[[str], str]) -> str:
    """Change the screen by these runs, which are inside it, and return what shows them."""
    parts: list[str] = []
    for row, column, text, style in runs:
        cells = text if is_narrow(text) else _cells(text)
        sequence, end = sequence_of(style), column + len(cells)
        texts, styles = screen[row]
        texts[column:end] = cells
        styles[column:end] = [sequence] * len(cells)
        parts.append(f"\x1b[{row + 1};{column + 1}H{sequence}{text}{RESET if sequence else ''}")
    return "".join(parts)


def _differing(old: Line, new: Line) -> list[int]:
    """The cells that differ; found without a loop in Python, as most do not."""
    places = list(compress(count(), map(ne, old.texts, new.texts)))
    if old.styles != new.styles:
        places = sorted({*places, *compress(count(), map(ne, old.styles, new.styles))})
    return places


class _Pen:
    """Writes cells; knows where the cursor is and which style is on."""

    def __init__(self, first: str = "") -> None:
        self._parts = [first]
        self._style = ""
        self._row, self._column = -1, -1

    def written(self) -> str:
        self._change_to("")
        return "".join(self._parts)

    def write(self, line: Line, row: int, first: int, last: int) -> None:
        """The cells from ``first`` up to ``last``; nothing when there are none."""
        if first < 0 or first >= last:
            return
        while first and not line.texts[first]:
            first -= 1
        self._move(row, first)
        start = first
        for place in range(first + 1, last + 1):
            if place == last or line.styles[place] != line.styles[start]:
                self._change_to(line.styles[start])
                self._parts.append("".join(line.texts[start:place]))
                start = place
        while last < len(line.texts) and not line.texts[last]:
            last += 1
        # A terminal may count other characters differently, and after the last column it counts as it likes.
        is_certain = last < len(line.texts) and all(text.isascii() for text in line.texts[first:last])
        self._column = last if is_certain else -1

    def erase_rest(self, row: int, column: int) -> None:
        """Blank the line from there."""
        self._move(row, column)
        self._change_to("")
        self._parts.append(_ERASE_LINE)

    def _move(self, row: int, column: int) -> None:
        if row == self._row and 0 <= self._column <= column:
            ahead = column - self._column
            self._parts.append("" if not ahead else "\x1b[C" if ahead == 1 else f"\x1b[{ahead}C")
        else:
            self._parts.append(f"\x1b[{row + 1};{column + 1}H" if column else f"\x1b[{row + 1}H")
        self._row, self._column = row, column

    def _change_to(self, style: str) -> None:
        if style != self._style:
            self._parts.append((RESET if self._style else "") + style)
            self._style = style
