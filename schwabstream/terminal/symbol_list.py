"""The symbols of a streamer, as a table and as JSON lines: why each is streamed, its services, age and trouble."""

from collections.abc import Iterator
from typing import Final, Literal

from rich.console import RenderableType

from schwabstream.escapes import safe
from schwabstream.events.base import FrozenModel
from schwabstream.report import StreamerReport
from schwabstream.terminal import text
from schwabstream.terminal.grid import Cell, Column, Grid
from schwabstream.terminal.lines import print_lines, print_once
from schwabstream.terminal.watchlist import why_stale

_COLUMNS: Final = (
    Column("Symbol", 0, left=True),
    Column("Source", 1, left=True),
    Column("Age", 2),
    Column("Services", 3, left=True, cut=True),
    Column("Trouble", 4, left=True, cut=True, sparse=True),
)


class ListedSymbol(FrozenModel):
    """One symbol that a streamer streams or refuses."""

    v: Literal[1] = 1
    """Version of the output format: 1."""
    symbol: str
    """The symbol as the user wrote it, such as `/MNQ:XCME`."""
    key: str | None = None
    """The same symbol as Schwab writes it, such as `/MNQ`; null when it is refused."""
    source: Literal["configured", "added", "wanted", "refused"]
    """Why it is streamed: `configured` in the settings, `added` with `stream add`, or `wanted` by readers. `refused`
    when it is not."""
    services: tuple[str, ...] = ()
    """The services of Schwab that it is subscribed to; empty until Schwab has accepted it."""
    age_ms: int | None = None
    """Milliseconds since the last update; null before the first."""
    trouble: str | None = None
    """Why its data is missing or not current; null when nothing is wrong."""


def listed(report: StreamerReport) -> Iterator[ListedSymbol]:
    """The streamed symbols in the order of the report, then the refused ones.

    The report has a symbol that Schwab has just refused among both.
    """
    for line in report.symbols:
        age_s = None if line.age_ms is None else line.age_ms / 1000
        yield ListedSymbol(
            symbol=line.symbol,
            key=line.key,
            source=line.source,
            services=line.services,
            age_ms=line.age_ms,
            trouble=line.problem or why_stale(report, line, age_s),
        )
    streamed = {line.symbol for line in report.symbols}
    for symbol, why in report.refused.items():
        if symbol in streamed:
            continue
        yield ListedSymbol(symbol=symbol, source="refused", trouble=why)


async def print_symbols(report: StreamerReport, *, json: bool) -> None:
    """Print the table, or one JSON line for each symbol. Raises ``OutputUnwritable``."""
    if json:
        await print_lines(each.model_dump_json() for each in listed(report))
    else:
        await print_once(render_symbols(report))


def render_symbols(report: StreamerReport) -> RenderableType:
    """The table."""
    return Grid(_COLUMNS, [_row(each) for each in listed(report)])


def _row(each: ListedSymbol) -> list[Cell]:
    style = "dim" if each.trouble else ""
    return [
        Cell(text.symbol(each.symbol), style or "bold"),
        Cell(each.source, style),
        Cell(text.UNKNOWN if each.age_ms is None else text.age(each.age_ms / 1000), style),
        Cell(safe(text.services(each.services)), style),
        Cell(safe(each.trouble or ""), style),
    ]
