"""The symbols in the report of a running streamer, read within a fraction of a second or not at all: for completion.

Logs nothing and raises nothing. Does not load the models of the report, which takes as long as Redis may.
"""

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from schwabstream.broker.client import redis_client
from schwabstream.broker.url import prefix_at
from schwabstream.errors import SchwabStreamError

LIMIT_S: Final = 0.3
# Invalid host names and texts raise UnicodeError.
_AWAY: Final = (RedisError, OSError, SchwabStreamError, UnicodeError)
_NOT_A_REPORT: Final = (msgspec.MsgspecError, RecursionError)


class StreamedSymbol(msgspec.Struct, frozen=True):
    """One symbol of the report: its alias, and why it is streamed."""

    symbol: str
    source: str = "configured"


class _Report(msgspec.Struct):
    symbols: list[StreamedSymbol] = []


def streamed_symbols(redis_url: str, prefix: str) -> list[StreamedSymbol]:
    """The symbols of the streamer that publishes there; none when there is none, or Redis does not answer in time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        try:
            return runner.run(_fetch(redis_url, prefix))
        except (*_AWAY, *_NOT_A_REPORT):
            return []


async def _fetch(redis_url: str, prefix: str) -> list[StreamedSymbol]:
    prefix = prefix_at(redis_url, prefix)
    async with (
        asyncio.timeout(LIMIT_S),
        redis_client(redis_url, prefix, timeout_s=LIMIT_S, reads=True) as client,
    ):
        payload = await client.get(f"{prefix}:streamer")
    return msgspec.json.decode(payload or b"{}", type=_Report).symbols


class _Loop(asyncio.SelectorEventLoop):
    """Resolves host names in a thread that the process does not wait for at its end: a resolver may take 10 s."""

    async def getaddrinfo(self, *args: Any, **options: Any) -> Any:
        """Resolve a host name."""
        found: concurrent.futures.Future[Any] = concurrent.futures.Future()
        threading.Thread(target=_resolve, args=(found, *args), kwargs=options, daemon=True).start()
        return await asyncio.wrap_future(found)


def _resolve(found: "concurrent.futures.Future[Any]", *args: Any, **options: Any) -> None:
    # Nobody waits for the result any more once the time is up: its future is cancelled and its loop closed.
    with contextlib.suppress(concurrent.futures.InvalidStateError, RuntimeError):
        try:
            found.set_result(socket.getaddrinfo(*args, **options))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)
