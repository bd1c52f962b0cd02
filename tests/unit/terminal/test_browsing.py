"""Keys in a table: order, filter, selection, scrolling, questions."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.terminal.browsing import ASKED_S, Browse

NUMBERS = [f"row {number:02}" for number in range(62)]


def _has(row: str, part: str) -> bool:
    """Whether the row has this part, in any case."""
    return part in row.casefold()


class Table:
    """A table of that many lines, and a person in front of it."""

    def __init__(self, rows: Sequence[str] = NUMBERS, lines: int = 18, question: str | None = None) -> None:
        self.rows, self.lines, self.pauses = list(rows), lines, 0
        orders = {"end": lambda row: row[-1], "backwards": lambda row: row[::-1]}
        self.browse: Browse[str] = Browse(orders, _has, self._pause, question=question)
        self.shown = self.draw()

    def selected(self) -> str | None:
        """The selected row."""
        return self.browse.selected

    def is_typing(self) -> bool:
        """Whether a filter is typed."""
        return self.browse.is_typing

    def lists_keys(self) -> bool:
        """Whether the keys are listed."""
        return self.browse.lists_keys

    def _pause(self) -> None:
        self.pauses += 1

    def draw(self) -> list[str]:
        """The rows that are drawn."""
        self.shown = self.browse.window(self.rows, self.lines)
        return self.shown

    def press(self, *keys: str) -> list[str]:
        """Press keys, each after a drawing."""
        for key in keys:
            self.browse.press(key)
            self.draw()
        return self.shown


def test_rows_that_do_not_fit_are_counted() -> None:
    """The header has how many of the rows are on the screen, unless all are."""
    table = Table()
    assert table.browse.notes == ["18 of 62", ""]
    table.lines = 100
    assert table.draw() == NUMBERS
    assert table.browse.notes == ["", ""]


def test_arrows_select_and_scroll_no_further_than_they_must() -> None:
    """The first press selects the first row; the table moves when the selection leaves it, and only then."""
    table = Table()
    assert table.selected() is None
    assert table.press("down")[0] == table.browse.selected == "row 00"
    assert table.press(*["down"] * 17)[0] == "row 00"
    assert table.browse.selected == "row 17"
    assert table.press("down")[-1] == table.browse.selected == "row 18"
    assert table.press(*["up"] * 17)[0] == table.browse.selected == "row 01"
    assert table.press("up", "up", "up")[0] == table.browse.selected == "row 00"


def test_pages_and_ends() -> None:
    """A page is one row less than the screen, so that one row stays in sight; Home and End go to the ends."""
    table = Table()
    assert table.press("page_down")[-1] == table.browse.selected == "row 17"
    assert table.press("page_down")[-1] == table.browse.selected == "row 34"
    assert table.press("page_up")[0] == table.browse.selected == "row 17"
    assert table.press("end")[-1] == table.browse.selected == "row 61"
    assert table.press("home")[0] == table.browse.selected == "row 00"


def test_the_key_of_orders_goes_through_all_and_back() -> None:
    """The header has the name of the order, and nothing for the given one."""
    table = Table()
    table.press("s")
    assert table.browse.notes == ["18 of 62", "by end"]
    assert table.shown[:3] == ["row 00", "row 10", "row 20"]
    assert table.press("s")[:2] == ["row 00", "row 10"]
    assert table.press("s") == NUMBERS[:18]
    assert table.browse.notes == ["18 of 62", ""]


def test_the_selection_stays_with_its_row() -> None:
    """In another order, and when rows come and go, the same row is selected and on the screen."""
    table = Table()
    table.press("page_down", "s")
    assert table.browse.selected == "row 17"
    assert "row 17" in table.shown
    table.rows.remove("row 03")
    assert "row 17" in table.draw()
    table.rows.remove("row 17")
    table.draw()
    assert table.browse.selected in table.shown
    table.rows.clear()
    assert table.draw() == []
    assert table.selected() is None
    assert table.press("down", "end") == []


def test_a_filter_is_typed_and_kept_or_cleared() -> None:
    """What is typed is shown and filters at once, in any case; Enter keeps it, Esc clears it."""
    table = Table(["AAPL", "NVDA", "/NQ", "q"])
    assert table.press("/", "n") == ["NVDA", "/NQ"]
    assert table.browse.prompt(0.0) == "filter: n▏  Enter: keep   Esc: clear"
    assert table.press("q") == ["/NQ"]
    assert not table.browse.left
    assert table.press("backspace", "enter") == ["NVDA", "/NQ"]
    assert not table.is_typing()
    assert table.browse.notes == ["2 of 4", ""]
    assert table.browse.prompt(0.0) == "filter: n  Esc: clear   /: change"
    assert table.press("escape") == table.rows
    assert table.press("/", "p", " ", "?") == []
    assert table.pauses == 0
    assert table.press("escape") == table.rows
    assert table.browse.prompt(0.0) is None


@pytest.mark.parametrize("key", ["q", "escape"])
def test_a_screen_is_left_with_a_key(key: str) -> None:
    """Both q and Esc leave, unless there is something to close first."""
    table = Table()
    table.press("?", key)
    assert not table.browse.left
    table.press(key)
    assert table.browse.left


def test_a_question_must_be_answered_in_time() -> None:
    """One press asks for three seconds, the second one leaves; another key, or the time, takes the question back."""
    table, ask = Table(question="sure?"), "sure?"
    browse = table.browse
    table.press("q")
    assert browse.prompt(10.0) == browse.prompt(10.0 + ASKED_S - 0.1) == ask
    assert browse.prompt(10.0 + ASKED_S) is None
    table.press("q")
    assert browse.prompt(20.0) == ask
    table.press("down")
    assert browse.prompt(20.1) is None
    table.press("q")
    assert not browse.left
    assert browse.prompt(21.0) == ask
    table.press("q")
    assert browse.left


def test_a_press_before_the_question_is_shown_does_not_answer_it() -> None:
    """A key that is held down, or typed ahead, asks again instead."""
    browse = Table(question="sure?").browse
    for _ in range(5):
        browse.press("q")
    assert not browse.left


@pytest.mark.parametrize("key", ["p", " "])
def test_a_key_pauses(key: str) -> None:
    """Both p and space pause and resume."""
    table = Table()
    table.press(key, key)
    assert table.pauses == 2


def test_keys_are_listed_until_the_next_key() -> None:
    """The key that closes the list does nothing else."""
    table = Table()
    table.press("?")
    assert table.lists_keys()
    table.press("s")
    assert not table.lists_keys()
    assert table.browse.order is None


def test_a_key_that_is_not_the_tables_is_left_to_others() -> None:
    """The screen around the table may use it."""
    browse = Table().browse
    assert [browse.press(key) for key in ("b", "enter", "tab", "left", "x")] == [False] * 5


MOVES = ["up", "down", "page_up", "page_down", "home", "end"]
KEYS = st.sampled_from([*MOVES, "s", "/", "1", "enter", "escape", "p", "?"])


@given(st.lists(st.tuples(KEYS, st.integers(0, 70), st.integers(1, 60)), max_size=30))
def test_whatever_is_pressed_the_window_is_a_part_of_the_rows(presses: list[tuple[str, int, int]]) -> None:
    """Any keys, sizes and rows: no row twice, as many as fit, and the selected one among them."""
    table = Table()
    for key, count, lines in presses:
        table.rows, table.lines = NUMBERS[:count], lines
        shown = table.press(key)
        assert len(shown) == len(set(shown)) <= lines
        wanted = [row for row in table.rows if table.browse.filter in row]
        assert set(shown) <= set(wanted)
        assert len(shown) == min(lines, len(wanted))
        assert table.browse.selected is None or table.browse.selected in shown
