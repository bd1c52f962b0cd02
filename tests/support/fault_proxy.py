"""A TCP proxy that spoils connections in the ways a network can; the fault suite puts it between streamer and Schwab.

All switches hold for open connections too, from the next bytes on.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Spoil:
    """The faults; times in seconds."""

    refuse: bool = False
    """New connections are reset before a byte went through."""
    drop_after_bytes: int | None = None
    """New connections are cut after this many bytes from the server: in the handshake, or in the login."""
    black_hole: bool = False
    """Bytes of both sides are swallowed; the connection stays."""
    half_open: bool = False
    """When one end goes the other end stays open."""
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Each piece is late by a random time between the two; order is kept."""
    bytes_per_s: float | None = None
    """A slow drip: no more than this in either direction."""


class _End(asyncio.Protocol):
    """One end of a connection through the proxy."""

    def __init__(self, proxy: "FaultProxy", *, is_client: bool) -> None:
        self._proxy = proxy
        self.is_client = is_client
        self.peer: _End | None = None
        self.transport: asyncio.Transport | None = None
        self.early = b""
        self.under_way: deque[bytes] = deque()
        self.due = 0.0
        self.bytes_left = proxy.spoil.drop_after_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; a client's end makes the way to the server first."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._proxy.take_in(self)

    def data_received(self, data: bytes) -> None:
        """Carry on."""
        if self.peer is None:
            self.early += data
        else:
            self._proxy.carry(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the other end, after what is still under way."""
        self.transport = None
        self._proxy.let_go(self)

    def reset(self) -> None:
        """End with RST, at once."""
        if self.transport is not None:
            sock: socket.socket = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def write(self, data: bytes) -> None:
        """Send on, if there is still somebody; nothing is the end."""
        if self.transport is None:
            return
        if data:
            self.transport.write(data)
        else:
            self.transport.close()


class FaultProxy:
    """Listens on ``port`` for clients of ``target_port``, both on loopback; ``spoil`` is what it does to them.

    ``worst_delay_s`` is the longest that any piece was under way.
    """

    def __init__(self, target_port: int, rng: random.Random) -> None:
        self._target_port, self._rng = target_port, rng
        self._ends: set[_End] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._all_gone = asyncio.Event()
        self.spoil = Spoil()
        self.port = 0
        self.connections = 0
        self.worst_delay_s = 0.0

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self, is_client=True), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything and free the port."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.spoil = Spoil()
        self.reset_all()
        if self._ends:
            self._all_gone.clear()
            await self._all_gone.wait()

    def reset_all(self, *, towards_client: bool = True) -> None:
        """Reset every connection, or the server's side of it only; ``half_open`` then keeps it from the client."""
        for end in list(self._ends):
            if towards_client or not end.is_client:
                end.reset()

    def take_in(self, end: _End) -> None:
        """A connection began."""
        self._ends.add(end)
        if not end.is_client:
            return
        self.connections += 1
        if self.spoil.refuse:
            end.reset()
            return
        task = asyncio.ensure_future(self._reach_server(end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reach_server(self, client: _End) -> None:
        loop = asyncio.get_running_loop()
        server = _End(self, is_client=False)
        server.peer = client
        try:
            await loop.create_connection(lambda: server, "127.0.0.1", self._target_port)
        except OSError:
            client.reset()
            return
        client.peer = server
        if client.early:
            self.carry(client, client.early)
        if client.transport is None:
            server.reset()

    def carry(self, end: _End, data: bytes) -> None:
        """Take bytes from one end to the other, as late as the switches say."""
        peer, spoil = end.peer, self.spoil
        if peer is None or spoil.black_hole:
            return
        if not end.is_client and end.bytes_left is not None:
            end.bytes_left -= len(data)
            if end.bytes_left < 0:
                end.reset()
                peer.reset()
                return
        self._deliver(end, peer, data)

    def _deliver(self, end: _End, peer: _End, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = max(end.due, now) if end.due else now
        due = max(due, now + self._rng.uniform(*self.spoil.latency_s))
        if self.spoil.bytes_per_s:
            due += len(data) / self.spoil.bytes_per_s
        end.due = due
        self.worst_delay_s = max(self.worst_delay_s, due - now)
        if due <= now and not end.under_way:
            peer.write(data)
            return
        # In a queue: timers of the same moment run in any order.
        end.under_way.append(data)
        loop.call_at(due, lambda: peer.write(end.under_way.popleft()))

    def let_go(self, end: _End) -> None:
        """One end is gone."""
        self._ends.discard(end)
        if not self._ends:
            self._all_gone.set()
        if end.peer is not None and not self.spoil.half_open:
            self._deliver(end, end.peer, b"")


@contextlib.asynccontextmanager
async def fault_proxy(target_port: int, seed: int = 0) -> AsyncIterator[FaultProxy]:
    """A proxy that listens for the length of the block."""
    proxy = FaultProxy(target_port, random.Random(seed))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
