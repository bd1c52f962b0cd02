"""Packed transactions over one redis-py connection, fenced by a lease when there is one.

Connecting, TLS, AUTH, ACLs and unix sockets are redis-py's; commands are packed and replies are read here, because
redis-py's own command path costs many times what Redis needs to answer (docs/adr/0003). A fenced writer can write only
while its claims hold: they are watched, so Redis itself discards a transaction that comes too late. Claims that lapsed
are taken back, and the transaction is sent again; claims that are another's end the writing (docs/adr/0007).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schwabstream.broker.url import cause_of, connection_pool, redact_url, unavailable
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.publishing.fence import Fence

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
NOTICE_TIMEOUT_S = 0.4
_READ_BYTES = 64 * 2**10


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
_CLAIM_REPLIES = 5


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
        self._held = self._repeated = False
        self._packed, self._queued = b"", 0
        self._claim, self._renewal, self._watch = b"", b"", b""
        self._ours: list[bytes] = []
        if fence is not None:
            self._ours = [fence.holder.encode(), fence.account.encode()]
            keys, life = (fence.key, fence.account_key), fence.life_ms
            self._watch = command("WATCH", *keys) + command("MGET", *keys)
            # Unwatched first: what this connection changes itself would count as changed, too.
            self._claim = command("UNWATCH") + command("SET", fence.account_key, fence.account, "NX", "PX", life)
            self._claim += command("SET", fence.key, fence.holder, "NX", "PX", life) + self._watch
            self._renewal = command("PEXPIRE", fence.key, life)
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
                    self._check_claim(self._fence, await self._link.ask(self._claim, _CLAIM_REPLIES))
        except (RedisError, hiredis.HiredisError, OSError, TimeoutError) as error:
            raise unavailable(self.url, error) from error

    def transact(self, commands: Iterable[bytes], count: int) -> None:
        """Send ``count`` packed commands as one transaction; what comes of it is told to ``replied`` or ``failed``."""
        if self._link is None:
            self._fail(ConnectionError("no connection"))
            return
        self._packed = b"".join((_MULTI, self._renewal, *commands, _EXEC, self._watch))
        self._queued = count + 1 if self._renewal else count
        self._repeated = False
        if self._held or self._fence is None:
            self._send(self._link)
        else:
            self._take_back(self._link)

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

    async def notify(self, publish: Sequence[bytes], record: Sequence[bytes]) -> None:
        """Send notices outside of any batch, on a new connection, when no batch goes through any more.

        ``publish`` and ``record`` have one command for each; nothing is recorded where the claims are another's.
        """
        unanswered = self._sent_at is not None and time.perf_counter() - self._sent_at > NOTICE_TIMEOUT_S
        await self.disconnect()
        if unanswered:
            return
        with contextlib.suppress(RedisError, OSError, TimeoutError, hiredis.HiredisError):  # nobody is left to be told
            async with asyncio.timeout(NOTICE_TIMEOUT_S):
                self._connection = await self._pool.get_connection()
                link = self._link = _Link(self._connection, self._fail)
                if self._fence is None:
                    await link.ask(b"".join((*publish, *record)), len(publish) + len(record))
                    return
                *_, found = await link.ask(b"".join((*publish, self._watch)), len(publish) + 2)
                if isinstance(found, list) and {*found} <= {None, *self._ours}:
                    recording = b"".join((_MULTI, *record, _EXEC, self._watch))
                    *_, found = await link.ask(recording, len(record) + 4)
                self._held = found == self._ours

    async def close(self) -> None:
        """Give the claims back if they are still ours, and end."""
        if self._fence is not None and self._link is not None and self._sent_at is None and self._held:
            give_back = _MULTI + command("DEL", self._fence.key, self._fence.account_key) + _EXEC
            with contextlib.suppress(OSError, TimeoutError, hiredis.HiredisError):  # then they expire by themselves
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await self._link.ask(give_back, 3)
        await self.disconnect()
        await self._pool.disconnect()

    def _send(self, link: "_Link") -> None:
        """Send the transaction at hand."""
        self._sent_at = time.perf_counter()
        link.exchange(self._packed, self._queued, 1 if self._fence is None else 3, self._take)

    def _take(self, replies: list[Any]) -> None:
        """Tell what a transaction's replies mean; what was not acknowledged stands before them."""
        self.round_trip_s = time.perf_counter() - (self._sent_at or 0.0)
        self._sent_at = None
        if self._fence is not None:
            self._held = replies[-1] == self._ours
            del replies[-2:]
        outcome = replies[-1]
        if isinstance(outcome, list):
            self._packed = b""
            self._replied(outcome if self._fence is None else outcome[1:])
        elif outcome is not None:
            refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
            self._fail(RedisUnavailable(f"Redis at {self.url} refused a batch ({refusals[0]})"))
        elif self._link is None or self._repeated:
            self._fail(RedisUnavailable(f"Redis at {self.url} discarded a batch"))
        else:
            self._repeated = True
            self._take_back(self._link)

    def _take_back(self, link: "_Link") -> None:
        """Claim what nobody holds any more, and then send the transaction at hand, of which nothing was carried out."""
        self._sent_at = time.perf_counter()
        link.request(self._claim, _CLAIM_REPLIES, self._taken_back)

    def _taken_back(self, replies: list[Any]) -> None:
        self._sent_at = None
        if self._fence is None or self._link is None:
            return
        try:
            self._check_claim(self._fence, replies)
        except (RedisUnavailable, LeaseLost) as error:
            self._fail(error)
            return
        if any(taken is not None for taken in replies[1:3]):
            log.warning("the lease had lapsed and nobody held it: taken back, nothing is lost")
        self._send(self._link)

    def _check_claim(self, fence: Fence, replies: list[Any]) -> None:
        """Raise what the replies to a claim mean, unless it is ours now."""
        refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
        if refusals:
            raise RedisUnavailable(f"Redis at {self.url} refused the streamer's lease ({refusals[0]})")
        holder, account = (None if each is None else each.decode(errors="replace") for each in replies[-1])
        if holder is None or account is None:
            raise RedisUnavailable(f"Redis at {self.url} keeps no lease at {fence.key}: delete what is stored there")
        if lost := fence.check(holder, account):
            raise lost
        self._held = True

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

    def request(self, packed: bytes, wanted: int, then: Replied) -> None:
        """Send, and give ``then`` the ``wanted`` replies."""
        self._acknowledgements, self._wanted, self._then = b"", wanted, then
        self._transport.write(packed)

    async def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send, and wait for ``count`` replies; raises ``OSError`` when the connection ends first."""
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        lost, self._lost = self._lost, answer.set_exception
        self.request(packed, count, answer.set_result)
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
