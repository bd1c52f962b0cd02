"""Puts the figures that are kept as JSON into docs/performance.md, between its two marks; nothing is copied by hand."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import fanout
from benchmarks.rig import Client
from benchmarks.tally import Spread, short
from benchmarks.versus import TARGETS

BEGIN, END = "<!-- figures: written by python -m benchmarks -->", "<!-- end of figures -->"


def renew(page: Path, figures: Path) -> None:
    """Write every part that has figures into the page; parts never measured are left out."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    sections = [_section(figures / f"{part}.json", write) for part, write in _PARTS.items()]
    text = "\n".join(section for section in sections if section)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def _section(path: Path, write: Callable[[dict[str, Any]], str]) -> str:
    if not path.exists():
        return ""
    kept = json.loads(path.read_text(encoding="utf-8"))
    machine = kept["machine"]
    form = "full form" if kept["full"] else "short form"
    taken = f"{machine['at'][:10]}, {form}, {machine['cpu']}, {machine['cores']} cores, load {machine['load'][0]}, "
    return f"{write(kept['results'])}\n*{taken}Python {machine['python']}.*\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _text(figure: dict[str, float] | None, unit: str = "") -> str:
    return "" if figure is None else f"{Spread(**figure)}{unit}"


def _versus(results: dict[str, Any]) -> str:
    head = ("", "", "events/s", "× schwab-py", "CPU µs/event", "× schwab-py", "p50 µs", "p99 µs", "lost", "wanted")
    rows = []
    for name, result in results.items():
        for client, figures in result["clients"].items():
            ours = client != Client.BASELINE
            ratios = [
                _text(figures[f"{key}_ratio"], "×") if ours else "" for key in ("events_per_s", "cpu_us_per_event")
            ]
            paced = [_text(figures[key]) for key in ("p50_us", "p99_us")]
            figured = [_text(figures["events_per_s"]), ratios[0], _text(figures["cpu_us_per_event"]), ratios[1], *paced]
            wanted = TARGETS.get(name, {}).get(Client(client), "")
            rows.append(["" if ours else result["title"], client, *figured, str(figures["lost"]), wanted])
    return f"### Against schwab-py\n\n![events/s, times schwab-py](performance/versus.svg)\n\n{_table(head, rows)}"


def _stages(results: dict[str, Any]) -> str:
    stages = list(next(iter(results.values())))
    rows = [[stage, *(_text(figures[stage]) for figures in results.values())] for stage in stages]
    rows.append(["all", *(short(sum(each["median"] for each in figures.values())) for figures in results.values())])
    return f"### Stages alone, ns of CPU per event\n\n{_table(('', *results), rows)}"


def _readers(results: dict[str, Any]) -> str:
    cases = results["cases"].values()
    names = next(iter(cases))["readers"]
    rows = [[name, *(_text(case["readers"][name]) for case in cases)] for name in names]
    head = ("reader, event loop", *(case["title"] for case in cases))
    return f"### Reading a WebSocket, ns of CPU per event\n\n{_table(head, rows)}"


def _scaling(results: dict[str, Any]) -> str:
    tables = []
    for kind in ("symbols", "subscribers"):
        head = (kind, "events/s", "CPU µs/event", "Redis CPU µs/event", "p99 µs")
        keys = ("events_per_s", "cpu_us_per_event", "redis_cpu_us_per_event", "p99_us")
        rows = [[f"{int(n):,}", *(_text(figures[key]) for key in keys)] for n, figures in results[kind].items()]
        tables.append(_table(head, rows))
    return "### As work grows\n\n" + "\n".join(tables)


def _memory(results: dict[str, Any]) -> str:
    rows = [[f"{int(count):,} symbols", *_mib(figures)] for count, figures in results["symbols"].items()]
    rows += [[f"{int(count):,} events, 500 symbols", *_mib(figures)] for count, figures in results["events"].items()]
    frozen = results["redis_stopped"]
    rows.append([f"{frozen['sent']:,} events, Redis frozen, buffer {frozen['buffer_mib']} MiB", *_mib(frozen)])
    per_symbol = f"{results['kib_per_symbol_above_500']} KiB for each symbol beyond 500.\n"
    return f"### Resident memory, MiB\n\n{_table(('', 'subscribed', 'afterwards', 'peak'), rows)}\n{per_symbol}"


def _mib(figures: dict[str, float]) -> list[str]:
    return [short(figures[name]) for name in ("start_mib", "end_mib", "peak_mib")]


def _startup(results: dict[str, Any]) -> str:
    keys = ("wall_ms", "cpu_ms", "wall_ratio", "cpu_ratio")
    rows = [[name, *(_text(figures[key]) for key in keys)] for name, figures in results.items()]
    return f"### Start-up\n\n{_table(('', 'ms', 'CPU ms', '× Typer app', 'CPU × Typer app'), rows)}"


def _screens(results: dict[str, Any]) -> str:
    keys = ("plain_percent", "shown_percent", "ratio")
    tables = [[count, *(_text(figures[key]) for key in keys)] for count, figures in results["table"].items()]
    head = ("symbols in the live table", "CPU % without it", "with it", "ratio")
    table = _table(head, tables)
    keys = ("drawings_per_s", "p50_ms", "waited_p95_ms", "waited_worst_ms", "kb_per_s", "cpu_percent")
    quotes = [[count, *(_text(figures[key]) for key in keys)] for count, figures in results["quote"].items()]
    head = ("symbols of quote", "drawings/s", "price's age p50 ms", "longest wait p95 ms", "worst ms", "kB/s", "CPU %")
    return f"### Screens\n\n{table}\n{_table(head, quotes)}"


def _fanout(results: dict[str, Any]) -> str:
    text = (
        "### Readers of one symbol\n\n"
        "A publisher writes 2,000 events a second of 500 symbols; each reader wants one symbol. CPU is that of Redis\n"
        "for the crowds and that of the reader's own process for `subscribe()`, in percent of a core. MB is what\n"
        "Redis sent.\n\n"
    )
    head = ("", "shared channel: CPU %", "MB", "own channels: CPU %", "MB")
    return text + _table(head, fanout.rows(results))


_PARTS = {
    "versus": _versus,
    "stages": _stages,
    "readers": _readers,
    "fanout": _fanout,
    "scaling": _scaling,
    "memory": _memory,
    "startup": _startup,
    "screens": _screens,
}
