"""A whole streamer, a simulated Schwab and a Redis that suffers: nothing may be lost without being counted.

``python tests/long/redis_kills.py --kills 50 --minutes 10`` is the long form of what the tests do in seconds.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import load_settings
from schwabstream.simulator import Faults, SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.conftest import RedisServer

FUTURES = ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME", "/ES:XCME"]
SYMBOLS = [*FUTURES, "AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "META", "GOOGL", "AMD", "SPY", "QQQ"]
RESUMED_WITHIN_S = 5.0  # asked of the long form, alone on a machine; the tests wait for as long as a busy one may need
HANGS_AFTER_S = 60.0
TICKS = "market_data:stream:ticks"


@dataclass
class Plant:
    """Everything at work; each tick is followed from the moment it is published to its place in the stream.

    ``missing`` are the sequence numbers that the stream went past without, ``repeated`` how many came again.
    """

    simulator: SchwabSimulator
    client: SchwabStreamClient
    publisher: TradingEventPublisher
    redis: RedisServer
    taken: int = 0
    newest: int = 0
    missing: set[int] = field(default_factory=set)
    repeated: int = 0
    _expected: deque[int] = field(default_factory=deque)
    _read_to: str = "-"
    _last: int = 0

    def take(self, payload: bytes) -> None:
        """Note a tick on its way to Redis."""
        if payload.startswith(b'{"v":1,"type":"tick"'):
            self.taken += 1
            self.newest = json.loads(payload)["seq"]
            self._expected.append(self.newest)

    def read_stream(self) -> None:
        """Follow the stream to its present end; it must be in order but for repeats."""
        while entries := self._next_entries():
            self._read_to = f"({entries[-1][0]}"
            for _, values in entries:
                self._follow(json.loads(values["event"])["seq"])

    def _next_entries(self) -> Any:
        return self.redis.client.xrange(TICKS, min=self._read_to, count=10_000)

    def _follow(self, seq: int) -> None:
        assert seq not in self.missing, "the stream is out of order"
        if seq <= self._last:
            self.repeated += 1
            return
        self._last = seq
        while (expected := self._expected.popleft()) != seq:
            assert expected < seq, "the stream holds what was never published"
            self.missing.add(expected)

    async def published(self, count: float) -> None:
        """Wait until the streamer has published so many ticks in all."""
        began = time.monotonic()
        while self.taken < count:
            assert time.monotonic() - began < HANGS_AFTER_S, f"the streamer reads no more: {self.taken} of {count}"
            await asyncio.sleep(0.02)

    async def resumed(self) -> float:
        """Wait until Redis has the tick that was published last when this began; returns the seconds that took."""
        began = time.monotonic()
        target = self.newest
        while not (self.publisher.connected and self._is_written(target)):
            waited = time.monotonic() - began
            assert waited < HANGS_AFTER_S, f"not resumed: {self.publisher.outage}, {self.publisher.queued} queued"
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    def _is_written(self, seq: int) -> bool:
        last: Any = self.redis.client.xrevrange(TICKS, count=1)
        return bool(last) and json.loads(last[0][1]["event"])["seq"] >= seq

    def account(self) -> int:
        """How many ticks the stream does not hold, now that everything is over."""
        self.read_stream()
        return len(self.missing) + len(self._expected)


@contextlib.asynccontextmanager
async def plant(
    redis: RedisServer,
    rate: float,
    *,
    max_events: int = 100_000,
    on_status: Callable[[dict[str, Any]], None] = lambda _: None,
) -> AsyncIterator[Plant]:
    """A streamer that publishes about ``rate`` events a second into this Redis."""
    faults = Faults(changes_per_s=rate / len(SYMBOLS), books_per_s=0.2)
    async with SchwabSimulator(faults=faults) as simulator:
        store = TokenStore(Path("redis-kills/token.json"))
        store.save(TokenSet.from_file(simulator.issue_token()))
        settings = load_settings(
            schwab_client_id=simulator.client_id,
            schwab_client_secret=simulator.client_secret,
            schwab_api_base_url=simulator.base_url,
            schwab_token_path=store.path,
        )
        publisher = TradingEventPublisher(redis.url, max_events=max_events, tap=lambda payload: working.take(payload))  # noqa: PLW0108 - made below
        await publisher.connect()
        async with SchwabAuthClient(settings, store) as auth, asyncio.TaskGroup() as tasks:
            symbols = parse_symbols(SYMBOLS, datetime.now(UTC).date())
            client = SchwabStreamClient(auth, StreamState(symbols, publisher.publish, on_status=on_status))
            working = Plant(simulator, client, publisher, redis)
            writer = tasks.create_task(publisher.run())
            reporter = tasks.create_task(Reporter(client, publisher).run())
            streamer = tasks.create_task(client.run())
            await client.ready.wait()
            yield working
            client.stop()
            await streamer
            reporter.cancel()
            publisher.stop()
            await asyncio.wait({writer}, timeout=10)
            assert writer.done(), "what was queued did not reach Redis"
        await publisher.close()


@dataclass
class Figures:
    """What a run of kills came to."""

    events: int = 0
    per_s: float = 0.0
    slowest_resume_s: float = 0.0
    dropped: int = 0
    missing: int = 0
    repeated: int = 0
    sessions: int = 0
    rss_mb: list[float] = field(default_factory=list)


async def kill_redis(redis: RedisServer, *, kills: int, seconds: float, rate: float) -> Figures:
    """Kill Redis again and again under load; asserts that the writing resumes and that every tick is accounted for."""
    figures = Figures()
    async with plant(redis, rate) as working:
        began = time.monotonic()
        for number in itertools.count(1):
            await asyncio.sleep(seconds / (kills + 1))
            working.read_stream()
            figures.rss_mb.append(_rss_mb())
            if number > kills:
                break
            redis.kill()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(redis.start)
            figures.slowest_resume_s = max(figures.slowest_resume_s, await working.resumed())
        figures.per_s = working.taken / (time.monotonic() - began)
    figures.missing, figures.repeated = working.account(), working.repeated
    figures.events, figures.dropped = working.taken, working.publisher.dropped
    figures.sessions = working.simulator.connections_total
    return figures


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=2000.0)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        redis = RedisServer(program, Path(folder), "--appendonly", "yes")
        redis.start()
        try:
            run = kill_redis(redis, kills=arguments.kills, seconds=arguments.minutes * 60, rate=arguments.rate)
            figures = asyncio.run(run)
        finally:
            redis.kill()
    print(figures)
    half = len(figures.rss_mb) // 2
    grown = max(figures.rss_mb[half:]) / max(figures.rss_mb[: half or 1])
    print(f"memory: the second half peaks at {grown:.3f} of the first")
    resumed_in_time = figures.slowest_resume_s <= RESUMED_WITHIN_S
    complete = figures.missing <= figures.dropped and figures.sessions == 1
    return 0 if complete and resumed_in_time and grown < 1.1 else 1


if __name__ == "__main__":
    sys.exit(main())
