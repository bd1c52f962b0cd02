"""A simulator, a Redis and ``stream run`` with symbol channels, each a process of its own, to measure beside."""

import contextlib
import json
import shlex
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import clean_environment, redis_server, running

START_S = 12.0
"""After this long the streamer has subscribed."""


@dataclass(frozen=True, slots=True)
class Streamer:
    """Where the parts are found: the simulator's and Redis's URLs, and the streamer's process id."""

    base_url: str
    redis_url: str
    pid: int


@contextlib.contextmanager
def simulated_streamer(symbols: Sequence[str], **faults: object) -> Iterator[Streamer]:
    """Stream these symbols from a simulator with these switches, for the duration of a block."""
    command = [sys.executable, "-m", "schwabstream"]
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="schwabstream-bench-")))
        _, port = stack.enter_context(redis_server(home))
        simulator = stack.enter_context(running([*command, "simulate", "--port", "0", "-q"], cwd=home))
        assert simulator.stdout is not None
        settings = dict(shlex.split(simulator.stdout.readline())[0].split("=", 1) for _ in range(4))
        base_url, redis_url = settings["SCHWAB_API_BASE_URL"], f"redis://127.0.0.1:{port}/0"
        switches = urllib.request.Request(f"{base_url}/simulator/faults", json.dumps(faults).encode(), method="PUT")
        urllib.request.urlopen(switches).read()
        settings |= {"SCHWAB_SYMBOLS": ",".join(symbols), "REDIS_URL": redis_url}
        settings["SCHWAB_REDIS_SYMBOL_CHANNELS"] = "true"
        log = stack.enter_context((home / "streamer").open("w+"))
        streaming = [*command, "stream", "run", "--no-live"]
        streamer = stack.enter_context(running(streaming, stderr=log, cwd=home, env=clean_environment() | settings))
        yield Streamer(base_url, redis_url, streamer.pid)
