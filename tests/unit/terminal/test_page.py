"""What surrounds the table of every screen, and how many rows fit between."""

from datetime import date

import pytest
from rich.console import ConsoleDimensions
from rich.text import Text

from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import LagReport, StreamerReport
from schwabstream.terminal.page import fitting, lag
from schwabstream.terminal.watchlist import Quote

NOTE = Text("Ctrl-C: leave")
QUOTES = [Quote(symbol) for symbol in parse_symbols([f"A{letter}" for letter in "ABCDEFGHIJ"], date(2026, 11, 21))]


def report(exchange_ms: float | None, redis_ms: float | None) -> StreamerReport:
    """A report with this lag."""
    measured = LagReport(exchange_to_here_ms=exchange_ms, here_to_redis_ms=redis_ms)
    return StreamerReport(
        state="streaming", since=1, reported=1, started=1, pid=1, host="box", version="1", lag=measured
    )


@pytest.mark.parametrize(
    ("exchange_ms", "redis_ms", "shown"),
    [(None, None, ""), (1234.5, None, "  lag 1,234 ms"), (12.0, 0.31, "  lag 12 ms, 0.3 ms to Redis")],
)
def test_the_lag_is_shown_once_it_is_measured(exchange_ms: float | None, redis_ms: float | None, shown: str) -> None:
    """Exchange to here in whole milliseconds, here to Redis in tenths; nothing before there is a figure."""
    assert lag(report(exchange_ms, redis_ms)) == shown


@pytest.mark.parametrize(
    ("height", "rows", "more"),
    [
        (13, 10, None),
        (12, 8, "… and 2 more, which need a taller terminal"),
        (4, 1, "… and 9 more, which need a taller terminal"),
    ],
)
def test_rows_that_do_not_fit_are_counted(height: int, rows: int, more: str | None) -> None:
    """Headline, titles and notes take their lines; the last line is a count of the rows left out, never of none."""
    shown, below = fitting(QUOTES, [NOTE], ConsoleDimensions(80, height))
    assert len(shown) == rows
    assert [line.plain for line in below] == ([] if more is None else [more]) + [NOTE.plain]


def test_a_print_has_every_row() -> None:
    """Without a size, as in a pipe, nothing is left out."""
    assert fitting(QUOTES, [NOTE], None) == (QUOTES, [NOTE])
