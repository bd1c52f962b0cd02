"""Packed transactions over one redis-py connection, fenced by a lease when there is one.

Connecting, TLS, AUTH, ACLs and unix sockets are redis-py's; commands are packed and replies are read here, because
redis-py's own command path costs many times what Redis needs to answer (docs/adr/0003). A fenced writer can write only
while the lease names it: the lease is watched, so a transaction that comes too late is discarded by Redis itself.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.redis_url import cause_of, connection_pool, redact_url, unavailable

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
_READ_BYTES = 64 * 2**10


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


_MULTI, _EXEC = command("MULTI"), command("EXEC")
_QUEUED_FIRST, _QUEUED = b"+OK\r\n", b"+QUEUED\r\n"
Replied = Callable[[list[Any]], None]
Failed = Callable[[RedisUnavailable | LeaseLost], None]


class RedisWriter:
    """One connection to Redis, opened again as often as needed, with one transaction under way at a time.

    ``replied`` gets the replies of each transaction, errors of single commands among them. ``failed`` is told once
    when the connection is of no use any more: what is under way then was either not carried out, or the connection
    broke before Redis could say. ``round_trip_s`` is how long the last transaction took, None before the first.
    """

    def __init__(self, redis_url: str, replied: Replied, failed: Failed, *, fence: Fence | None = None) -> None:
        self.url = redact_url(redis_url)
        self._replied, self._failed, self._fence = replied, failed, fence
        self._pool = connection_pool(
            redis_url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=None, retry=Retry(NoBackoff(), 0)
        )
        self._connection: AbstractConnection | None = None
        self._link: _Link | None = None
        self._lease_gone = False
        self._renewal, self._rewatch = b"", b""
        if fence is not None:
            self._renewal = command("PEXPIRE", fence.key, fence.life_ms)
            self._rewatch = command("WATCH", fence.key) + command("GET", fence.key)
        self._sent_at: float | None = None
        self.round_trip_s: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a transaction is under way."""
        return self._sent_at is not None

    async def connect(self) -> None:
        """Reach Redis, and take or confirm the lease; raises ``RedisUnavailable`` or ``LeaseLost``."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._connection = await self._pool.get_connection()
                self._link = _Link(self._connection, self._fail)
                if self._fence is not None:
                    await self._confirm(self._link, self._fence)
        except (RedisError, hiredis.HiredisError, OSError, TimeoutError) as error:
            raise unavailable(self.url, error) from error

    def transact(self, commands: Iterable[bytes], count: int) -> None:
        """Send ``count`` packed commands as one transaction; what comes of it is told to ``replied`` or ``failed``."""
        if self._link is None or self._lease_gone:
            self._fail(self._lease_lost() if self._lease_gone else ConnectionError("no connection"))
            return
        self._sent_at = time.perf_counter()
        fenced = self._fence is not None
        packed = b"".join((_MULTI, self._renewal, *commands, _EXEC, self._rewatch))
        self._link.exchange(packed, count + 1 if fenced else count, 3 if fenced else 1, self._take)

    def check(self) -> None:
        """Fail when Redis has left the transaction under way without an answer for too long."""
        if self._sent_at is not None and time.perf_counter() - self._sent_at > REPLY_TIMEOUT_S:
            self._fail(TimeoutError())

    async def disconnect(self) -> None:
        """Let go of the connection; :meth:`connect` makes a new one."""
        self._sent_at = None
        if self._link is not None:
            self._link.release()
            self._link = None
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
            await self._pool.release(self._connection)
            self._connection = None

    async def close(self) -> None:
        """Give the lease back if it is still ours, and end."""
        if self._fence is not None and self._link is not None and self._sent_at is None and not self._lease_gone:
            give_back = _MULTI + command("DEL", self._fence.key) + _EXEC
            with contextlib.suppress(OSError, TimeoutError, hiredis.HiredisError):  # then it expires by itself
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await self._link.ask(give_back, 3)
        await self.disconnect()
        await self._pool.disconnect()

    async def _confirm(self, link: "_Link", fence: Fence) -> None:
        take = command("SET", fence.key, fence.holder, "NX", "PX", fence.life_ms)
        replies = await link.ask(take + self._rewatch, 3)
        refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
        if refusals:
            raise RedisUnavailable(f"Redis at {self.url} refused the streamer's lease ({refusals[0]})")
        if replies[2] != fence.holder.encode():
            raise self._lease_lost()

    def _lease_lost(self) -> LeaseLost:
        return LeaseLost("another streamer of this account took over the lease in Redis: this one stops publishing")

    def _take(self, replies: list[Any]) -> None:
        """Tell what a transaction's replies mean; what was not acknowledged stands before them."""
        self.round_trip_s = time.perf_counter() - (self._sent_at or 0.0)
        self._sent_at = None
        if self._fence is not None:
            self._lease_gone = replies[-1] != self._fence.holder.encode()
            del replies[-2:]
        outcome = replies[-1]
        if isinstance(outcome, list):
            self._replied(outcome[1:] if self._fence is not None else outcome)
        elif outcome is None and self._lease_gone:
            self._fail(self._lease_lost())
        elif outcome is None:
            self._fail(RedisUnavailable(f"Redis at {self.url} discarded a batch"))
        else:
            refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
            self._fail(RedisUnavailable(f"Redis at {self.url} refused a batch ({refusals[0]})"))

    def _fail(self, error: Exception) -> None:
        """Tell the end of this connection once, in our own exceptions."""
        self._sent_at = None
        if self._link is not None:
            self._link.release()
            self._link = None
        if not isinstance(error, RedisUnavailable | LeaseLost):
            cause = error
            error = RedisUnavailable(f"the connection to Redis at {self.url} broke ({cause_of(cause)})")
            error.__cause__ = cause
        self._failed(error)


# Buffered: asyncio allocates and frees 256 KiB for every read of a protocol that is not, for ten bytes too.
class _Link(asyncio.BufferedProtocol):
    """What Redis answers on a connection that redis-py made: its transport is taken over from redis-py's reader."""

    def __init__(self, connection: AbstractConnection, lost: Callable[[Exception], None]) -> None:
        stream = connection._writer  # private in redis-py, held by a test (docs/adr/0003)
        if stream is None:
            raise ConnectionError("no connection")
        self._lost: Callable[[Exception], None] | None = lost
        self._transport = stream.transport
        self._former = self._transport.get_protocol()
        self._space = memoryview(bytearray(_READ_BYTES))
        self._transport.set_protocol(self)
        self._reader = hiredis.Reader()
        self._replies: list[Any] = []
        self._acknowledgements, self._taken = b"", 0
        self._wanted = 0
        self._then: Replied | None = None

    def exchange(self, packed: bytes, queued: int, wanted: int, then: Replied) -> None:
        """Send, and give ``then`` the replies: ``wanted`` after those to MULTI and ``queued`` commands, or all."""
        self._acknowledgements, self._taken = _QUEUED_FIRST + _QUEUED * queued, 0
        self._wanted, self._then = wanted, then
        self._transport.write(packed)

    async def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send, and wait for ``count`` replies; raises ``OSError`` when the connection ends first."""
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        lost, self._lost = self._lost, answer.set_exception
        self._acknowledgements, self._wanted, self._then = b"", count, answer.set_result
        self._transport.write(packed)
        try:
            return await answer
        finally:
            self._lost, self._then = lost, None

    def release(self) -> None:
        """Tell nothing more; a transaction under way is cut off rather than sent to its end."""
        self._lost = None
        if self._then is not None:
            self._then = None
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the size is ours to choose
        """Where the event loop reads to."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Take in replies; the word that commands are queued, equal thousands of times, is compared, not parsed."""
        data, expected = bytes(self._space[:nbytes]), self._acknowledgements
        if expected:
            left = len(expected) - self._taken
            if not expected.startswith(data[:left], self._taken):
                data = expected[: self._taken] + data
                self._wanted += expected.count(b"\n")
            elif len(data) < left:
                self._taken += len(data)
                return
            else:
                data = data[left:]
            self._acknowledgements = b""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if not isinstance(reply, hiredis.PushNotification):  # news of the server's own, such as maintenance
                    self._replies.append(reply)
        except hiredis.HiredisError as error:
            self._end(error)
            return
        if self._then is not None and len(self._replies) >= self._wanted:
            then, replies = self._then, self._replies
            self._then, self._replies = None, []
            then(replies)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell redis-py too: its stream waits for this when it is closed."""
        self._former.connection_lost(error)
        self._end(error or ConnectionResetError("Redis closed the connection"))

    def _end(self, error: Exception) -> None:
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(error)
