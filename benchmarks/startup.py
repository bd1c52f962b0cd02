"""How long the commands take to start, against a Typer app of two commands that does nothing."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.processes import clean_environment, redis_server, running
from benchmarks.tally import Spread, ratios, spread

_TYPER_APP = '''
"""Two commands that do nothing."""

import typer

app = typer.Typer()


@app.command()
def one(name: str, count: int = 1) -> None:
    """Do this."""


@app.command()
def two(name: str, loud: bool = False) -> None:
    """Do that."""


app()
'''
_OURS = (sys.executable, "-m", "schwabstream")
_SIMULATED = (*_OURS, "stream", "run", "--simulate", "--no-live", "--symbols", "/MES:XCME,AAPL")
_TICK = (
    '{"v":1,"type":"tick","symbol":"/MES:XCME","key":"/MES","seq":1,"timestamp":1765083430002,"received_us":'
    '1765083430071234,"asset":"FUTURE","last_price":6879.5,"is_trade":false}'
)
_REPORT = (
    '{"state":"streaming","since":1,"reported":1,"started":1,"pid":1,"host":"benchmark","version":"0","simulated":true}'
)
_READY = "ready: streaming"
LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Start:
    wall_ms: float
    cpu_ms: float


def run(repetitions: int) -> dict[str, Any]:
    """Start everything in turn, ``repetitions`` times; wall and CPU time in ms, and ratios to the Typer app's."""
    starts: dict[str, list[_Start]] = {}
    with tempfile.TemporaryDirectory(prefix="schwabstream-bench-") as directory:
        home = Path(directory)
        (home / "two_commands.py").write_text(_TYPER_APP)
        with redis_server(home) as (_, port):
            environment = clean_environment() | {
                "REDIS_URL": f"redis://127.0.0.1:{port}/0",
                "SCHWAB_LOG_FORMAT": "json",
                "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
            }
            client = redis.Redis(port=port)
            client.hset("market_data:last:ticks", "/MES:XCME", _TICK)
            client.set("market_data:streamer", _REPORT)
            commands: dict[str, Callable[[], _Start]] = {
                "typer app --help": lambda: _finish([sys.executable, "two_commands.py", "--help"], home, environment),
                "--help": lambda: _finish([*_OURS, "--help"], home, environment),
                "--version": lambda: _finish([*_OURS, "--version"], home, environment),
                "quote --once": lambda: _finish([*_OURS, "quote", "/MES:XCME", "--once"], home, environment),
                "stream run to subscribed": lambda: _until_ready(home, environment, client),
            }
            for start in commands.values():
                start()  # once without looking, for the bytecode
            for _ in track(range(repetitions), description=f"{'start-up':40}"):
                for name, start in commands.items():
                    starts.setdefault(name, []).append(start())
    return {name: _figures(these, starts["typer app --help"]) for name, these in starts.items()}


def _figures(starts: list[_Start], reference: list[_Start]) -> dict[str, Any]:
    figures = {
        "wall_ms": spread([start.wall_ms for start in starts]),
        "cpu_ms": spread([start.cpu_ms for start in starts]),
        "cpu_ratio": ratios([start.cpu_ms for start in starts], [start.cpu_ms for start in reference]),
        "wall_ratio": ratios([start.wall_ms for start in starts], [start.wall_ms for start in reference]),
    }
    return {name: figure.as_dict() for name, figure in figures.items() if figure}


def _finish(command: Sequence[str], home: Path, environment: dict[str, str]) -> _Start:
    """Run it to its end."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, cwd=home, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall_ms, after = (time.perf_counter() - started) * 1e3, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return _Start(wall_ms, used * 1e3)


def _until_ready(home: Path, environment: dict[str, str], client: "redis.Redis") -> _Start:
    """Start it, and kill it once it has said that it streams."""
    before, started = os.times(), time.perf_counter()
    with (
        (home / "stderr").open("w+") as errors,
        running([*_SIMULATED, "--redis", environment["REDIS_URL"]], stderr=errors, cwd=home, env=environment),
    ):
        while _READY not in (home / "stderr").read_text():
            if time.perf_counter() - started > LIMIT_S:
                raise RuntimeError("stream run does not get ready")
            time.sleep(0.005)
        wall_ms = (time.perf_counter() - started) * 1e3
    with contextlib.suppress(FileNotFoundError):
        (home / "stderr").unlink()
    _forget_lease(client)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return _Start(wall_ms, used * 1e3)


def _forget_lease(client: "redis.Redis") -> None:
    """What was killed could not give its lease back."""
    for key in (*client.scan_iter("*lease*"), "market_data:account"):
        client.delete(key)


def show(results: dict[str, Any], console: Console) -> None:
    """Print it as a table."""
    table = Table(title="Start-up: median (least–most)", title_justify="left")
    for column in ("", "ms", "CPU ms", "× Typer app", "CPU × Typer app"):
        table.add_column(column, justify="left" if not column else "right")
    for name, figures in results.items():
        cells = (str(Spread(**figures[key])) for key in ("wall_ms", "cpu_ms", "wall_ratio", "cpu_ratio"))
        table.add_row(name, *cells)
    console.print(table)
