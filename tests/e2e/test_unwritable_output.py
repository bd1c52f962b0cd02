"""Standard output that takes nothing: a full disk or a closed stdout is exit 1 and a sentence, a closed pipe is not."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.cases import only, pairs

COMMAND = str(Path(sys.executable).with_name("schwabstream"))

NEED_NOTHING = ["--version", "--help", "stream run --help", "auth status", "auth status --json"]
READ_REDIS = [
    "status",
    "status --json",
    "quote AAPL --once",
    "quote AAPL --once --json",
    "quote AAPL --count 1",
    "quote AAPL --count 1 --json",
    "book AAPL --once",
    "book AAPL --once --json",
    "book AAPL --count 1 --json",
    "doctor",
    "doctor --json",
]
PLAYED = ["status", "quote AAPL --once", "quote AAPL --count 1 --json", "book AAPL --once --json", "doctor"]
RUN = ["stream run --simulate --json", "simulate --port 0"]


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """A Redis with a healthy streamer's report, a tick and a book of AAPL."""
    now = time.time_ns() // 1_000_000
    report = {"v": 1, "state": "streaming", "since": now, "started": now, "reported": now, "pid": 7, "host": "box"}
    line = {"symbol": "AAPL", "key": "AAPL", "asset": "EQUITY", "fresh": True}
    redis_server.client.set("market_data:streamer", json.dumps({**report, "version": "1", "symbols": [line]}))
    common = {"v": 1, "symbol": "AAPL", "key": "AAPL", "seq": 5, "timestamp": now, "received_us": now * 1000}
    tick = {**common, "type": "tick", "asset": "EQUITY", "last_price": 150.25, "is_trade": True}
    level = {"price": 150.0, "size": 1, "makers": 1, "venues": []}
    book = {**common, "type": "level2", "service": "NASDAQ_BOOK", "source": "book", "bids": [level], "asks": [level]}
    for channel, event in (("ticks", tick), ("level2", book)):
        redis_server.client.hset(f"market_data:last:{channel}", "AAPL", orjson.dumps(event).decode())
    return redis_server.url


def run(command: str, redirect: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command under a shell with its standard output redirected."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "{COMMAND}" {command} {redirect}'],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


REASONS = {">/dev/full": "cannot be written (No space left on device)", ">&-": "is closed"}


def assert_one_sentence(done: subprocess.CompletedProcess[str], redirect: str) -> None:
    """Exit 1, nothing on stdout, and one sentence on stderr that names what could not be written, and why."""
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("schwabstream: ")]
    assert len(said) == 1, done.stderr
    assert f"standard output {REASONS[redirect]}: " in said[0]
    assert done.stderr.endswith(f"{said[0]}\n")


@pytest.mark.parametrize(("command", "redirect"), pairs(NEED_NOTHING, list(REASONS)))
def test_without_anything_running(command: str, redirect: str) -> None:
    """Help, version and the stored login are either written or the command fails."""
    assert_one_sentence(run(command, redirect), redirect)


@pytest.mark.parametrize(("command", "redirect"), pairs(READ_REDIS, list(REASONS), PLAYED))
def test_what_reads_redis(command: str, redirect: str, redis_url: str) -> None:
    """Tables, lines and JSON are either written or the command fails."""
    assert_one_sentence(run(command, redirect, REDIS_URL=redis_url, SCHWAB_API_BASE_URL="http://127.0.0.1:1"), redirect)


@pytest.mark.parametrize(("command", "redirect"), pairs(RUN, list(REASONS)))
def test_what_runs_until_stopped(command: str, redirect: str) -> None:
    """A run whose data cannot be written ends."""
    assert_one_sentence(run(command, redirect), redirect)


@pytest.mark.parametrize("command", only(["status", "quote AAPL --once --json"], [*NEED_NOTHING, *READ_REDIS]))
def test_a_closed_pipe_is_not_an_error(command: str, redis_url: str) -> None:
    """A reader that has gone changes neither the exit code nor what stands on stderr."""
    environment = {"REDIS_URL": redis_url, "SCHWAB_API_BASE_URL": "http://127.0.0.1:1"}
    written = run(command, ">/dev/null", **environment)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        done = subprocess.run(
            [COMMAND, *command.split()],
            env={**os.environ, **environment},
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (written.returncode, written.stderr)


async def test_a_stream_whose_events_cannot_be_written_logs_out(
    simulator: SchwabSimulator, pointed: dict[str, str]
) -> None:
    """``stream run --json`` on a full disk sends LOGOUT to Schwab, then exits with 1 and the sentence."""
    import asyncio

    process = await asyncio.create_subprocess_shell(
        f'exec "{COMMAND}" stream run --json >/dev/full',
        stderr=subprocess.PIPE,
        env=os.environ | pointed,
    )
    _, stderr = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"standard output" in stderr.splitlines()[-1]
    logouts = simulator.received.sent("ADMIN", "LOGOUT")
    assert len(logouts) == simulator.sessions


def test_a_closed_stdout_becomes_no_connection(redis_url: str) -> None:
    """A closed descriptor 1 is never reused for the socket to Redis, which would then receive the output."""
    assert_one_sentence(run("quote AAPL --once --json", ">&-", REDIS_URL=redis_url), ">&-")
