"""What the screens cost and whether they keep up: the live table of ``stream run``, and ``quote`` on a busy channel.

The live table is drawn on a pseudo-terminal that takes everything; next to each such run is one without a table.
``quote`` gets numbered prices at a rate, from a process that does nothing else. The number on the screen, read from its
cells, shows how old it was when it was drawn, and how long the price after the one before it had waited.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyte
import redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.frames import Workload
from benchmarks.processes import CLIENT_CORES, ROOT, clean_environment, cpu_ns, line, redis_server, running
from benchmarks.rig import Client, Load, measure
from benchmarks.tally import Spread, ratios, spread

TABLE_RATE, TABLE_SYMBOLS = 5_000, (10, 200)
QUOTE_RATE, QUOTE_SYMBOLS = 10_000, (3, 60, 200)
QUOTE_S = 10.0
ROWS, COLUMNS = 64, 160
_PRICE = re.compile(r"AAPL\s.*?([\d,]+\.\d\d)")


@dataclass(slots=True)
class Terminal:
    """A terminal in front of which nobody sits: ``screen`` is its end for a program; what is written is kept."""

    screen: int
    _other: int
    seen: list[tuple[int, bytes]] = field(default_factory=list)

    def read(self) -> None:
        """Take what is written, with the time at which it came, until the program has closed its end."""
        with contextlib.suppress(OSError):
            while chunk := os.read(self._other, 1 << 16):
                self.seen.append((time.monotonic_ns(), chunk))


@contextlib.contextmanager
def terminal() -> Iterator[Terminal]:
    """A terminal for the length of the block."""
    other, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    made = Terminal(screen, other)
    reader = threading.Thread(target=made.read, daemon=True)
    reader.start()
    try:
        yield made
    finally:
        os.close(screen)
        reader.join(2.0)
        os.close(other)


def run(repetitions: int, shrink: int) -> dict[str, Any]:
    """Measure both, for few and for many symbols."""
    tables = {count: _table(count, repetitions, 60_000 if shrink == 1 else 30_000) for count in TABLE_SYMBOLS}
    quotes = {count: _quotes(count, repetitions) for count in QUOTE_SYMBOLS}
    return {"table": tables, "quote": quotes}


def _table(count: int, repetitions: int, events: int) -> dict[str, Any]:
    """CPU of the streamer with and without a table, in turn."""
    load = Load(Workload.L1, events, rate=TABLE_RATE, symbols=count)
    plain, shown = [], []
    for _ in track(range(repetitions), description=f"{f'live table of {count} symbols':40}"):
        plain.append(measure(load, Client.DEFAULT).cpu_us_per_event)
        with terminal() as screen:
            shown.append(measure(replace(load, screen=screen.screen), Client.DEFAULT).cpu_us_per_event)
    figures = {
        "plain_percent": spread([used * TABLE_RATE / 1e4 for used in plain]),
        "shown_percent": spread([used * TABLE_RATE / 1e4 for used in shown]),
        "more": spread([(one - other) * TABLE_RATE / 1e4 for one, other in zip(shown, plain, strict=True)]),
        "ratio": ratios(shown, plain),
    }
    return {name: figure.as_dict() for name, figure in figures.items() if figure}


def _quotes(count: int, repetitions: int) -> dict[str, Any]:
    """How late the prices on the screen of ``quote`` are, and what it takes."""
    runs = [_quote(count) for _ in track(range(repetitions), description=f"{f'quote of {count} symbols':40}")]
    return {name: figure.as_dict() for name in runs[0] if (figure := spread([each[name] for each in runs]))}


def _quote(count: int) -> dict[str, float]:
    symbols = ["AAPL", *(f"Z{number:04d}" for number in range(1, count))]
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="schwabstream-bench-")))
        _, port = stack.enter_context(redis_server(home))
        words = ("--port", port, "--rate", QUOTE_RATE, "--seconds", QUOTE_S, "--symbols", ",".join(symbols))
        command = [sys.executable, "-m", "benchmarks.ticker", *map(str, words)]
        ticker = stack.enter_context(running(command, cwd=ROOT))
        line(ticker)
        screen = stack.enter_context(terminal())
        environment = clean_environment() | {"TERM": "xterm-256color", "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        command = [sys.executable, "-m", "schwabstream", "quote", *symbols]
        process = stack.enter_context(running(command, CLIENT_CORES, stdout=screen.screen, cwd=home, env=environment))
        client = redis.Redis(port=port)
        while client.pubsub_numsub("market_data:ticks")[0][1] < 1:
            time.sleep(0.05)
        before, started = cpu_ns(process.pid), time.monotonic()
        assert ticker.stdin is not None
        ticker.stdin.write("go\n")
        ticker.stdin.flush()
        report = line(ticker)
        percent = (cpu_ns(process.pid) - before) / 1e7 / (time.monotonic() - started)
        waiting = max((int(each["omem"]) for each in client.client_list(_type="pubsub")), default=0)
        client.close()
    return {**_ages(screen, report["started_ns"]), "cpu_percent": percent, "waiting_kib": waiting / 1024}


def _ages(screen: Terminal, started_ns: int) -> dict[str, float]:
    """What each new price on the screen shows, after the first tenth; its number gives its time of publication.

    ``behind``: how old the price on the screen is in the middle between two drawings.
    """
    cells = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(cells)
    ages, waits, behind, written, before, drawn_ms = [], [], [], 0, 0.0, 0.0
    for at_ns, chunk in screen.seen:
        stream.feed(chunk)
        at_ms = (at_ns - started_ns) / 1e6
        number = _number(cells)
        if not QUOTE_S * 100 < at_ms < QUOTE_S * 1000:
            before, drawn_ms = number, at_ms
            continue
        written += len(chunk)
        if number != before:
            ages.append(at_ms - number / QUOTE_RATE * 1e3)
            waits.append(at_ms - (before + 2) / QUOTE_RATE * 1e3)  # it has every other number
            behind.append((drawn_ms + at_ms) / 2 - before / QUOTE_RATE * 1e3)
            before, drawn_ms = number, at_ms
    ages, waits, behind = sorted(ages), sorted(waits), sorted(behind)
    return {
        "drawings_per_s": len(ages) / QUOTE_S / 0.9,
        "p50_ms": ages[len(ages) // 2],
        "behind_p50_ms": behind[len(behind) // 2],
        "behind_p95_ms": behind[len(behind) * 95 // 100],
        "waited_p50_ms": waits[len(waits) // 2],
        "waited_p95_ms": waits[len(waits) * 95 // 100],
        "waited_worst_ms": waits[-1],
        "kb_per_s": written / QUOTE_S / 0.9 / 1e3,
    }


def _number(cells: pyte.Screen) -> float:
    """The number of the event whose price is on the screen; 0 while there is none."""
    found = next(filter(None, (_PRICE.match(line) for line in cells.display[:4])), None)
    return 0.0 if found is None else round(float(found[1].replace(",", "")) * 100)


def show(results: dict[str, Any], console: Console) -> None:
    """Print both as tables."""
    table = Table(title=f"stream run, {TABLE_RATE:,} events/s: CPU, % of a core", title_justify="left")
    for column in ("symbols", "without table", "with", "more", "ratio"):
        table.add_column(column, justify="right")
    for count, figures in results["table"].items():
        cells = (str(Spread(**figures[name])) for name in ("plain_percent", "shown_percent", "more", "ratio"))
        table.add_row(str(count), *cells)
    console.print(table)
    table = Table(title=f"quote, {QUOTE_RATE:,} events/s", title_justify="left")
    names = {
        "drawings_per_s": "drawings/s",
        "p50_ms": "price's age p50 ms",
        "behind_p50_ms": "behind p50 ms",
        "behind_p95_ms": "p95 ms",
        "waited_p50_ms": "wait p50 ms",
        "waited_p95_ms": "p95 ms",
        "waited_worst_ms": "worst ms",
        "kb_per_s": "kB/s",
        "cpu_percent": "CPU %",
        "waiting_kib": "in Redis KiB",
    }
    for column in ("symbols", *names.values()):
        table.add_column(column, justify="right")
    for count, figures in results["quote"].items():
        cells = (str(Spread(**figures[name])) for name in names)
        table.add_row(str(count), *cells)
    console.print(table)


if __name__ == "__main__":
    show(json.loads(json.dumps(run(2, 8))), Console())
