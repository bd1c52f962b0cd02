"""Answers ``GET /metrics``, ``/metrics/market`` and ``/healthz`` on loopback, and no other requests.

Each connection has one request, limited in size and time, and only a few are open at once; the others wait in the
system's queue. Clients therefore cannot delay the streamer, use up its file descriptors or fill its log.
"""

import asyncio
import contextlib
import errno
import functools
import socket
from collections.abc import AsyncIterator
from http import HTTPStatus

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST

from schwabstream.errors import ConfigurationError
from schwabstream.escapes import safe
from schwabstream.monitoring.metrics import Monitor

log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
MOST_CONNECTIONS = 16
_REQUEST_LIMIT_S = 5.0
_LARGEST_REQUEST = 16 * 1024
_OUT_OF_RESOURCES_PAUSE_S = 1.0


@contextlib.asynccontextmanager
async def serve_metrics(monitor: Monitor, port: int) -> AsyncIterator[int]:
    """Serve for the duration of the block and yield the port; raises ``ConfigurationError`` when it is unavailable."""
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        taken = "is in use" if error.errno == errno.EADDRINUSE else "is not available"
        raise ConfigurationError(
            f"SCHWAB_METRICS_PORT: port {port} on {HOST} {taken}; free it or choose another"
        ) from error
    with listener:
        listener.setblocking(False)
        server = _Server(monitor, listener)
        accepting = asyncio.create_task(server.accept(), name="metrics")
        try:
            yield listener.getsockname()[1]
        finally:
            accepting.cancel()
            await asyncio.wait({accepting})
            await server.close()


class _Server:
    """Accepts a limited number of connections, each with its own task.

    asyncio's server accepts without a limit, and without file descriptors it logs a traceback for each attempt.
    """

    def __init__(self, monitor: Monitor, listener: socket.socket) -> None:
        self._monitor, self._listener = monitor, listener
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._connections: set[asyncio.Task[None]] = set()

    async def accept(self) -> None:
        """Accept until cancelled."""
        refused = False
        while True:
            await self._room.acquire()
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            except OSError as error:
                self._room.release()
                if not refused:
                    log.warning("metrics are unavailable at the moment", reason=error.strerror)
                refused = True
                await asyncio.sleep(_OUT_OF_RESOURCES_PAUSE_S)
                continue
            refused = False
            task = asyncio.create_task(self._answer(connection), name="metrics request")
            self._connections.add(task)
            task.add_done_callback(functools.partial(self._ended, connection))

    async def close(self) -> None:
        """Close the open connections."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _ended(self, connection: socket.socket, task: "asyncio.Task[None]") -> None:
        connection.close()  # a task that is cancelled before it starts leaves it open
        self._connections.discard(task)
        self._room.release()

    async def _answer(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=_LARGEST_REQUEST)
        with (
            contextlib.closing(writer),
            contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError),
        ):
            async with asyncio.timeout(_REQUEST_LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_reply(self._monitor, head))
                await writer.drain()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await writer.wait_closed()
        writer.transport.abort()  # a client that does not read would keep it open


def _reply(monitor: Monitor, head: bytes) -> bytes:
    """The whole answer to one request."""
    method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics, /metrics/market and /healthz\n"
    if method not in ("GET", "HEAD"):
        status, body = HTTPStatus.METHOD_NOT_ALLOWED, b"only GET is answered\n"
    elif path in ("/metrics", "/metrics/market"):
        body = monitor.exposition() if path == "/metrics" else monitor.market_exposition()
        status, kind = HTTPStatus.OK, CONTENT_TYPE_LATEST
    elif path == "/healthz":
        healthy, content = monitor.health()
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        kind, body = "application/json", safe(orjson.dumps(content).decode()).encode() + b"\n"
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body)
