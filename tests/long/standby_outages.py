"""Pairs of streamers through outages of Redis: the one that streams keeps the account, however long Redis is away.

``python tests/long/standby_outages.py --pairs 30 --from 0.5 --to 8`` starts the installed command twice for each pair,
beside a Redis that is killed and comes back empty, or is stopped and continued, and counts those that changed hands.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from schwabstream.simulator import SchwabSimulator

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.conftest import RedisServer

COMMAND = str(Path(sys.executable).with_name("schwabstream"))
START_LIMIT_S = 90.0
SETTLED_S = 18.0
"""After this long a standby would have taken the lease: the grace after an outage, and some looks."""


class Streamer:
    """One ``stream run`` and its log lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())

    async def says(self, words: str) -> None:
        """Wait until a log line holds these words."""
        async with asyncio.timeout(START_LIMIT_S):
            while not any(words in line for line in self.lines):  # noqa: ASYNC110 - a peer
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        """Stop it."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
        await self._reading


async def pair(outage_s: float, kind: str, folder: Path) -> tuple[bool, int]:
    """Whether a standby took over after this outage, and how many sessions Schwab saw."""
    server = RedisServer(shutil.which("redis-server") or "redis-server", folder)
    server.start()
    async with SchwabSimulator() as simulator, contextlib.AsyncExitStack() as stack:
        stack.callback(server.client.close)
        stack.callback(server.kill)
        environment = _environment(simulator, server, folder)
        first = await stack.enter_async_context(_started(environment, folder))
        await first.says("ready: ")
        second = await stack.enter_async_context(_started(environment, folder))
        await second.says("standby: ")
        await asyncio.sleep(random.uniform(0, 1.5))
        await _outage(server, kind, outage_s)
        await asyncio.sleep(SETTLED_S)
        took_over = any("lease taken" in line for line in second.lines)
        return took_over, len(simulator.received.connection_times)


async def _outage(server: RedisServer, kind: str, seconds: float) -> None:
    if kind == "killed":
        server.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)
    else:
        process = server._process  # private: a stopped server is this script's business alone
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)


def _environment(simulator: SchwabSimulator, server: RedisServer, folder: Path) -> dict[str, str]:
    token = folder / "token.json"
    token.write_text(json.dumps(simulator.issue_token()))
    token.chmod(0o600)
    return {
        "PATH": os.environ["PATH"],
        "SCHWAB_API_BASE_URL": simulator.base_url,
        "SCHWAB_CLIENT_ID": simulator.client_id,
        "SCHWAB_CLIENT_SECRET": simulator.client_secret,
        "SCHWAB_TOKEN_PATH": str(token),
        "REDIS_URL": server.url,
    }


@contextlib.asynccontextmanager
async def _started(environment: dict[str, str], folder: Path) -> AsyncIterator[Streamer]:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *("stream", "run", "--symbols", "/MES:XCME"),
        env=environment,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    streamer = Streamer(process)
    try:
        yield streamer
    finally:
        await streamer.end()


async def main(arguments: argparse.Namespace) -> int:
    """Run the pairs, print each, and return how many changed hands."""
    at_once = asyncio.Semaphore(arguments.at_once)
    step = (arguments.longest - arguments.shortest) / max(1, arguments.pairs - 1)

    async def one(number: int) -> bool:
        outage_s, kind = arguments.shortest + number * step, ("killed", "stopped")[number % 2]
        async with at_once:
            with tempfile.TemporaryDirectory(prefix="schwabstream-") as folder:
                took_over, sessions = await pair(outage_s, kind, Path(folder))
        print(f"{kind:8} {outage_s:4.1f} s: {'TOOK OVER' if took_over else 'kept'}, {sessions} sessions", flush=True)
        return took_over

    taken = sum(await asyncio.gather(*(one(number) for number in range(arguments.pairs))))
    print(f"{taken} of {arguments.pairs} pairs changed hands")
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--from", dest="shortest", type=float, default=0.5)
    parser.add_argument("--to", dest="longest", type=float, default=8.0)
    parser.add_argument("--at-once", type=int, default=5)
    sys.exit(bool(asyncio.run(main(parser.parse_args()))))
