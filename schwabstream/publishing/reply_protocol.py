"""Sends one request at a time over a connection that redis-py opened, and reads the replies without a task.

It takes the transport over from redis-py's reader (docs/adr/0003). Does not interpret requests or replies.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection

_READ_BYTES = 64 * 2**10
_QUEUED_FIRST, _QUEUED = b"+OK\r\n", b"+QUEUED\r\n"
Replied = Callable[[list[Any]], None]


# A BufferedProtocol because asyncio allocates and frees 256 KiB for every read of any other protocol.
class ReplyProtocol(asyncio.BufferedProtocol):
    """The requests and replies of one connection; ``lost`` is called once, when the connection ends."""

    def __init__(self, connection: AbstractConnection, lost: Callable[[Exception], None]) -> None:
        stream = connection._writer  # private in redis-py, checked by a test (docs/adr/0003)
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
        """Send a transaction of ``queued`` commands and pass its replies to ``then``.

        These are the ``wanted`` replies after the acknowledgements, or all of them when one is not as expected.
        """
        self._acknowledgements, self._taken = _QUEUED_FIRST + _QUEUED * queued, 0
        self._wanted, self._then = wanted, then
        self._transport.write(packed)

    def request(self, packed: bytes, wanted: int, then: Replied) -> None:
        """Send a request and pass its ``wanted`` replies to ``then``."""
        self._acknowledgements, self._wanted, self._then = b"", wanted, then
        self._transport.write(packed)

    async def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send a request and return its ``count`` replies; raises ``OSError`` when the connection ends."""
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        # The answer, the end of the connection and a cancellation can meet in one turn of the event loop.
        lost, self._lost = self._lost, lambda error: None if answer.done() else answer.set_exception(error)
        self.request(packed, count, lambda replies: None if answer.done() else answer.set_result(replies))
        try:
            replies = await answer
        finally:
            self._lost, self._then = lost, None
        if self._transport.is_closing():
            raise ConnectionResetError("Redis closed the connection")
        return replies

    def release(self) -> None:
        """Report nothing more; abort the connection if a request is not yet answered."""
        self._lost = None
        if self._then is not None:
            self._then = None
            self._transport.abort()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return the buffer that the event loop reads into."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """Read replies; compare the acknowledgements of queued commands instead of parsing them."""
        data, expected = bytes(self._space[:nbytes]), self._acknowledgements
        # Redis answers a transaction of n commands with +OK, n times +QUEUED, and the one reply that counts. Parsing
        # would create a Python object for each +QUEUED, thousands a batch, only to discard it; comparing the bytes is
        # one memcmp. TCP may deliver them in pieces: ``_taken`` bytes have matched so far.
        if expected:
            left = len(expected) - self._taken
            if not expected.startswith(data[:left], self._taken):
                # Redis refused a command or pushed a message in between, and only parsing shows which. Put the matched
                # bytes back in front and count each acknowledgement as an expected reply.
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
                if not isinstance(reply, hiredis.PushNotification):  # a message that Redis sends unasked
                    self._replies.append(reply)
        except hiredis.HiredisError as error:
            self._end(error)
            return
        if self._then is not None and len(self._replies) >= self._wanted:
            then, replies = self._then, self._replies
            self._then, self._replies = None, []
            then(replies)

    def connection_lost(self, error: Exception | None) -> None:
        """Report the end to redis-py as well: closing its stream waits for this."""
        self._former.connection_lost(error)
        self._end(error or ConnectionResetError("Redis closed the connection"))

    def _end(self, error: Exception) -> None:
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(error)
