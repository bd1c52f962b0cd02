"""Fixtures of every test: a temporary directory, a clean environment, a real Redis, the simulator."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from schwabstream.simulator import SchwabSimulator
from tests.support.redis_program import redis_program
from tests.support.waiting import block_until

PLANTED_ENV = b"# planted by the test suite\nCLIENT_SECRET_OF_NOBODY=untouched\n"

# How long an example takes, and how long it takes to make one, is the machine's business.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--live`` lets the checks of a real account run."""
    parser.addoption("--live", action="store_true", help="run the checks that need a real Schwab account")


def pytest_configure() -> None:
    """Keep bytecode for the programs that tests start: without it each compiles its imports for more than a second."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) and "PYTHONPYCACHEPREFIX" not in os.environ:
        directory = tempfile.mkdtemp(prefix="schwabstream-tests-")
        os.environ["PYTHONPYCACHEPREFIX"] = directory
        atexit.register(shutil.rmtree, directory, ignore_errors=True)  # after the workers of pytest-xdist have ended


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run in an empty directory that holds only a planted ``.env``, which must come out as it went in."""
    for name in list(os.environ):
        # COLUMNS and LINES: pytest-xdist exports them, and then no terminal's own size counts.
        if name.startswith(("SCHWAB_", "TASTYTRADE_", "REDIS_")) or name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = tmp_path / ".env"
    env.write_bytes(PLANTED_ENV)
    before = env.stat()
    yield tmp_path
    after = env.stat()
    assert env.read_bytes() == PLANTED_ENV
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)


class RedisServer:
    """A real ``redis-server`` of one test's own, on loopback, without persistence.

    A configuration file, should there be one, is the first of the ``options``.
    """

    def __init__(self, program: str, directory: Path, *options: str, port: int = 0) -> None:
        with socket.create_server(("127.0.0.1", port)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        file = [option for option in options[:1] if not option.startswith("-")]
        self._command = [
            program,
            *file,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(directory),
        ]
        self._command += options[len(file) :]
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, decode_responses=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        block_until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server ended"
        try:
            self.client.ping()
        except redis.ConnectionError:
            return False
        return True

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.client.connection_pool.disconnect()


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A running Redis that the test may kill and start again."""
    server = RedisServer(redis_program(), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()
    server.client.close()


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start one more server, with these options."""
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        server = RedisServer(redis_program(), tmp_path, *options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()
        server.client.close()


@pytest.fixture
async def simulator() -> AsyncIterator[SchwabSimulator]:
    """A simulated Schwab with nothing wrong with it."""
    async with SchwabSimulator() as running:
        yield running
