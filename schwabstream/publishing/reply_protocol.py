"""Requests and replies over a connection that redis-py made, one request at a time, without a task for each reply.

The transport is taken over from redis-py's reader (docs/adr/0003). Does not know what a request means.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection

_READ_BYTES = 64 * 2**10
_QUEUED_FIRST, _QUEUED = b"+OK\r\n", b"+QUEUED\r\n"
Replied = Callable[[list[Any]], None]


# Buffered: asyncio allocates and frees 256 KiB for every read of a protocol that is not, for ten bytes too.
class ReplyProtocol(asyncio.BufferedProtocol):
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
        """Report nothing more; a transaction under way is cut off rather than sent to its end."""
        self._lost = None
        if self._then is not None:
            self._then = None
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the size is ours to choose
        """Where the event loop reads to."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Take in replies; the acknowledgements of queued commands are compared, not parsed."""
        data, expected = bytes(self._space[:nbytes]), self._acknowledgements
        # A transaction of n commands is answered by +OK, n times +QUEUED, and the one reply that counts. Parsing would
        # make a Python object of each +QUEUED, thousands a batch, to throw them all away; that the bytes are those
        # expected is one memcmp. They come in pieces as TCP cuts them: ``_taken`` of them have matched so far.
        if expected:
            left = len(expected) - self._taken
            if not expected.startswith(data[:left], self._taken):
                # A command was refused, or the server pushed something in between. Which one can only be parsed: what
                # matched so far is put back in front, and each acknowledgement counts as a reply that is waited for.
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
        """Report it to redis-py as well: its stream waits for this when it is closed."""
        self._former.connection_lost(error)
        self._end(error or ConnectionResetError("Redis closed the connection"))

    def _end(self, error: Exception) -> None:
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(error)
