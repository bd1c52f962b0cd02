"""The rows of the live table: as many as fit, whole columns or none, and nothing from the wire that is not text."""

from datetime import date

import pytest

from schwabstream.codec import Batch
from schwabstream.market import Instrument, Market
from schwabstream.stream_table import Paint, StreamTable
from schwabstream.symbols import parse_symbols

NOW_S = 1_795_000_000.0
PLAIN = Paint(styles=False, colours=False)


def market(*symbols: str) -> dict[str, Instrument]:
    """A market of these symbols that knows nothing yet."""
    return Market(parse_symbols(symbols, date(2026, 11, 21)), lambda _channel, _event: None).instruments


@pytest.mark.parametrize(
    ("height", "rows", "last"), [(12, 10, ""), (11, 10, ""), (10, 8, "and 2 more"), (3, 1, "and 9 more")]
)
def test_what_does_not_fit_is_counted(height: int, rows: int, last: str) -> None:
    """There are never more lines than fit; when symbols are left out the last line says how many."""
    table = StreamTable(market(*(f"Z{number}" for number in range(10))), PLAIN)
    lines = table.lines({}, NOW_S, 80, height)
    assert sum(line.startswith("Z") for line in lines) == rows
    assert len(lines) <= height
    assert (lines[-1] if last else "") == last


def test_each_alias_has_a_row() -> None:
    """A key that was asked for under two names has a row for each."""
    lines = StreamTable(market("/NQ", "/NQ:XCME"), PLAIN).lines({}, NOW_S, 80, 20)
    assert [line.split()[0] for line in lines] == ["Symbol", "/NQ", "/NQ:XCME"]


@pytest.mark.parametrize("width", range(20, 140, 7))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Columns stand under each other, and what does not fit is left out as a whole."""
    table = StreamTable(market("/MNQ:XCME", "AAPL"), PLAIN)
    lines = table.lines({"AAPL": 12.34}, NOW_S, width, 20)
    assert max(map(len, lines)) <= width
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("styles", "colours", "expected"),
    [(False, False, "x"), (False, True, "x"), (True, False, "\x1b[1mx\x1b[0m"), (True, True, "\x1b[1;31mx\x1b[0m")],
)
def test_paint_does_what_the_terminal_can(styles: bool, colours: bool, expected: str) -> None:
    """Without styles text stays text; without colours what is left of a style is kept."""
    paint = Paint(styles=styles, colours=colours)
    assert paint("x", "bold red") == expected
    assert paint("x", "red") == ("\x1b[31mx\x1b[0m" if styles and colours else "x")
    assert paint("x", "") == "x"


def test_text_from_the_wire_cannot_move_the_cursor() -> None:
    """Control characters in a contract's name are shown as escapes."""
    instruments = market("/NQ")
    update = Batch("LEVELONE_FUTURES", 1, [{"key": "/NQ", "3": 1.0, "34": "/NQ\x1b]0;t\x07"}])
    known = Market([instruments["/NQ"].symbol], lambda _channel, _event: None)
    known.apply(update, 1_000_000)
    lines = StreamTable(known.instruments, PLAIN).lines({}, NOW_S, 120, 20)
    assert all(line.isprintable() for line in lines)
    assert "\\x1b]0;t\\x07" in lines[1]
