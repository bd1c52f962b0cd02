"""``python -m benchmarks [PART…] [--full]``: measure, print tables, write figures and chart.

The short form takes a few minutes and says whether something broke; the full form is what docs/performance.md shows.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import chart, fanout, memory, page, readers, scaling, screens, stages, startup, versus
from benchmarks.processes import ROOT
from benchmarks.tally import machine

PARTS = ("versus", "stages", "readers", "fanout", "scaling", "memory", "startup", "screens")
SHORT_REPETITIONS, FULL_REPETITIONS = 2, 5
SHORT_SHRINK = 8


def main() -> None:
    """Run the parts asked for, all by default; each is written as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--full", action="store_true", help="as many events and repetitions as the figures need")
    parser.add_argument("--repetitions", type=int, help="instead of the form's own number")
    parser.add_argument("--scenario", action="append", help="only this one of versus; repeatable")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance", help="where figures and chart go")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if Console().is_terminal else 170)
    for part in options.parts or PARTS:
        results = _run(part, options)
        _keep(options.out / f"{part}.json", {"full": options.full, "machine": machine(), "results": results})
        # As it will be read again, so that what is shown now and what is shown from the file are the same.
        _show(part, json.loads(json.dumps(results)), console)
        if part == "versus":
            (options.out / "versus.svg").write_text(chart.draw(json.loads(json.dumps(results))), encoding="utf-8")
    if options.out == ROOT / "docs" / "performance":
        page.renew(ROOT / "docs" / "performance.md", options.out)
    now = machine()
    console.print(f"{now['cpu']}, {now['cores']} cores, load {now['load'][0]}")


def _run(part: str, options: argparse.Namespace) -> dict[str, Any]:
    repetitions = options.repetitions or (FULL_REPETITIONS if options.full else SHORT_REPETITIONS)
    shrink = 1 if options.full else SHORT_SHRINK
    match part:
        case "versus":
            return versus.run(options.scenario, repetitions, shrink)
        case "stages":
            return stages.run(repetitions, shrink)
        case "readers":
            return readers.run(repetitions, shrink)
        case "fanout":
            return fanout.run(repetitions, shrink)
        case "scaling":
            return scaling.run(repetitions, shrink)
        case "memory":
            return memory.run(shrink)
        case "screens":
            return screens.run(repetitions, shrink)
        case _:
            return startup.run(2 * repetitions)


def _show(part: str, results: dict[str, Any], console: Console) -> None:
    shows = (versus.show, stages.show, readers.show, fanout.show, scaling.show, memory.show, startup.show, screens.show)
    dict(zip(PARTS, shows, strict=True))[part](results, console)


def _keep(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
