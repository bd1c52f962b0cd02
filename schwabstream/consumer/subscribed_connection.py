"""One connection in subscribed state, which yields replies in whole batches. Used once: ``subscription`` reconnects."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from schwabstream.broker.client import RoutedPool, address_of, heed_cancellation
from schwabstream.broker.url import Address

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

_READ_BYTES = 65_536
_CONFIRMATION = (b"subscribe", b"ssubscribe")


class SubscribedConnection:
    """One connection in subscribed state. redis-py opens it; this class reads the replies, in whole batches.

    A message of 400 bytes costs 1.2 µs of CPU this way, 6 µs with ``PubSub.parse_response`` and 18 µs with
    ``PubSub.get_message`` (redis-py 8.1 with hiredis), which is more than everything else costs (docs/adr/0003).
    """

    def __init__(self, pool: RoutedPool, probe_after_s: float) -> None:
        self._pool, self._probe_after_s = pool, probe_after_s
        self._connection: AbstractConnection | None = None
        self._parser = hiredis.Reader()
        self._confirmed: list[list[Any]] = []
        self._left = ""
        self.is_drained = True
        """Whether the last read took everything that had arrived."""

    async def open(self, subscriptions: Mapping[str, Collection[bytes]]) -> None:
        """Connect and subscribe to channels, by command; returns once Redis has confirmed every channel."""
        connection = self._connection = await self._pool.get_connection()
        for command, channels in subscriptions.items():
            await connection.send_command(command, *channels)
        heed_cancellation()
        count = sum(map(len, subscriptions.values()))
        while sum(reply[0] in _CONFIRMATION for reply in self._confirmed) < count:
            self._confirmed += await self._receive()

    def leads_to(self) -> Address | None:
        """Where the connection leads; None while it is closed."""
        return address_of(self._connection)

    def leave(self, reason: str) -> None:
        """Make the reader fail with this reason, as if Redis had closed the connection."""
        if stream := self._stream():
            self._left = reason
            stream.feed_eof()

    async def earlier_replies(self) -> list[list[Any]]:
        """The replies so far, including every message that was published before this call."""
        await self._ping()
        replies, self._confirmed = self._confirmed, []
        while not any(reply[0] == b"pong" for reply in replies):
            replies += await self._receive()
        return replies

    async def replies(self) -> list[list[Any]]:
        """Return the incoming replies, at least one; probe a silent connection and raise OSError when it is dead."""
        try:
            async with asyncio.timeout(self._probe_after_s):
                return await self._receive()
        except TimeoutError:
            await self._ping()
            async with asyncio.timeout(self._probe_after_s):
                return await self._receive()

    async def close(self) -> None:
        """Close the connection, also a broken one."""
        if self._connection is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)
            await self._pool.release(self._connection)
            self._connection = None

    async def _ping(self) -> None:
        if self._connection is not None:
            await self._connection.send_command("PING", check_health=False)
            heed_cancellation()

    def _stream(self) -> asyncio.StreamReader | None:
        return None if self._connection is None else self._connection._reader  # checked by a test (docs/adr/0003)

    async def _receive(self) -> list[list[Any]]:
        stream = self._stream()
        replies: list[list[Any]] = []
        while not replies:
            received = await stream.read(_READ_BYTES) if stream else b""
            self.is_drained = len(received) < _READ_BYTES
            if not received:
                raise ConnectionResetError(self._left or "Redis closed the connection")
            self._parser.feed(received)
            while (reply := self._parser.gets()) is not False:
                if isinstance(reply, hiredis.ReplyError):
                    raise _error_of(str(reply))
                replies.append(reply)
        return replies


def _error_of(message: str) -> RedisError:
    """The error of redis-py for an error reply."""
    kind, _, text = message.partition(" ")
    return NoPermissionError(text) if kind == "NOPERM" else ResponseError(message)
