"""Cells of a screen: what is written turns one screen into another, in few bytes."""

from itertools import pairwise

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style

from schwabstream.terminal.screen.cells import Run, Screen, changes, have_same_size, lines_of, put, whole

STYLES = {"": None, "31": Style(color="red"), "1;7": Style(bold=True, reverse=True)}
TEXTS = st.text(st.sampled_from("ab 1.▲█漢字é"), max_size=9)


def sequence_of(style: Style) -> str:
    """The escape sequence of one of the styles."""
    return next(f"\x1b[{codes}m" for codes, known in STYLES.items() if known == style)


def screen_of(lines: list[list[tuple[str, str]]], width: int, height: int) -> Screen:
    """A screen from texts with the codes of their styles."""
    segments = []
    for line in lines:
        segments += [*(Segment(text, STYLES[codes]) for text, codes in line), Segment("\n")]
    return lines_of(segments, width, height, sequence_of)


def shown(terminal: pyte.Screen) -> list[list[tuple[str, str, bool, bool]]]:
    """The cells of a terminal: text, colour, bold and reverse; a blank has no style but reverse."""
    cells = [[terminal.buffer[row][column] for column in range(terminal.columns)] for row in range(terminal.lines)]
    return [[(cell.data, cell.fg, cell.bold, cell.reverse) for cell in line] for line in cells]


def wanted(screen: Screen) -> list[list[tuple[str, str, bool, bool]]]:
    """The same of a screen."""
    looks = {"": ("default", False, False), "\x1b[31m": ("red", False, False), "\x1b[1;7m": ("default", True, True)}
    return [[(text, *looks[style]) for text, style in zip(*line, strict=True)] for line in screen]


LINES = st.lists(st.lists(st.tuples(TEXTS, st.sampled_from(sorted(STYLES))), max_size=3), max_size=5)


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(1, 20), st.integers(1, 5))
def test_changes_lead_to_the_same_screen_as_drawing_it_whole(
    frames: list[list[list[tuple[str, str]]]], width: int, height: int
) -> None:
    """A terminal that gets the first frame whole and then changes shows the last frame, wide characters too."""
    terminal = pyte.Screen(width, height)
    stream = pyte.Stream(terminal)
    screens = [screen_of(lines, width, height) for lines in frames]
    stream.feed(whole(screens[0]))
    for before, after in pairwise(screens):
        stream.feed(changes(before, after))
    assert shown(terminal) == wanted(screens[-1])


def test_a_whole_frame_covers_whatever_was_there() -> None:
    """After a resize or a suspension nothing of the former content stays."""
    terminal = pyte.Screen(12, 3)
    stream = pyte.Stream(terminal)
    stream.feed("\x1b[31m" + "x" * 36)
    screen = screen_of([[("ab", "")], [("c", "31")]], 12, 3)
    stream.feed(whole(screen))
    assert shown(terminal) == wanted(screen)


def test_what_stays_is_not_written() -> None:
    """Only the digits that have changed are written, and nothing when nothing has."""
    before = screen_of([[("AAPL", ""), ("  233.30", "31")], [("NVDA    178.70", "")]], 40, 4)
    after = screen_of([[("AAPL", ""), ("  233.45", "31")], [("NVDA    178.70", "")]], 40, 4)
    assert changes(before, after) == "\x1b[1;11H\x1b[31m45\x1b[0m"
    assert changes(after, after) == ""


def test_two_changes_of_a_line_are_a_short_move_apart() -> None:
    """The cursor is moved across what stays, unless that is shorter to write."""
    before = screen_of([[("1234567890abcdefghij", "")]], 20, 1)
    after = screen_of([[("x234567890abcdefghiz", "")]], 20, 1)
    assert changes(before, after) == "\x1b[1Hx\x1b[18Cz"
    near = screen_of([[("x2y4567890abcdefghij", "")]], 20, 1)
    assert changes(before, near) == "\x1b[1Hx2y"


@pytest.mark.parametrize(("text", "width", "cells"), [("ab漢", 3, ["a", "b", " "]), ("a漢b", 3, ["a", "漢", ""])])
def test_half_of_a_wide_character_is_not_shown(text: str, width: int, cells: list[str]) -> None:
    """A wide character that crosses the right edge is left out."""
    assert screen_of([[(text, "")]], width, 1)[0].texts == cells


def test_a_combining_mark_stays_with_its_character() -> None:
    """It takes no cell of its own."""
    assert screen_of([[("e\u0301x", "")]], 3, 1)[0].texts == ["e\u0301", "x", " "]


def test_screens_of_different_sizes_are_distinguished() -> None:
    """A screen that has been resized must be drawn whole."""
    small, wide, high = (screen_of([], width, height) for width, height in ((3, 2), (4, 2), (3, 3)))
    assert have_same_size(small, small)
    assert not have_same_size(small, wide)
    assert not have_same_size(small, high)


def test_runs_change_the_screen_as_they_change_the_terminal() -> None:
    """What is written shows the screen as it is known afterwards, styles and wide characters included."""
    screen = screen_of([[("漢字 abc", "31")], [("second", "")]], 12, 2)
    terminal = pyte.Screen(12, 2)
    stream = pyte.Stream(terminal)
    stream.feed(whole(screen))
    codes = {"": "", "red": "\x1b[31m", "bold reverse": "\x1b[1;7m"}
    runs = [Run(0, 5, "▲1", "bold reverse"), Run(1, 10, "99", "red"), Run(1, 0, "漢 ")]
    stream.feed(put(screen, runs, codes.__getitem__))
    assert shown(terminal) == wanted(screen)
