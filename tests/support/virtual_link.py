"""The ways between the programs of a network in memory, and the two ends of each connection on them."""

import asyncio
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from tests.support.virtual_network import Network

SOCKET_BUFFERS = 512 * 2**10
"""The bytes that the kernels of both ends hold for a reader that pauses."""
CHUNK = 64 * 2**10
FIRST_PORT = 40_000


@dataclass(eq=False)
class Link:
    """The way from one process to one server, with what is wrong with it.

    ``held``: nothing passes, and TCP keeps it for later. ``latency_s`` bounds the random delay of each piece.
    """

    refused: bool = False
    held: bool = False
    latency_s: tuple[float, float] = (0.0, 0.0)
    ends: "set[End]" = field(default_factory=set)
    openings: "deque[asyncio.Future[None]]" = field(default_factory=deque)

    def cut(self, *, silently: bool = False) -> None:
        """Reset every connection; ``silently``: only the client's ends, and the server's stay open."""
        for end in sorted(self.ends, key=lambda end: end.number):
            if end.is_client or not silently:
                end.reset()

    def release(self) -> None:
        """Let everything pass that was held."""
        self.held = False
        while self.openings:
            opening = self.openings.popleft()
            if not opening.done():
                opening.set_result(None)
        for end in sorted(self.ends, key=lambda end: end.number):
            end.deliver_soon()


class Socket:
    """What libraries ask of a transport's socket."""

    family = socket.AF_INET

    def __init__(self, own: tuple[str, int], peer: tuple[str, int]) -> None:
        self._own, self._peer = own, peer

    def getsockname(self) -> tuple[str, int]:
        return self._own

    def getpeername(self) -> tuple[str, int]:
        return self._peer

    def setsockopt(self, *_: Any) -> None:
        """Accept every option; a reset needs none here."""

    def fileno(self) -> int:
        return -1


class End(asyncio.Transport):
    """One end of a connection: what its protocol writes arrives at the other end's protocol."""

    def __init__(self, network: "Network", link: Link, protocol: asyncio.BaseProtocol, context: Any) -> None:
        super().__init__()
        self._network, self._link, self._protocol, self.context = network, link, protocol, context
        self.number = network.next_number()
        self.peer: End
        self.is_client = False
        self._incoming: deque[bytes | Exception | None] = deque()
        self._due: deque[float] = deque()
        self._flying_bytes = 0
        self._reading, self._closing, self._lost, self._scheduled = True, False, False, False
        link.ends.add(self)

    # -- what the protocol uses

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        peer, own = ("127.0.0.1", self.peer.number + FIRST_PORT), ("127.0.0.1", self.number + FIRST_PORT)
        match name:
            case "socket":
                return Socket(own, peer)
            case "peername":
                return peer
            case "sockname":
                return own
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.deliver_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore: writing is never paused."""

    def get_write_buffer_size(self) -> int:
        return max(0, self.peer._flying_bytes - SOCKET_BUFFERS)

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._closing:
            self.peer.send(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if not self._closing:
            self.peer.send(None)
            self._lose(None)

    def abort(self) -> None:
        if not self._closing:
            self.peer.send(ConnectionResetError(104, "Connection reset by peer"))
            self._lose(None)

    # -- what the network does

    def reset(self) -> None:
        """End with an error that this end's protocol sees."""
        self._lose(ConnectionResetError(104, "Connection reset by peer"))

    def send(self, piece: bytes | Exception | None) -> None:
        """Take a piece under way to this end: bytes, their end, or a reset."""
        loop, (least, most) = self._network.loop, self._link.latency_s
        delay = least if least == most else self._network.random_between(least, most)
        self._due.append(max(self._due[-1] if self._due else 0.0, loop.time() + delay))
        self._incoming.append(piece)
        self._flying_bytes += len(piece) if isinstance(piece, bytes) else 0
        self.deliver_soon()

    def deliver_soon(self) -> None:
        """Deliver the next piece when it is due, unless it must wait."""
        if self._scheduled or not self._incoming or self._lost or self._link.held or not self._reading:
            return
        self._scheduled = True
        loop = self._network.loop
        if self._due[0] <= loop.time():
            loop.call_soon(self._deliver, context=self.context)
        else:
            loop.deliver_at(self._due[0], self._deliver, self.context)

    def _deliver(self) -> None:
        self._scheduled = False
        if self._link.held or not self._reading or self._lost or not self._incoming:
            return
        piece = self._incoming.popleft()
        self._due.popleft()
        if isinstance(piece, bytes):
            self._flying_bytes -= len(piece)
            self._give(piece)
        elif piece is not None:
            self._lose(piece)
        elif not cast("asyncio.Protocol", self._protocol).eof_received():
            self.close()
        self.deliver_soon()

    def _give(self, data: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            cast("asyncio.Protocol", protocol).data_received(data)
            return
        while data:
            space = memoryview(protocol.get_buffer(-1))
            size = min(len(space), len(data), CHUNK)
            space[:size] = data[:size]
            protocol.buffer_updated(size)
            data = data[size:]

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._closing = self._lost = True
        self._link.ends.discard(self)
        self._incoming.clear()
        self._due.clear()
        self._flying_bytes = 0
        self._network.loop.call_soon(self._protocol.connection_lost, error, context=self.context)
