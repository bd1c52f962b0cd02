"""A long run with trouble: a session dropped every 30 to 120 s at 1,000 events a second, into a real Redis.

Prints resident memory, file descriptors and tasks of the streamer's process over time, and fails when one of them
grows or anything was left unhandled. The simulator and Redis are processes of their own; ``--help`` lists the options.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import SchwabStreamError
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import load_settings
from schwabstream.simulator import Faults, SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient

FUTURES = ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME", "/ES:XCME"]
SYMBOLS = [*FUTURES, "AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "META", "GOOGL", "AMD", "SPY", "QQQ", "IBM"]
BOOKS_PER_S = 1.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GROWTH_ALLOWED = 0.05


@dataclass
class Sample:
    """The state of this process at one moment; ``at`` in seconds since the start."""

    at: float
    rss_mb: float
    fds: int
    tasks: int
    published: int
    sessions: int


@dataclass
class Unhandled:
    """Uncaught exceptions of tasks and callbacks, and warnings about objects that were never awaited or closed."""

    problems: list[str] = field(default_factory=list)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen in every place that reports them."""
        loop.set_exception_handler(lambda _, context: self.problems.append(str(context)))
        sys.unraisablehook = lambda unraisable: self.problems.append(
            f"{unraisable.exc_value!r} in {unraisable.object!r}"
        )
        warnings.simplefilter("always", ResourceWarning)
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = lambda message, kind, *_: self.problems.append(f"{kind.__name__}: {message}")


def main() -> int:
    """Run the soak, or, as its own child, the simulator."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1000.0, help="events a second")
    parser.add_argument("--sample", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--drop", type=float, nargs=2, default=(30.0, 120.0), help="seconds between drops, from and to")
    parser.add_argument("--simulator", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.simulator:
        asyncio.run(_simulate(arguments.rate, tuple(arguments.drop)))
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        contextlib.chdir(folder),
        _redis() as url,
        _simulator(arguments) as schwab,
    ):
        return asyncio.run(_soak(arguments, url, schwab))


async def _simulate(rate: float, drop: tuple[float, float]) -> None:
    per_key = max(0.0, rate / len(SYMBOLS) - BOOKS_PER_S)
    faults = Faults(changes_per_s=per_key, books_per_s=BOOKS_PER_S, futures_depth=True, drop_every_s=drop)
    async with SchwabSimulator(faults=faults) as simulator:
        settings = {
            "schwab_api_base_url": simulator.base_url,
            "schwab_client_id": simulator.client_id,
            "schwab_client_secret": simulator.client_secret,
            "token": simulator.issue_token(),
        }
        sys.stdout.write(json.dumps(settings) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


@contextlib.contextmanager
def _simulator(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    words = [sys.executable, __file__, "--simulator", "--rate", str(arguments.rate), "--drop"]
    child = subprocess.Popen([*words, *map(str, arguments.drop)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        yield json.loads(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()


@contextlib.contextmanager
def _redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--maxmemory", "1gb"]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        child.kill()
        child.wait()


@contextlib.asynccontextmanager
async def _streamer(
    url: str, schwab: dict[str, Any]
) -> AsyncIterator[tuple[SchwabStreamClient, TradingEventPublisher]]:
    store = TokenStore(Path("token.json"))
    store.save(TokenSet.from_file(schwab.pop("token")))
    settings = load_settings(**schwab, schwab_token_path=store.path)
    publisher = TradingEventPublisher(url)
    while not publisher.connected:
        with contextlib.suppress(SchwabStreamError):  # Redis is still starting
            await publisher.connect()
        await asyncio.sleep(0.1)
    async with SchwabAuthClient(settings, store) as auth, asyncio.TaskGroup() as tasks:
        auth.auto_refresh.start()
        symbols = parse_symbols(SYMBOLS, datetime.now(UTC).date())
        client = SchwabStreamClient(auth, StreamState(symbols, publisher.publish))
        reporter = tasks.create_task(Reporter(client, publisher, simulated=True).run())
        tasks.create_task(publisher.run())
        streamer = tasks.create_task(client.run())
        await client.ready.wait()
        yield client, publisher
        client.stop()
        await streamer
        reporter.cancel()
        publisher.stop()
    await publisher.close()


async def _soak(arguments: argparse.Namespace, url: str, schwab: dict[str, Any]) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    unhandled = Unhandled()
    unhandled.watch(asyncio.get_running_loop())
    samples: list[Sample] = []
    async with _streamer(url, schwab) as (client, publisher):
        began = time.monotonic()
        print("   time   rss MB  fds  tasks  events/s  sessions  gaps  dropped  unhandled", flush=True)
        while time.monotonic() - began < arguments.minutes * 60:
            await asyncio.sleep(arguments.sample)
            samples.append(_sample(time.monotonic() - began, client, publisher))
            _print(samples, client, publisher, unhandled)
    gc.collect()
    return _verdict(samples, unhandled)


def _sample(at: float, client: SchwabStreamClient, publisher: TradingEventPublisher) -> Sample:
    rss_mb = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20
    fds = len(list(Path("/proc/self/fd").iterdir())) - 1  # the listing itself
    return Sample(at, rss_mb, fds, len(asyncio.all_tasks()), publisher.published, client.counts["entered streaming"])


def _print(
    samples: list[Sample], client: SchwabStreamClient, publisher: TradingEventPublisher, unhandled: Unhandled
) -> None:
    now = samples[-1]
    before = samples[-2] if len(samples) > 1 else Sample(0, 0, 0, 0, 0, 0)
    rate = (now.published - before.published) / (now.at - before.at)
    print(
        f"{now.at:6.0f} s {now.rss_mb:8.1f} {now.fds:4d} {now.tasks:6d} {rate:9.0f} {now.sessions:9d} "
        f"{client.counts['gap']:5d} {publisher.dropped:8d} {len(unhandled.problems):10d}",
        flush=True,
    )


def _verdict(samples: list[Sample], unhandled: Unhandled) -> int:
    """Compare the second quarter with the last: a leak has grown by then."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    problems = [*unhandled.problems]
    for name in ("rss_mb", "fds", "tasks"):
        first, last = (statistics.median(getattr(sample, name) for sample in part) for part in (early, late))
        print(f"{name}: {first:.1f} in the second quarter, {last:.1f} in the last")
        if last > first * (1 + GROWTH_ALLOWED) + (3 if name == "rss_mb" else 0):
            problems.append(f"{name} grew from {first:.1f} to {last:.1f}")
    print(f"{samples[-1].sessions} sessions, {samples[-1].published} events, {len(unhandled.problems)} unhandled")
    for problem in problems:
        print("PROBLEM:", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
