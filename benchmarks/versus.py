"""The whole way, ``stream run --no-live`` against what users have today: alternating, repeated, ratios with spread."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.frames import Workload
from benchmarks.rig import Client, Load, Measured, measure
from benchmarks.tally import Spread, ratios, spread

Runs = dict[Client, list[Measured]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load; ``faster`` is how much longer ours gets it, so that both run for about as long."""

    name: str
    title: str
    load: Load
    faster: int = 1


SCENARIOS = (
    Scenario("l1", "level 1, 1–20 entries a frame, flood", Load(Workload.L1, 30_000), faster=20),
    Scenario("one", "level 1, one entry a frame, flood", Load(Workload.ONE, 24_000), faster=12),
    Scenario("book", "books, 10–20 levels a side, flood", Load(Workload.BOOK, 4_000), faster=10),
    Scenario("paced", "one entry a frame, 5,000/s", Load(Workload.ONE, 30_000, rate=5_000)),
    Scenario("calm", "one entry a frame, 1,000/s", Load(Workload.ONE, 6_000, rate=1_000)),
)
TARGETS = {
    "l1": {Client.PUBLISHING: "≥ 20× events/s", Client.DEFAULT: "≥ 10×"},
    "one": {Client.PUBLISHING: "≥ 12×", Client.DEFAULT: "≥ 8×"},
    "book": {Client.PUBLISHING: "≥ 10×", Client.DEFAULT: "≥ 8×"},
    "paced": {Client.PUBLISHING: "p99 ≤ 1 ms, below; CPU ≤ 0.55×", Client.DEFAULT: "p99 ≤ 1.5 ms"},
}


def run(names: list[str] | None, repetitions: int, shrink: int) -> dict[str, Any]:
    """Measure these scenarios, or all; ``shrink`` divides the number of events. Returns the figures as JSON."""
    results: dict[str, Any] = {}
    for scenario in SCENARIOS:
        if names and scenario.name not in names:
            continue
        runs: Runs = {client: [] for client in Client}
        for client in track(list(_turns(repetitions)), description=f"{scenario.title:40}"):
            runs[client].append(measure(_load(scenario, client, shrink), client))
        results[scenario.name] = {"title": scenario.title, "clients": {str(c): _figures(runs, c) for c in Client}}
    return results


def _turns(repetitions: int) -> Iterator[Client]:
    for _ in range(repetitions):
        yield from Client


def _load(scenario: Scenario, client: Client, shrink: int) -> Load:
    load = replace(scenario.load, events=max(500, scenario.load.events // shrink))
    return load if client is Client.BASELINE else replace(load, repeat=scenario.faster)


def _figures(runs: Runs, client: Client) -> dict[str, Any]:
    ours, theirs = runs[client], runs[Client.BASELINE]
    figures: dict[str, Any] = {"lost": sum(each.lost for each in ours), "holes": sum(each.holes or 0 for each in ours)}
    for name in ("events_per_s", "cpu_us_per_event", "redis_cpu_us_per_event", "p50_us", "p99_us", "peak_mib"):
        values = [each.as_dict()[name] for each in ours]
        figures[name] = _json(spread(values))
        figures[f"{name}_ratio"] = _json(ratios(values, [each.as_dict()[name] for each in theirs]))
    return figures | {"runs": [each.as_dict() for each in ours]}


def _json(value: Spread | None) -> dict[str, float] | None:
    return None if value is None else value.as_dict()


def _text(figure: dict[str, float] | None, unit: str = "") -> str:
    return "" if figure is None else f"{Spread(**figure)}{unit}"


def show(results: dict[str, Any], console: Console) -> None:
    """Print a table for each scenario: medians, and the least and the most of all runs."""
    for name, result in results.items():
        table = Table(title=result["title"], title_justify="left", title_style="bold")
        for column in ("", "events/s", "× schwab-py", "CPU µs/event", "× schwab-py", "p50 µs", "p99 µs", "lost"):
            table.add_column(column, justify="right" if column else "left", min_width=4)
        table.add_column("wanted")
        for client, figures in result["clients"].items():
            ours = client != Client.BASELINE
            table.add_row(
                client,
                _text(figures["events_per_s"]),
                _text(figures["events_per_s_ratio"], "×") if ours else "",
                _text(figures["cpu_us_per_event"]),
                _text(figures["cpu_us_per_event_ratio"], "×") if ours else "",
                _text(figures["p50_us"]),
                _text(figures["p99_us"]),
                f"{figures['lost']:,}",
                TARGETS.get(name, {}).get(client, ""),
            )
        console.print(table)
