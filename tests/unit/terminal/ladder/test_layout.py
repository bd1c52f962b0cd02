"""Which levels of a book fit, at every size and scroll."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.terminal.ladder.layout import (
    COUNTED_FROM,
    FEWEST_LINES,
    Hidden,
    Layout,
    Line,
    Side,
    bar_width,
    fit,
)

LEVELS = st.integers(0, 50)
LINES = st.integers(2, 60)


def columns_of(layout: Layout) -> list[str]:
    """The layout from the top: the number of a level, ``+`` and a count of levels left out, or nothing."""

    def word(line: Line) -> str:
        return f"+{line.levels}" if isinstance(line, Hidden) else "" if line is None else str(line)

    return [*map(word, reversed(layout.asks)), "|", *map(word, layout.bids)]


def levels_of(lines: list[Line]) -> list[int]:
    """The levels that lines show."""
    return [line for line in lines if isinstance(line, int)]


@pytest.mark.parametrize(
    ("lines", "scroll", "drawn"),
    [
        (2, 0, "0 | 0"),
        (4, 0, "1 0 | 0 1"),
        (8, 0, "+17 2 1 0 | 0 1 2 +17"),
        (8, 1, "+16 3 2 1 0 | 0 1 2"),
        (8, 2, "+15 4 3 2 1 0 | 0 1"),
        (8, 3, "+14 5 4 3 +2 0 | 0 1"),
        (8, 16, "19 18 17 16 +15 0 | 0 1"),
        (8, -1, "2 1 0 | 0 1 2 3 +16"),
        (8, -16, "1 0 | 0 +15 16 17 18 19"),
        (4, 2, "3 +2 0 | 0"),
        (3, 3, "1 0 | 0"),
        (16, 4, "+9 10 9 8 7 6 5 4 3 2 1 0 | 0 1 2 +17"),
        (40, 3, " ".join(map(str, range(19, -1, -1))) + " | " + " ".join(map(str, range(20)))),
    ],
)
def test_scrolling_takes_lines_of_the_other_side_and_then_leaves_out_near_levels(
    lines: int, scroll: int, drawn: str
) -> None:
    """The best prices stay; what is beyond them on either side is counted where there is a line for the count."""
    assert " ".join(columns_of(fit(Side(20), Side(20), lines, scroll))) == drawn


@pytest.mark.parametrize(
    ("asks", "bids", "drawn"),
    [
        (Side(2), Side(20), "1 0 | 0 1 2 3 4 +15"),
        (Side(20), Side(2), "+15 4 3 2 1 0 | 0 1"),
        (Side(0), Side(20), "| 0 1 2 3 4 5 6 +13"),
        (Side(20), Side(0), "+13 6 5 4 3 2 1 0 |"),
        (Side(0), Side(0), "|"),
        (Side(1, 3), Side(2, 3), "  0 | 0 1 "),
        (Side(1, 20), Side(20), "   0 | 0 1 2 +17"),
    ],
)
def test_a_side_that_needs_fewer_lines_leaves_them_to_the_other(asks: Side, bids: Side, drawn: str) -> None:
    """A side with few levels or none takes no more lines than are kept for it."""
    assert " ".join(columns_of(fit(asks, bids, 8))) == drawn


@given(asks=LEVELS, bids=LEVELS, kept=st.tuples(LEVELS, LEVELS), lines=LINES, scroll=st.integers(-60, 60))
def test_the_best_levels_and_every_count_are_right(
    asks: int, bids: int, kept: tuple[int, int], lines: int, scroll: int
) -> None:
    """Never more lines than given; the best are always among them; what is shown and counted is all there is."""
    layout = fit(Side(asks, kept[0]), Side(bids, kept[1]), lines, scroll)
    assert len(layout.asks) + len(layout.bids) <= lines
    for shown, levels in ((layout.asks, asks), (layout.bids, bids)):
        numbers = levels_of(shown)
        assert numbers == sorted(set(numbers))
        assert numbers[:1] == [0][:levels]
        hidden = sum(line.levels for line in shown if isinstance(line, Hidden))
        assert all(line.levels > 1 for line in shown if isinstance(line, Hidden))
        assert all(0 <= number < levels for number in numbers)
        if len(shown) >= COUNTED_FROM:
            assert len(numbers) + hidden == levels
    assert abs(layout.scroll) <= abs(scroll)
    assert fit(Side(asks, kept[0]), Side(bids, kept[1]), lines, layout.scroll) == layout


@given(asks=LEVELS, bids=LEVELS, lines=st.integers(4, 60))
def test_every_level_can_be_scrolled_to(asks: int, bids: int, lines: int) -> None:
    """Scrolling line by line to either end passes each level."""
    layouts = [fit(Side(asks), Side(bids), lines, scroll) for scroll in range(-50, 51)]
    assert {number for layout in layouts for number in levels_of(layout.asks)} == set(range(asks))
    assert {number for layout in layouts for number in levels_of(layout.bids)} == set(range(bids))


@given(asks=LEVELS, bids=LEVELS, lines=LINES, scroll=st.integers(-60, 60))
def test_a_layout_mirrors(asks: int, bids: int, lines: int, scroll: int) -> None:
    """With an even number of lines, bids are treated as asks are."""
    lines -= lines % 2
    upwards, downwards = fit(Side(asks), Side(bids), lines, scroll), fit(Side(bids), Side(asks), lines, -scroll)
    assert (upwards.asks, upwards.bids, upwards.scroll) == (downwards.bids, downwards.asks, -downwards.scroll)


def test_the_best_levels_are_shown_without_any_room() -> None:
    """A screen that is too low gets the best ask and the best bid all the same."""
    assert columns_of(fit(Side(5), Side(5), -3)) == ["0", "|", "0"]
    assert FEWEST_LINES == 2


def test_bars_grow_with_the_screen() -> None:
    """The longest bar is short on a narrow screen and has a limit on a wide one."""
    assert [bar_width(columns) for columns in (20, 40, 80, 120, 300)] == [4, 4, 11, 19, 24]
