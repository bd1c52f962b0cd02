"""A WebSocket that delivers messages in the callback that reads their bytes, without a queue or a task.

The websockets library handles the handshake, proxies, TLS, pings and closing. This module cuts unfragmented text
frames out of the incoming bytes. All other frames go to the library unchanged, one whole frame at a time: it alone
decides what is valid, and never buffers a part of a frame that belongs here. Does not decode messages. Reasons:
docs/adr/0008.
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
"""The most bytes of one read, after which other tasks run; the buffer grows for a larger frame."""
MOST_ODD_FRAMES = 250
"""The most frames for the library in one chunk; it takes 15 to 40 µs for each, while other tasks wait."""
UNSENT_LIMIT = 128 * 2**10
"""The most unsent bytes for a peer that does not read its pongs."""
_HEAD_END = b"\r\n\r\n"
_TEXT = 0x80 | Opcode.TEXT
_HEADER_BYTES = {126: 4, 127: 10}
_OPCODES = frozenset(Opcode)
_NEVER = 2**64  # the length of a masked frame, above any room: the library rejects it


# A BufferedProtocol because asyncio allocates 256 KiB for each read of any other, even for a frame of 200 bytes.
class FrameSocket(ClientConnection, asyncio.BufferedProtocol):
    """The library's connection with :meth:`listen`; ``recv`` only waits for the end and raises it."""

    limit = MAX_FRAME_BYTES

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        self._space = memoryview(bytearray(CHUNK_BYTES))
        self._filled = 0  # bytes in use: an unfinished handshake, or the beginning of an unfinished frame
        self._needed = 0  # bytes that the next step needs
        self._in_head, self._cutting = True, False
        self._fragments: bytearray | None = None
        self._messages: list[bytes] = []
        self._take: Callable[[list[bytes]], None] | None = None
        self._ended: Callable[[], None] | None = None

    def listen(self, take: Callable[[list[bytes]], None], ended: Callable[[], None]) -> None:
        """Call ``take`` with the messages of each chunk, in order, at first with all earlier messages.

        ``ended`` is called once, when the connection is closing or closed: after a close frame, TCP may stay open.
        Neither may raise.
        """
        self._take, self._ended = take, ended
        self._hand_over()
        if self.state in (State.CLOSING, State.CLOSED):
            self._report_end()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return the buffer that the event loop reads into."""
        if self._filled == len(self._space):
            self._resize(min(2 * self._filled, self._needed))
        return self._space[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Accept ``nbytes`` read into the buffer; delivers their messages before it returns."""
        before, self._filled = self._filled, self._filled + nbytes
        if self._filled < self._needed and self.state is State.OPEN:
            return
        data = bytes(self._space[: self._filled])
        at = self._pass_head(data, before) if self._in_head else 0
        if self._cutting:
            at = self._cut(data, at)
        elif not self._in_head and at < len(data):
            at = self._leave_to_library(data, at)
        self._keep(at)
        self._hand_over()
        if not self._cutting and not self._in_head:
            self._report_end()

    def data_received(self, data: bytes) -> None:
        """The same for uvloop, which prefers this method in a protocol that has both."""
        left = memoryview(data)
        while left:
            space = self.get_buffer(-1)
            size = min(len(space), len(left))
            space[:size] = left[:size]
            self.buffer_updated(size)
            left = left[size:]

    def process_event(self, event: Event) -> None:
        """Join fragments into messages; the library handles all other frames."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        # Joined at once, because a list of empty fragments could grow without limit.
        message = bytearray() if self._fragments is None else self._fragments
        message += event.data
        self._fragments = None if event.fin else message
        if event.fin:
            self._messages.append(bytes(message))

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the socket."""
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

    def _pass_head(self, data: bytes, before: int) -> int:
        """Pass the answer to the handshake to the library as it arrives, without the bytes after it."""
        found = data.find(_HEAD_END)
        end = len(data) if found < 0 else found + len(_HEAD_END)
        super().data_received(data[before:end])
        if found < 0:
            return max(0, end - len(_HEAD_END) + 1)
        self._in_head, self._cutting = False, self.state is State.OPEN
        return end

    def _cut(self, data: bytes, at: int) -> int:
        """Take the text frames, and pass the others to the library; returns where an unfinished frame begins."""
        size, messages, room, odd = len(data), self._messages, self._room(), 0
        # ``needed_to`` is where the bytes for the next step end: two bytes of header, the rest of the header, the whole
        # frame. When they are missing the loop ends, and ``_needed`` avoids another look until they have come.
        while (needed_to := at + 2) <= size:
            first, length = data[at], data[at + 1]
            # An unknown opcode: its length may mean anything, so no later frame can be cut out.
            if first != _TEXT and first & 15 not in _OPCODES:
                return self._leave_to_library(data, at)
            # 126 and 127 announce a length of two and eight bytes; the mask bit makes every other value larger.
            if length > 125:
                needed_to = at + _HEADER_BYTES.get(length, 2)
                if needed_to > size:
                    break
                if length == 126:
                    length = data[at + 2] << 8 | data[at + 3]
                else:
                    length = int.from_bytes(data[at + 2 : needed_to]) if length == 127 else _NEVER
            if length > room:
                return self._leave_to_library(data, at)  # the header is enough for the library to fail the connection
            start, needed_to = needed_to, needed_to + length
            if needed_to > size:
                break
            # A text frame between fragments breaks the protocol, and the library raises the error.
            if first == _TEXT and self._fragments is None:
                messages.append(data[start:needed_to])
            else:
                super().data_received(data[at:needed_to])
                self._limit_flood(odd := odd + 1)
                # A fragment takes some of the room, and after a close frame there is none.
                if (room := self._room()) < 0:
                    return self._leave_to_library(data, needed_to)
            at = needed_to
        self._needed = needed_to - at
        return at

    def _limit_flood(self, odd: int) -> None:
        """Close the connection to a peer that floods it: each such frame takes CPU, and each unread pong memory."""
        unsent = self.transport.get_write_buffer_size()
        if (odd > MOST_ODD_FRAMES or unsent > UNSENT_LIMIT) and self.state is State.OPEN:
            why = "too many frames that are not whole texts" if odd > MOST_ODD_FRAMES else "pongs are not read"
            self.protocol.fail(CloseCode.POLICY_VIOLATION, why)

    def _room(self) -> int:
        """The longest acceptable frame; negative when no more frames are cut out."""
        if self.protocol.state is not State.OPEN:
            return -1
        return self.limit - len(self._fragments or b"")

    def _leave_to_library(self, data: bytes, at: int) -> int:
        self._cutting = False
        super().data_received(data[at:])
        return len(data)

    def _keep(self, at: int) -> None:
        """Discard the bytes before ``at``, and shrink the buffer to its usual size."""
        if at:
            self._space[: self._filled - at] = self._space[at : self._filled]
            self._filled -= at
        if self._filled < CHUNK_BYTES < len(self._space):
            self._resize(CHUNK_BYTES)

    def _resize(self, size: int) -> None:
        space = memoryview(bytearray(size))
        space[: self._filled] = self._space[: self._filled]
        self._space = space
