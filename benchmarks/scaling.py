"""How cost grows as work grows: against symbols in a flood, against subscribers at a rate that Redis can fan out.

With many symbols a batch holds few events of the same one, so that there are almost as many last values to write as
events: part of what an event costs more with 5,000 symbols than with 10 is that.
"""

from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.frames import Workload
from benchmarks.rig import Client, Load, Measured, measure
from benchmarks.tally import Spread, spread

SYMBOLS = (10, 100, 500, 1_000, 5_000)
SUBSCRIBERS = (1, 10, 50)
FLOOD = Load(Workload.L1, 100_000, repeat=4)
STEADY = Load(Workload.L1, 10_000, rate=2_000)
FIGURES = ("events_per_s", "cpu_us_per_event", "redis_cpu_us_per_event", "p99_us", "lost")


def run(repetitions: int, shrink: int) -> dict[str, Any]:
    """Measure both; keys are the numbers of symbols and of subscribers."""
    flood = replace(FLOOD, repeat=max(1, FLOOD.repeat // shrink))
    steady = replace(STEADY, events=STEADY.events // shrink)
    by_symbols = {count: _runs(replace(flood, symbols=count), repetitions, f"{count} symbols") for count in SYMBOLS}
    by_subscribers = {
        count: _runs(replace(steady, crowd=count - 1), repetitions, f"{count} subscribers") for count in SUBSCRIBERS
    }
    return {"symbols": by_symbols, "subscribers": by_subscribers}


def _runs(load: Load, repetitions: int, title: str) -> dict[str, Any]:
    runs: list[Measured] = []
    for _ in track(range(repetitions), description=f"{title:40}"):
        runs.append(measure(load, Client.DEFAULT))  # noqa: PERF401 - each takes seconds, and the bar shows it
    figures = {name: spread([each.as_dict()[name] for each in runs]) for name in FIGURES}
    return {name: figure.as_dict() if figure else None for name, figure in figures.items()}


def show(results: dict[str, Any], console: Console) -> None:
    """Print both as tables."""
    for kind, title in (("symbols", "a flood of level 1"), ("subscribers", f"{STEADY.rate:,.0f} events/s")):
        table = Table(title=f"Against {kind}, {title}: median (least–most)", title_justify="left")
        for column in (kind, "events/s", "CPU µs/event", "Redis CPU µs/event", "p99 µs", "lost"):
            table.add_column(column, justify="right")
        for count, figures in results[kind].items():
            cells = ("" if figures[name] is None else str(Spread(**figures[name])) for name in FIGURES)
            table.add_row(f"{int(count):,}", *cells)
        console.print(table)
