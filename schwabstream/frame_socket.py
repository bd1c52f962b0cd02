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
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import Event, State

MAX_FRAME_BYTES = 16 * 2**20
CHUNK_BYTES = 256 * 2**10
"""The most that is read before other tasks get their turn."""
_HEAD_END = b"\r\n\r\n"
_TEXT = 0x80 | Opcode.TEXT
_MASKED = 0x80
_HEADER_BYTES = {126: 4, 127: 10}
_OPCODES = frozenset(Opcode)
_NEVER = 2**64  # the length of a masked frame: a server may send none


# Buffered: asyncio allocates and frees 256 KiB for every read of a protocol that is not, for a frame of 200 bytes too.
class FrameSocket(ClientConnection, asyncio.BufferedProtocol):
    """The library's connection with :meth:`listen` in place of ``recv``, which here waits for the end and raises it."""

    limit = MAX_FRAME_BYTES

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:  # noqa: ANN401 - the library's, unseen
        super().__init__(protocol, **options)
        self._space = memoryview(bytearray(CHUNK_BYTES))
        self._in_head, self._cutting = True, False
        self._rest = bytearray()  # of a head its last bytes; later a frame's beginning, of ``_wanted`` bytes
        self._wanted = 0
        self._fragments: bytearray | None = None
        self._messages: list[bytes] = []
        self._take: Callable[[list[bytes]], None] | None = None
        self._ended: Callable[[], None] | None = None

    def listen(self, take: Callable[[list[bytes]], None], ended: Callable[[], None]) -> None:
        """From now on ``take`` gets the messages of each chunk, in order; what came before at once.

        ``ended`` is called when the connection is closed. Neither may raise.
        """
        self._take, self._ended = take, ended
        self._hand_over()
        if self.state is State.CLOSED:
            ended()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the size is ours to choose
        """Where the event loop reads to."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self.data_received(bytes(self._space[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """One chunk: its messages are handed over before this returns."""
        if self._cutting:
            if self._rest:
                self._rest += data
                if len(self._rest) < self._wanted and self.state is State.OPEN:
                    return
                data = bytes(self._rest)
                self._rest.clear()
            self._cut(data)
        elif self._in_head:
            self._pass_head(data)
        else:
            super().data_received(data)
        self._hand_over()

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
        if self._ended is not None:
            self._ended()

    def _hand_over(self) -> None:
        if self._messages and self._take is not None:
            messages, self._messages = self._messages, []
            self._take(messages)

    def _pass_head(self, data: bytes) -> None:
        """Give the library the answer to the handshake as it arrives, and not a byte of what follows it."""
        known = len(self._rest)
        self._rest += data
        found = self._rest.find(_HEAD_END)
        if found < 0:
            del self._rest[: -len(_HEAD_END) + 1]
            super().data_received(data)
            return
        end = found + len(_HEAD_END) - known
        self._rest.clear()
        self._in_head = False
        super().data_received(data[:end])
        self._cutting = self.state is State.OPEN
        if end < len(data):
            self.data_received(data[end:])

    def _cut(self, data: bytes) -> None:
        """Take the plain text frames of ``data``, give the others to the library, keep the beginning of the last."""
        at, size, messages, room = 0, len(data), self._messages, self._room()
        while (wanted_to := at + 2) <= size:
            first, length = data[at], data[at + 1]
            if length > 125:
                wanted_to = at + _HEADER_BYTES.get(length, 2)
                if wanted_to > size:
                    break
                length = int.from_bytes(data[at + 2 : wanted_to]) if length < _MASKED else _NEVER
            if length > room or (first != _TEXT and first & 15 not in _OPCODES):
                self._leave_to_library(data[at:])  # the header is enough for it to fail the connection
                return
            start, wanted_to = wanted_to, wanted_to + length
            if wanted_to > size:
                break
            if first == _TEXT and self._fragments is None:
                messages.append(data[start:wanted_to])
            else:
                super().data_received(data[at:wanted_to])
                room = self._room()
            at = wanted_to
        self._rest += data[at:]
        self._wanted = wanted_to - at

    def _room(self) -> int:
        """How long a frame may be; nothing is to be cut out any more when it is less than none."""
        if self.state is not State.OPEN:
            return -1
        return self.limit - len(self._fragments or b"")

    def _leave_to_library(self, data: bytes) -> None:
        self._cutting = False
        super().data_received(data)
