"""Packed transactions over one redis-py connection, fenced by a lease when there is one.

Connecting, TLS, AUTH, ACLs and unix sockets are redis-py's; commands are packed and replies are read here, because
redis-py's own command path costs many times what Redis needs to answer (docs/adr/0003). A fenced writer can write only
while the lease names it: the lease is watched, so a transaction that comes too late is discarded by Redis itself.
"""

import asyncio
import contextlib
import os
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from schwabstream.errors import ConfigurationError, LeaseLost, RedisUnavailable

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
_READ_BYTES = 65_536
_QUERY_PASSWORD = re.compile(r"([?&]password=)[^&]*")


@dataclass(frozen=True, slots=True)
class Fence:
    """The lease a writer works under: ``key`` must hold ``holder``, and each transaction renews it for ``life_ms``."""

    key: str
    holder: str
    life_ms: int


def bulk(value: bytes) -> bytes:
    """One argument in Redis's protocol."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def command(*words: str | bytes | int, more: int = 0) -> bytes:
    """The start of a packed command: these words, and ``more`` arguments that the caller appends."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % (len(encoded) + more) + b"".join(map(bulk, encoded))


def redact_url(url: str) -> str:
    """The URL without its password, fit for messages and logs."""
    url = _QUERY_PASSWORD.sub(r"\1***", url)
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return url.replace(parts.netloc, f"{parts.username or ''}:***@{host}", 1)


_MULTI, _EXEC = command("MULTI"), command("EXEC")
_QUEUED_FIRST, _QUEUED = b"+OK\r\n", b"+QUEUED\r\n"


class RedisWriter:
    """One connection to Redis, opened again as often as needed; errors are ``RedisUnavailable`` or ``LeaseLost``.

    ``round_trip_s`` is how long the last transaction took, None before the first.
    """

    def __init__(self, redis_url: str, *, fence: Fence | None = None) -> None:
        self.url = redact_url(redis_url)
        self._fence = fence
        try:
            self._client = Redis.from_url(
                redis_url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=None, retry=Retry(NoBackoff(), 0)
            )
            self._pool: Any = self._client.connection_pool  # Any: redis-py does not annotate its pool
            self._pool.connection_class(**self._pool.connection_kwargs)  # it looks at most options only here
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"REDIS_URL {self.url} cannot be used: {error}") from error
        self._connection: AbstractConnection | None = None
        self._replies = hiredis.Reader()
        self._lease_gone = False
        self.round_trip_s: float | None = None

    async def connect(self) -> None:
        """Reach Redis, and take or confirm the lease."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._connection = await self._pool.get_connection()
                self._replies = hiredis.Reader()
                if self._fence is not None:
                    await self._confirm(self._connection, self._fence)
        except (RedisError, hiredis.HiredisError, OSError, TimeoutError) as error:
            raise RedisUnavailable(
                f"Redis at {self.url} cannot be reached ({cause_of(error)}): start it, correct REDIS_URL, "
                "or run with --redis embedded"
            ) from error

    async def transact(self, commands: list[bytes], count: int) -> list[Any]:
        """Run ``count`` packed commands as one transaction; returns their replies, errors of single ones among them.

        When it raises, either none of the commands was carried out or the connection broke before Redis could say.
        """
        connection, fence = self._connection, self._fence
        if connection is None:
            raise RedisUnavailable(f"no connection to Redis at {self.url}")
        if self._lease_gone:
            raise self._lease_lost()
        packed, extra = b"".join((_MULTI, *commands, _EXEC)), 0
        if fence is not None:
            renew = command("PEXPIRE", fence.key, fence.life_ms)
            packed = b"".join((_MULTI, renew, *commands, _EXEC, *_watched(fence)))
            count, extra = count + 1, 2
        sent_at = time.perf_counter()
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await connection.send_packed_command([packed], check_health=False)
                acknowledged = await self._skip_acknowledgements(connection, count)
                replies = await self._read(connection, 1 + extra if acknowledged else count + 2 + extra)
        except (RedisError, hiredis.HiredisError, OSError, TimeoutError) as error:
            raise RedisUnavailable(f"Redis at {self.url} did not take a batch ({cause_of(error)})") from error
        self.round_trip_s = time.perf_counter() - sent_at
        if fence is not None:
            self._lease_gone = replies[-1] != fence.holder.encode()
        return self._outcome(replies[: len(replies) - extra])[0 if fence is None else 1 :]

    async def disconnect(self) -> None:
        """Let go of the connection; :meth:`connect` makes a new one."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
            await self._pool.release(self._connection)
            self._connection = None

    async def close(self) -> None:
        """Give the lease back if it is still ours, and end."""
        if self._fence is not None and self._connection is not None and not self._lease_gone:
            with contextlib.suppress(RedisUnavailable, LeaseLost):  # then it expires by itself
                await self.transact([command("DEL", self._fence.key)], 1)
        await self.disconnect()
        await self._client.aclose()

    async def _confirm(self, connection: AbstractConnection, fence: Fence) -> None:
        take = command("SET", fence.key, fence.holder, "NX", "PX", fence.life_ms)
        await connection.send_packed_command([b"".join((take, *_watched(fence)))], check_health=False)
        replies = await self._read(connection, 3)
        refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
        if refusals:
            raise RedisUnavailable(f"Redis at {self.url} refused the streamer's lease ({refusals[0]})")
        if replies[2] != fence.holder.encode():
            raise self._lease_lost()

    def _lease_lost(self) -> LeaseLost:
        return LeaseLost("another streamer of this account took over the lease in Redis: this one stops publishing")

    async def _skip_acknowledgements(self, connection: AbstractConnection, count: int) -> bool:
        """Take in Redis's word that MULTI and ``count`` commands are queued; False when it says anything else.

        Thousands of equal replies a batch: one comparison instead of parsing each. What does not belong to them, or is
        not as expected, is left to the parser.
        """
        expected = _QUEUED_FIRST + _QUEUED * count
        taken = 0
        while taken < len(expected):
            received = await self._receive(connection)
            if not expected.startswith(received[: len(expected) - taken], taken):
                self._replies.feed(expected[:taken] + received)
                return False
            self._replies.feed(received[len(expected) - taken :])
            taken += len(received)
        return True

    async def _receive(self, connection: AbstractConnection) -> bytes:
        stream = connection._reader  # private in redis-py, held by a test
        if stream is None:
            raise RedisUnavailable(f"no connection to Redis at {self.url}")
        received = await stream.read(_READ_BYTES)
        if not received:
            raise RedisUnavailable(f"Redis at {self.url} closed the connection")
        return received

    async def _read(self, connection: AbstractConnection, count: int) -> list[Any]:
        reader = self._replies
        replies: list[Any] = []
        while len(replies) < count:
            reply = reader.gets()
            if reply is not False:
                if not isinstance(reply, hiredis.PushNotification):  # news of the server's own, such as maintenance
                    replies.append(reply)
                continue
            reader.feed(await self._receive(connection))
        return replies

    def _outcome(self, replies: list[Any]) -> list[Any]:
        """The replies of EXEC; raises when Redis discarded the transaction."""
        outcome = replies[-1]
        if isinstance(outcome, list):
            return outcome
        if outcome is None:
            if self._lease_gone:
                raise self._lease_lost()
            raise RedisUnavailable(f"Redis at {self.url} discarded a batch")
        refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
        raise RedisUnavailable(f"Redis at {self.url} refused a batch ({refusals[0]})")


def _watched(fence: Fence) -> tuple[bytes, bytes]:
    return command("WATCH", fence.key), command("GET", fence.key)


def cause_of(error: BaseException) -> str:
    """The shortest honest reason: the system's own word where there is one."""
    if isinstance(error, AuthenticationError):
        return "it does not accept the login: check user and password in REDIS_URL"
    origin = error.__cause__ or error.__context__
    if isinstance(origin, ssl.SSLError):
        return f"TLS: {getattr(origin, 'verify_message', '') or origin.reason}"
    if isinstance(origin, socket.gaierror):
        return f"{origin.strerror}"
    if isinstance(origin, OSError) and origin.errno:
        return os.strerror(origin.errno)
    return str(error) or "no answer in time"
