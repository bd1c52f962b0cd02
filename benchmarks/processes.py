"""Processes of a measurement: started, pinned, spoken with in JSON lines, looked at, killed at the end; Linux only."""

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 30.0
LINE_LIMIT_S = 600.0
CORES = sorted(os.sched_getaffinity(0))
CLIENT_CORES, OTHER_CORES = set(CORES[:1]), set(CORES[1:]) or set(CORES)
_OURS = ("SCHWAB_", "TASTYTRADE_", "REDIS_")
_ODD = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")

Process = subprocess.Popen[str]


@contextlib.contextmanager
def running(
    command: Sequence[str],
    cores: set[int] | None = None,
    *,
    stdout: int = subprocess.PIPE,
    stderr: IO[str] | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[Process]:
    """A process, on these cores, in a clean environment if not in ``env``, killed at the end."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        text=True,
        cwd=cwd,
        env=env or clean_environment(),
    )
    if cores:
        os.sched_setaffinity(process.pid, cores)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def redis_server(home: Path) -> Iterator[tuple[Process, int]]:
    """A redis-server of our own on a free port, without persistence, that never cuts a subscriber off."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    words = f"--port {port} --bind 127.0.0.1 --appendonly no --dir {home} --client-output-buffer-limit".split()
    with running([program, *words, "pubsub 0 0 0", "--save", "", "--logfile", str(home / "redis")]) as process:
        _wait_for_port(port)
        yield process, port


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing listens on port {port}")
        time.sleep(0.02)


def line(process: Process, *, while_lives: Process | None = None) -> dict[str, Any]:
    """The next line it says; raises ``RuntimeError`` when it, or the other one, ends before."""
    assert process.stdout is not None
    deadline = time.monotonic() + LINE_LIMIT_S
    while not select.select([process.stdout], [], [], 0.25)[0]:
        if while_lives is not None and while_lives.poll() is not None:
            raise RuntimeError(f"it ended with {while_lives.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError("nothing was said in time")
    text = process.stdout.readline()
    if not text:
        raise RuntimeError(f"{process.args!r} ended before its time")
    said: dict[str, Any] = json.loads(text)
    return said


def go(process: Process) -> None:
    """Start the measured part."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def clean_environment() -> dict[str, str]:
    """The environment without any setting of ours or of the shell's, and with a place for bytecode.

    An installation by pip has bytecode. Without bytecode a program compiles its imports at every start and keeps the
    memory that this took, so every measured program runs once beforehand.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS) and name not in _ODD}
    return kept | {"PYTHONPYCACHEPREFIX": _bytecode()}


@functools.cache
def _bytecode() -> str:
    """A directory for the time of this process, so that neither the checkout nor the environment is written to."""
    directory = tempfile.TemporaryDirectory(prefix="schwabstream-bytecode-")
    atexit.register(directory.cleanup)
    return directory.name


def cpu_ns(pid: int) -> int:
    """User and system time of another process so far, in ns, by its own CPU clock."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def resident_mib(pid: int, name: str = "VmRSS") -> float:
    """Resident memory of a process; ``VmHWM`` for its peak."""
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith(name):
            return int(row.split()[1]) / 1024
    return 0.0
