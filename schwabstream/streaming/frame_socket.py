"""A WebSocket whose messages are there the moment their bytes are: no queue, no task that has to wake up for each.

Handshake, proxies, TLS, pings and the closing are the websockets library's. Of what arrives, plain text frames are cut
out here; everything else goes to the library as it came, one whole frame after the other, so that it judges alone what
is allowed and never holds the beginning of what is not its own. Refuses to decode. What this buys: docs/adr/0008.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import Event, State

MAX_FRAME_BYTES = 16 * 2**20
CHUNK_BYTES = 64 * 2**10
"""The most that is read at once, before other tasks get their turn; a larger frame gets more room while it arrives."""
MOST_ODD_FRAMES = 250
"""Frames other than whole texts in one chunk; the library takes 15 to 40 µs for each, while other tasks wait."""
UNSENT_LIMIT = 128 * 2**10
"""Bytes that may wait for a peer which does not read its pongs."""
_HEAD_END = b"\r\n\r\n"
_TEXT = 0x80 | Opcode.TEXT
_HEADER_BYTES = {126: 4, 127: 10}
_OPCODES = frozenset(Opcode)
_NEVER = 2**64  # the length of a masked frame, above any room: a server may send none, the library refuses it


# Buffered, because asyncio allocates 256 KiB for each read of a protocol that is not, even for a frame of 200 bytes.
class FrameSocket(ClientConnection, asyncio.BufferedProtocol):
    """The library's connection with :meth:`listen` in place of ``recv``, which here waits for the end and raises it."""

    limit = MAX_FRAME_BYTES

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self._space = memoryview(bytearray(CHUNK_BYTES))
        self._filled = 0  # of it: the last bytes of an unfinished head, the beginning of an unfinished frame
        self._wanted = 0  # as many must be there to go on
        self._in_head, self._cutting = True, False
        self._fragments: bytearray | None = None
        self._messages: list[bytes] = []
        self._take: Callable[[list[bytes]], None] | None = None
        self._ended: Callable[[], None] | None = None

    def listen(self, take: Callable[[list[bytes]], None], ended: Callable[[], None]) -> None:
        """From now on ``take`` gets the messages of each chunk, in order; what came before at once.

        ``ended`` is called once, when the connection is closing or closed: a peer that says goodbye may leave TCP open.
        Neither may raise.
        """
        self._take, self._ended = take, ended
        self._hand_over()
        if self.state in (State.CLOSING, State.CLOSED):
            self._report_end()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the event loop reads to."""
        if self._filled == len(self._space):
            self._resize(min(2 * self._filled, self._wanted))
        return self._space[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read; the messages in it are handed over before this returns."""
        known, self._filled = self._filled, self._filled + nbytes
        if self._filled < self._wanted and self.state is State.OPEN:
            return
        data = bytes(self._space[: self._filled])
        at = self._pass_head(data, known) if self._in_head else 0
        if self._cutting:
            at = self._cut(data, at)
        elif not self._in_head and at < len(data):
            at = self._leave_to_library(data, at)
        self._keep(at)
        self._hand_over()
        if not self._cutting and not self._in_head:
            self._report_end()

    def data_received(self, data: bytes) -> None:
        """The same, for an event loop that asks for no buffer: uvloop prefers this method where there are both."""
        left = memoryview(data)
        while left:
            space = self.get_buffer(-1)
            size = min(len(space), len(left))
            space[:size] = left[:size]
            self.buffer_updated(size)
            left = left[size:]

    def process_event(self, event: Event) -> None:
        """Put together what comes in fragments; the rest is the library's."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        # Joined at once: a list of the fragments could grow without end while their bytes stay within the limit.
        message = bytearray() if self._fragments is None else self._fragments
        message += event.data
        self._fragments = None if event.fin else message
        if event.fin:
            self._messages.append(bytes(message))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        super().connection_lost(exc)
        self._report_end()

    def _hand_over(self) -> None:
        if self._messages and self._take is not None:
            messages, self._messages = self._messages, []
            self._take(messages)

    def _report_end(self) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended()

    def _pass_head(self, data: bytes, known: int) -> int:
        """Give the library the answer to the handshake as it arrives, and not a byte of what follows it."""
        found = data.find(_HEAD_END)
        end = len(data) if found < 0 else found + len(_HEAD_END)
        super().data_received(data[known:end])
        if found < 0:
            return max(0, end - len(_HEAD_END) + 1)
        self._in_head, self._cutting = False, self.state is State.OPEN
        return end

    def _cut(self, data: bytes, at: int) -> int:
        """Take the plain text frames, give the library the others; returns where an unfinished one begins."""
        size, messages, room, odd = len(data), self._messages, self._room(), 0
        # ``wanted_to`` is how far the bytes must reach for the next step: two bytes of header, the rest of the header,
        # the whole frame. Where they do not, the loop ends, and ``_wanted`` spares us a look until they do.
        while (wanted_to := at + 2) <= size:
            first, length = data[at], data[at + 1]
            # An opcode that does not exist: its length may mean anything, so nothing behind it can be cut out.
            if first != _TEXT and first & 15 not in _OPCODES:
                return self._leave_to_library(data, at)
            # 126 and 127 announce a length of two and eight bytes; the mask bit, 128, makes every other value larger.
            if length > 125:
                wanted_to = at + _HEADER_BYTES.get(length, 2)
                if wanted_to > size:
                    break
                if length == 126:
                    length = data[at + 2] << 8 | data[at + 3]
                else:
                    length = int.from_bytes(data[at + 2 : wanted_to]) if length == 127 else _NEVER
            if length > room:
                return self._leave_to_library(data, at)  # the header is enough for it to fail the connection
            start, wanted_to = wanted_to, wanted_to + length
            if wanted_to > size:
                break
            # A whole text between fragments breaks the protocol; which error that is, is for the library to say.
            if first == _TEXT and self._fragments is None:
                messages.append(data[start:wanted_to])
            else:
                super().data_received(data[at:wanted_to])
                self._limit_flood(odd := odd + 1)
                # It may have been a fragment, which takes of the room, or a close, after which there is none.
                if (room := self._room()) < 0:
                    return self._leave_to_library(data, wanted_to)
            at = wanted_to
        self._wanted = wanted_to - at
        return at

    def _limit_flood(self, odd: int) -> None:
        """Close the connection to a peer that floods it: each such frame costs CPU, each unread pong memory."""
        unsent = self.transport.get_write_buffer_size()
        if (odd > MOST_ODD_FRAMES or unsent > UNSENT_LIMIT) and self.state is State.OPEN:
            why = "too many frames that are not whole texts" if odd > MOST_ODD_FRAMES else "pongs are not read"
            self.protocol.fail(CloseCode.POLICY_VIOLATION, why)

    def _room(self) -> int:
        """How long a frame may be; less than none when nothing more is to be cut out."""
        if self.protocol.state is not State.OPEN:
            return -1
        return self.limit - len(self._fragments or b"")

    def _leave_to_library(self, data: bytes, at: int) -> int:
        self._cutting = False
        super().data_received(data[at:])
        return len(data)

    def _keep(self, at: int) -> None:
        """Forget what has been used; the space is as large as usual again."""
        if at:
            self._space[: self._filled - at] = self._space[at : self._filled]
            self._filled -= at
        if self._filled < CHUNK_BYTES < len(self._space):
            self._resize(CHUNK_BYTES)

    def _resize(self, size: int) -> None:
        space = memoryview(bytearray(size))
        space[: self._filled] = self._space[: self._filled]
        self._space = space
