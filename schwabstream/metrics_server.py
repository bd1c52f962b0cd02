"""Answers ``GET /metrics`` and ``GET /healthz`` on loopback; shows everything else the door.

One request per connection, each bounded in size and time, so that nothing that connects can hold up the streamer.
"""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from http import HTTPStatus

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from schwabstream.errors import ConfigurationError
from schwabstream.metrics import Monitor

HOST = "127.0.0.1"
_REQUEST_LIMIT_S = 5.0
_LARGEST_REQUEST = 16 * 1024


@contextlib.asynccontextmanager
async def serve_metrics(monitor: Monitor, port: int) -> AsyncIterator[int]:
    """Serve for the length of the block; the port is its value. ``ConfigurationError`` when it cannot be had."""
    connections: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            connections.add(task)
            task.add_done_callback(connections.discard)
        with (
            contextlib.closing(writer),
            contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError),
        ):
            async with asyncio.timeout(_REQUEST_LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_reply(monitor, head))
                await writer.drain()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await writer.wait_closed()

    try:
        server = await asyncio.start_server(answer, HOST, port, limit=_LARGEST_REQUEST)
    except OSError as error:
        taken = "is in use" if error.errno == errno.EADDRINUSE else "cannot be had"
        raise ConfigurationError(
            f"SCHWAB_METRICS_PORT: port {port} on {HOST} {taken}; free it or choose another"
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def _reply(monitor: Monitor, head: bytes) -> bytes:
    """The whole answer to one request."""
    method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    status, kind, body = HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics and /healthz\n"
    if method not in ("GET", "HEAD"):
        status, body = HTTPStatus.METHOD_NOT_ALLOWED, b"only GET is answered\n"
    elif path == "/metrics":
        status, kind, body = HTTPStatus.OK, CONTENT_TYPE_LATEST, monitor.exposition()
    elif path == "/healthz":
        healthy, content = monitor.health()
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        kind, body = "application/json", orjson.dumps(content) + b"\n"
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body)
