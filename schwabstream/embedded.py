"""A Redis for those who have none: ``redis-server`` from the PATH as a child on loopback, else fakeredis over TCP.

Either way other programs can connect. Nothing is written to disk, and it ends with the block that started it. The
usual port is taken when it is free, so that other programs find it without being told.
"""

import asyncio
import contextlib
import ctypes
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

from schwabstream.errors import RedisUnavailable

HOST = "127.0.0.1"
USUAL_PORT = 6379
START_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 2.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """Where the embedded Redis listens, and what it is: ``redis-server`` or ``fakeredis``."""

    url: str
    kind: str


@contextlib.asynccontextmanager
async def embedded_redis() -> AsyncIterator[EmbeddedRedis]:
    """Run a Redis for the length of the block; raises ``RedisUnavailable`` when none can be started."""
    program = shutil.which("redis-server")
    server = _redis_server(program) if program else _fakeredis()
    async with server as port:
        yield EmbeddedRedis(f"redis://{HOST}:{port}/0", "redis-server" if program else "fakeredis")


def _free_port() -> int:
    """The usual port when nobody listens there, else one the system picks."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise RedisUnavailable(f"no free port on {HOST} for an embedded Redis")


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent is killed, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.asynccontextmanager
async def _redis_server(program: str) -> AsyncIterator[int]:
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="schwabstream-redis-") as folder:
        options = {"port": str(port), "bind": HOST, "save": "", "appendonly": "no", "dir": folder}
        child = await asyncio.create_subprocess_exec(
            program,
            *(word for name, value in options.items() for word in (f"--{name}", value)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: the last events must still find a Redis
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        try:
            await _answers(port, child)
            yield port
        finally:
            if child.returncode is None:
                child.terminate()
                try:
                    await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
                except TimeoutError:
                    child.kill()
                    await child.wait()


async def _answers(port: int, child: asyncio.subprocess.Process) -> None:
    """Wait until the child answers a PING."""
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while child.returncode is None and asyncio.get_running_loop().time() < deadline:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"PING\r\n")
            answer = await reader.readline()
            writer.close()
            if answer.startswith(b"+PONG"):
                return
        await asyncio.sleep(0.02)
    raise RedisUnavailable("the embedded redis-server did not start: run redis-server yourself to see why")


@contextlib.asynccontextmanager
async def _fakeredis() -> AsyncIterator[int]:
    from fakeredis import TcpFakeServer

    port = _free_port()
    server = TcpFakeServer((HOST, port), server_type="redis")
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="fakeredis", daemon=True)
    thread.start()
    try:
        yield port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join(STOP_TIMEOUT_S)
