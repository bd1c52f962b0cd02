"""An embedded Redis: ``redis-server`` from the PATH as a child on loopback, or else fakeredis over TCP.

Other programs can connect to both. Nothing is written to disk, and it ends with the block that started it. It listens
on the usual port when that is free, so that other programs find it.
"""

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from schwabstream.commands.child_process import dies_with_parent
from schwabstream.errors import RedisUnavailable
from schwabstream.settings import foreign_environment

EMBEDDED = "embedded"
"""The value of ``--redis`` that starts one."""
HOST = "127.0.0.1"
USUAL_PORT = 6379
START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0
_MOST_STARTS = 3
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """Where the embedded Redis listens, and what it is: ``redis-server`` or ``fakeredis``."""

    url: str
    kind: str


@contextlib.asynccontextmanager
async def embedded_redis(
    usual_port: int = USUAL_PORT, *, start_timeout_s: float = START_TIMEOUT_S
) -> AsyncIterator[EmbeddedRedis]:
    """Run a Redis for the duration of the block; raises ``RedisUnavailable`` when none can be started."""
    program = shutil.which("redis-server")
    server = _redis_server(program, usual_port, start_timeout_s) if program else _fakeredis(usual_port)
    async with server as port:
        yield EmbeddedRedis(f"redis://{HOST}:{port}/0", "redis-server" if program else "fakeredis")


@contextlib.asynccontextmanager
async def _redis_server(program: str, usual_port: int, start_timeout_s: float) -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory(prefix="schwabstream-redis-") as folder:
        child, port = await _started(program, _resolved(folder), usual_port, start_timeout_s)
        try:
            yield port
        finally:
            await _end(child)


async def _started(
    program: str, folder: Path, usual_port: int, timeout_s: float
) -> tuple[asyncio.subprocess.Process, int]:
    """The running child and its port: the usual one, or another when that is taken."""
    for attempt in range(_MOST_STARTS):
        port = _free_port(0 if attempt else usual_port)
        child = await _spawn(program, port, folder)
        try:
            async with asyncio.timeout(timeout_s):
                if await _answers(child, port, folder):
                    return child, port
        except TimeoutError:
            await _end(child)
            break
        except BaseException:
            await _end(child)
            raise
    raise RedisUnavailable(f"the embedded redis-server did not start: run {program} yourself to see why")


def _resolved(folder: str) -> Path:
    """The folder without symbolic links, as CONFIG GET returns it."""
    return Path(folder).resolve()


def _free_port(usual_port: int) -> int:
    """The usual port when it is free, else one that the system picks."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, usual_port))
        except OSError:
            probe.bind((HOST, 0))
        chosen: int = probe.getsockname()[1]
        return chosen


async def _spawn(program: str, port: int, folder: Path) -> asyncio.subprocess.Process:
    options = {"port": str(port), "bind": HOST, "save": "", "appendonly": "no", "dir": str(folder)}
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *(word for name, value in options.items() for word in (f"--{name}", value)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=foreign_environment(),
            start_new_session=True,  # Ctrl-C goes to us: the last events still need a Redis
            preexec_fn=dies_with_parent(),
        )
    except OSError as error:
        raise RedisUnavailable(f"{program} cannot be run ({error.strerror}): repair it or set REDIS_URL") from error


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            child.kill()
            await child.wait()


async def _answers(child: asyncio.subprocess.Process, port: int, folder: Path) -> bool:
    """Wait until the child answers; False when it ended first.

    Its folder identifies it: another Redis may have taken the port in between.
    """
    while child.returncode is None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(b"CONFIG GET dir\r\n")
                if str(folder).encode() in await reader.read(4096):
                    return True
            finally:
                writer.close()
        await asyncio.sleep(_POLL_S)
    return False


@contextlib.asynccontextmanager
async def _fakeredis(usual_port: int) -> AsyncIterator[int]:
    from fakeredis import TcpFakeServer

    try:
        server = TcpFakeServer((HOST, usual_port), server_type="redis")
    except OSError:
        server = TcpFakeServer((HOST, 0), server_type="redis")
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="fakeredis", daemon=True)
    thread.start()
    try:
        port: int = server.server_address[1]
        yield port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join(STOP_TIMEOUT_S)
