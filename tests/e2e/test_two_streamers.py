"""Two streamers of one account as processes: one streams, the other waits, whatever is done to them."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.cases import only
from tests.support.waiting import until

COMMAND = shutil.which("schwabstream", path=str(Path(sys.executable).parent)) or "schwabstream"
START_LIMIT_S = 60.0


class Streamer:
    """One ``schwabstream stream run`` and its output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())

    async def says(self, words: str, limit_s: float = START_LIMIT_S, count: int = 1) -> None:
        """Wait until the output contains a text ``count`` times."""

        def said() -> bool:
            found = sum(words in line for line in self.lines) >= count
            assert found or self.process.returncode is None, f"ended without {words!r}: {''.join(self.lines)}"
            return found

        await until(said, show=lambda: f"{words!r} in {''.join(self.lines)}", within_s=limit_s)

    def send(self, number: signal.Signals) -> None:
        """Signal it, as an operator would."""
        self.process.send_signal(number)

    async def end(self, limit_s: float = 10.0) -> int:
        """Wait for its end and return the exit code."""
        code = await asyncio.wait_for(self.process.wait(), limit_s)
        await self.reading
        return code


Start = Callable[..., Any]


@pytest.fixture
async def start(pointed: dict[str, str]) -> AsyncIterator[Start]:
    """Start a streamer for the simulator's account and this test's Redis."""
    started: list[Streamer] = []

    async def run(*options: str) -> Streamer:
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *("stream", "run", "--symbols", "/MES:XCME,AAPL", *options),
            env=os.environ | pointed,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(Streamer(process))
        return started[-1]

    yield run
    for each in started:
        if each.process.returncode is None:
            each.process.kill()
            await each.process.wait()
        await each.reading


def assert_one_after_the_other(redis: RedisServer) -> None:
    """Two publishers that wrote at once would leave a sequence that falls."""
    for channel in ("ticks", "status"):
        entries: Any = redis.client.xrange(f"market_data:stream:{channel}")
        sequence = [json.loads(entry["event"])["seq"] for _, entry in entries]
        assert sequence == sorted(set(sequence))
        assert sequence


async def test_standby_takes_over_from_one_that_is_killed(
    start: Start, simulator: SchwabSimulator, redis_server: RedisServer
) -> None:
    """Of two started at once one streams; when it is killed the other follows."""
    pair = [await start(), await start()]
    waiting = [asyncio.create_task(each.says("standby: ")) for each in pair]
    done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    standby = pair[waiting.index(done.pop())]
    first = next(each for each in pair if each is not standby)
    await first.says("ready: ")
    assert simulator.sessions == 1
    first.send(signal.SIGKILL)
    await standby.says("ready: ")
    standby.send(signal.SIGTERM)
    assert await standby.end() == 0
    assert not any("evicted" in line for line in standby.lines)
    assert_one_after_the_other(redis_server)


async def test_one_that_was_paused_past_its_lease_publishes_nothing_more(
    start: Start, simulator: SchwabSimulator, redis_server: RedisServer
) -> None:
    """A streamer that wakes up after another took over stops, logs in nowhere, and waits its turn."""
    first = await start()
    await first.says("ready: ")
    second = await start()
    await second.says("standby: ")
    first.send(signal.SIGSTOP)
    await second.says("ready: ")
    logins = len(simulator.received.connection_times)
    first.send(signal.SIGCONT)
    await first.says("lease lost")
    await first.says("standby: ")
    assert len(simulator.received.connection_times) == logins
    assert simulator.sessions == 1
    third = await start("--take-over")
    await third.says("ready: ")
    await second.says("standby: ", count=2)
    refused = await start("--no-standby")
    assert await refused.end(START_LIMIT_S) == 6
    assert f"pid {third.process.pid}" in "".join(refused.lines)
    for each in (first, second, third):
        each.send(signal.SIGTERM)
        assert await each.end() == 0
    assert_one_after_the_other(redis_server)


def lease_of(redis: RedisServer) -> str:
    """The key of the one lease."""
    keys: Any = redis.client.keys("market_data:lease:*")
    (key,) = set(keys) - {"market_data:lease:tenures"}
    return str(key)


def newest_seq(redis: RedisServer) -> int:
    """The newest number in the stream of ticks."""
    entries: Any = redis.client.xrevrange("market_data:stream:ticks", count=1)
    return int(json.loads(entries[0][1]["event"])["seq"]) if entries else 0


@pytest.mark.parametrize("lapse", only(["paused"], ["paused", "deleted", "flushed"]))
async def test_a_lease_that_lapsed_costs_nothing(
    start: Start, simulator: SchwabSimulator, redis_server: RedisServer, lapse: str
) -> None:
    """A streamer that is paused past its lease, or loses the key, continues the session without a missing number."""
    first = await start()
    await first.says("ready: ")
    await until(lambda: newest_seq(redis_server))
    key, seq = lease_of(redis_server), newest_seq(redis_server)
    if lapse == "paused":
        first.send(signal.SIGSTOP)
        redis_server.client.pexpire(key, 1)
        for _ in range(200):
            simulator.step(20)
            await asyncio.sleep(0)
        assert not redis_server.client.exists(key)
        first.send(signal.SIGCONT)
    else:
        before = redis_server.client.xlen("market_data:stream:ticks")
        redis_server.client.flushall() if lapse == "flushed" else redis_server.client.delete(key)
        for _ in range(200):
            simulator.step(20)
            await asyncio.sleep(0)
        assert lapse == "flushed" or before
    await first.says("taken back")
    await until(lambda: newest_seq(redis_server) > seq + 200)
    first.send(signal.SIGTERM)
    assert await first.end() == 0
    entries: Any = redis_server.client.xrange("market_data:stream:ticks")
    seqs = [json.loads(entry["event"])["seq"] for _, entry in entries]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert lapse == "flushed" or seqs[0] <= seq
    assert len(simulator.received.connection_times) == 1
    assert not any("lease lost" in line or "dropped" in line for line in first.lines)


async def test_what_the_loser_of_the_lease_gives_up_is_announced(
    start: Start, simulator: SchwabSimulator, redis_server: RedisServer
) -> None:
    """A streamer that finds its lease with another names it, and publishes ``dropped`` with the count."""
    first = await start()
    await first.says("ready: ")
    await until(lambda: newest_seq(redis_server))
    client: Any = redis_server.client  # Any: redis-py leaves pubsub untyped
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("market_data:status")
    client.set(lease_of(redis_server), "99999999999999:tower:4711", px=60_000)
    written = client.xlen("market_data:stream:ticks")
    simulator.step(200)
    await first.says("lease lost")
    await first.says("standby: ")
    assert any("host tower, pid 4711" in line for line in first.lines if "lease lost" in line)
    heard = [json.loads(each["data"]) for each in (pubsub.get_message(timeout=0.2) for _ in range(5)) if each]
    pubsub.close()
    (dropped,) = heard
    assert dropped["state"] == "dropped"
    assert "host tower, pid 4711" in dropped["reason"]
    assert dropped["count"] > 0
    assert client.xlen("market_data:stream:ticks") == written
