"""Resident memory of ``stream run``: against symbols, over many events, and while Redis takes nothing at all."""

import os
import signal
import threading
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.frames import Workload
from benchmarks.rig import Client, Load, Measured, Stage, measure
from benchmarks.tally import short

SYMBOLS = (10, 500, 1_000, 2_500, 5_000)
# A small buffer, so that events still queued after a flood do not hide memory that is never released.
SMALL = {"SCHWAB_REDIS_BUFFER_MB": "16"}
LONG = Load(Workload.MIX, 50_000, repeat=200, symbols=500, settings=SMALL)
FEW = Load(Workload.MIX, 50_000, repeat=2, symbols=500, settings=SMALL)
STOPPED_S = 10.0
BUFFER_MIB = 16
FROZEN = Load(
    Workload.L1,
    50_000,
    repeat=20,
    symbols=500,
    settings={"SCHWAB_REDIS_BUFFER_MB": str(BUFFER_MIB), "SCHWAB_REDIS_BUFFER_EVENTS": "50000"},
)


def run(shrink: int) -> dict[str, Any]:
    """Measure all three; memory hardly varies, so each is measured once."""
    by_symbols = {}
    for count in track(SYMBOLS, description=f"{'memory against symbols':40}"):
        # Paced, for what a flood leaves behind in the allocator would hide what a symbol costs.
        load = Load(Workload.MIX, max(6 * count, 5_000), rate=5_000, symbols=count)
        by_symbols[count] = _memory(measure(load, Client.DEFAULT))
    few = measure(FEW, Client.DEFAULT)
    many = measure(replace(LONG, repeat=max(2, LONG.repeat // shrink)), Client.DEFAULT)
    frozen = measure(FROZEN, Client.DEFAULT, during=_stop_redis)
    return {
        "symbols": by_symbols,
        "kib_per_symbol_above_500": round(
            (by_symbols[5_000]["end_mib"] - by_symbols[500]["end_mib"]) * 1024 / (5_000 - 500), 2
        ),
        "events": {few.events: _memory(few), many.events: _memory(many)},
        "redis_stopped": {"buffer_mib": BUFFER_MIB, "sent": FROZEN.expected, **_memory(frozen)},
    }


def _memory(measured: Measured) -> dict[str, float]:
    figures = measured.as_dict()
    return {name: figures[name] for name in ("start_mib", "end_mib", "peak_mib", "lost")}


def _stop_redis(stage: Stage) -> None:
    """Freeze Redis right before the flood, and let it go on when that is long over."""
    os.kill(stage.redis_pid, signal.SIGSTOP)
    timer = threading.Timer(STOPPED_S, os.kill, (stage.redis_pid, signal.SIGCONT))
    timer.daemon = True
    timer.start()


def show(results: dict[str, Any], console: Console) -> None:
    """Print it as a table."""
    table = Table(title="Resident memory of stream run, MiB", title_justify="left")
    for column in ("", "subscribed", "afterwards", "peak", "lost"):
        table.add_column(column, justify="left" if not column else "right")
    stopped = results["redis_stopped"]
    rows = [(f"{int(count):,} symbols", figures) for count, figures in results["symbols"].items()]
    rows += [(f"{int(count):,} events, 500 symbols", figures) for count, figures in results["events"].items()]
    rows.append((f"{stopped['sent']:,} events, Redis frozen, buffer {stopped['buffer_mib']} MiB", stopped))
    for title, figures in rows:
        cells = (short(figures[name]) for name in ("start_mib", "end_mib", "peak_mib", "lost"))
        table.add_row(title, *cells)
    console.print(table)
    console.print(f"{results['kib_per_symbol_above_500']} KiB for each symbol beyond 500")
