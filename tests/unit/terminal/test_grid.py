"""The table that fits any width."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from schwabstream.terminal.grid import Cell, Column, Grid
from schwabstream.terminal.screen.cells import Run

COLUMNS = (
    Column("Name", 0, left=True),
    Column("Last", 1),
    Column("Bid", 2),
    Column("Ask", 2),
    Column("Note", 3, left=True),
)


def drawn(grid: Grid, width: int, *, colour: bool = False) -> list[str]:
    """The lines of a grid on a console of that width."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    with console.capture() as capture:
        console.print(grid)
    return capture.get().splitlines()


def row(*texts: str) -> list[Cell]:
    """Cells without style."""
    return [Cell(text) for text in texts]


def test_columns_align_and_end_without_blanks_on_the_left_aligned() -> None:
    """Numbers stand to the right, names to the left, titles above them."""
    lines = drawn(Grid(COLUMNS, [row("A", "1.00", "9", "10", "ok"), row("BB", "22.00", "8", "9", "")]), 80)
    assert lines == ["Name   Last  Bid  Ask  Note", "A      1.00    9   10  ok", "BB    22.00    8    9  "]


def test_columns_give_way_by_rank_and_pairs_together() -> None:
    """When it gets narrow the highest rank goes first; equal ranks come and go as one; the first stays."""
    grid = Grid(COLUMNS, [row("A", "1.00", "9", "10", "ok")])
    assert list(grid.shown(27)) == [0, 1, 2, 3, 4]
    assert list(grid.shown(20)) == [0, 1, 2, 3]
    assert list(grid.shown(19)) == [0, 1, 4]
    assert list(grid.shown(10)) == [0, 1]
    assert list(grid.shown(1)) == [0]


def test_a_column_that_may_be_cut_takes_what_is_left() -> None:
    """It gives up width down to a limit before it gives way, and leaves the other columns their room."""
    columns = (Column("Name", 0, left=True), Column("Note", 1, left=True, cut=True))
    grid = Grid(columns, [row("A", "x" * 30)])
    assert grid.shown(40) == {0: 4, 1: 30}
    assert grid.shown(20) == {0: 4, 1: 14}
    assert grid.shown(17) == {0: 4}
    last = Grid((*columns, Column("Last", 2)), [row("A", "x" * 30, "1.00")])
    assert last.shown(30) == {0: 4, 1: 18, 2: 4}
    assert last.shown(80) == {0: 4, 1: 30, 2: 4}
    assert drawn(grid, 20)[1] == "A     " + "x" * 13 + "…"


def test_columns_of_a_pair_that_may_be_cut_share_what_is_left() -> None:
    """Both are cut to the same width, and left out together."""
    columns = (Column("Left", 1, cut=True), Column("Name", 0), Column("Right", 1, left=True, cut=True))
    grid = Grid(columns, [row("x" * 30, "A", "y" * 30)])
    assert grid.shown(80) == {0: 30, 1: 4, 2: 30}
    assert grid.shown(40) == {0: 16, 1: 4, 2: 16}
    assert grid.shown(31) == {1: 4}
    assert drawn(grid, 40)[1] == "x" * 15 + "…     A  " + "y" * 15 + "…"


def test_widths_never_shrink_while_they_are_remembered() -> None:
    """A shorter number does not make the table jump."""
    widths: dict[int, int] = {}
    first = drawn(Grid(COLUMNS, [row("A", "100000.00", "9", "10", "ok")], widths), 80)
    second = drawn(Grid(COLUMNS, [row("A", "1.00", "9", "10", "ok")], widths), 80)
    assert [line.index("9") for line in (first[1].split("  ", 1)[1],)]
    assert first[1].index("  9") == second[1].index("  9")


def test_styles_are_drawn_and_headers_optional() -> None:
    """A cell's style colours its text and nothing around it."""
    line = drawn(Grid(COLUMNS[:1], [[Cell("A", "red")]], header=False), 80, colour=True)
    assert line == ["\x1b[31mA\x1b[0m"]


@pytest.mark.parametrize("width", [1, 5, 60, 200])
@given(texts=st.lists(st.text(alphabet="aé漢字 ", max_size=30), min_size=5, max_size=5))
def test_no_line_is_wider_than_the_screen(width: int, texts: list[str]) -> None:
    """A line fits for any content of its cells, wide characters included."""
    from rich.cells import cell_len

    assert all(cell_len(line) <= width for line in drawn(Grid(COLUMNS, [row(*texts)]), width))


def test_a_sparse_column_is_there_while_a_cell_of_it_is_filled_or_was() -> None:
    """Without anything in it the column takes no room; once filled it keeps its width, so that nothing jumps."""
    columns = (Column("Name", 0, left=True), Column("Contract", 1, left=True, sparse=True), Column("Last", 1))
    widths: dict[int, int] = {}
    assert drawn(Grid(columns, [row("A", "", "1")], widths), 80) == ["Name  Last", "A        1"]
    filled = ["Name  Contract  Last", "A     /NQZ26       1"]
    assert drawn(Grid(columns, [row("A", "/NQZ26", "1")], widths), 80) == filled
    assert drawn(Grid(columns, [row("A", "", "1")], widths), 80)[0] == filled[0]


def test_a_changed_cell_is_drawn_in_its_place_with_what_it_leaves_blank() -> None:
    """Only cells that differ are drawn again; one that is too wide for its column needs the whole grid."""
    columns = (Column("Name", 0, left=True), Column("Last", 1), Column("Note", 2, left=True))
    grid = Grid(columns, [row("A", "100.00", "three"), row("B", "9.00", "x")])
    assert drawn(grid, 80)[1] == "A     100.00  three"
    same, shorter = {0: Cell("A"), 1: Cell("100.00")}, {1: Cell("99.50", "red"), 2: Cell("one")}
    assert grid.change(0, same, below=4) == []
    assert grid.change(0, shorter, below=4) == [
        Run(5, 6, " "),
        Run(5, 7, "99.50", "red"),
        Run(5, 17, "  "),
        Run(5, 14, "one"),
    ]
    assert grid.change(1, {1: Cell("1,000.00")}, below=4) is None
