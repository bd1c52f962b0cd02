"""A network in memory for virtual time, and processes on it that can be paused, cut off and killed.

A :class:`NetworkLoop` connects its own clients and servers without sockets, so the order of every delivery follows from
the program alone: the same seed plays the same bytes. A process is what was started in its context, with everything
that it started itself.
"""

import asyncio
import contextvars
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

from tests.support.virtual_time import VirtualLoop

SOCKET_BUFFERS = 512 * 2**10
"""The bytes that the kernels of both ends hold for a reader that pauses."""
CHUNK = 64 * 2**10
FIRST_PORT = 40_000

_process: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class _Gate:
    """A callback that waits while its process is paused, unless it is cancelled meanwhile."""

    __slots__ = ("args", "callback", "context", "handle", "is_timer", "process")

    def __init__(self, process: "Process", callback: Callable[..., object], args: Any, context: Any) -> None:
        self.process, self.callback, self.args, self.context = process, callback, args, context
        self.handle: asyncio.Handle | None = None
        self.is_timer = False

    def __call__(self) -> None:
        if self.process.paused:
            self.process.waiting.append(self)
        elif self.handle is None or not self.handle.cancelled():
            self.callback(*self.args)


@dataclass(eq=False)
class Process:
    """One program; ``links`` are its ways to servers, by port."""

    name: str
    network: "Network"
    paused: bool = False
    alive: bool = True
    waiting: list[_Gate] = field(default_factory=list)
    links: dict[int, "Link"] = field(default_factory=dict)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a coroutine as this process."""
        context = contextvars.copy_context()
        context.run(_process.set, self)
        return asyncio.get_running_loop().create_task(coroutine, name=self.name, context=context)

    def link(self, port: int) -> "Link":
        """The way from this process to the server at that port."""
        return self.links.setdefault(port, Link())

    def pause(self) -> None:
        """Stop, as by SIGSTOP: time goes on."""
        self.paused = True

    def resume(self) -> None:
        """Go on: first with what has arrived, then with the timers that are due, as an event loop does."""
        self.paused = False
        waiting, self.waiting = self.waiting, []
        for gate in sorted(waiting, key=lambda gate: gate.is_timer):
            asyncio.get_running_loop().call_soon(gate, context=gate.context)

    def kill(self, *, silently: bool = False) -> None:
        """End at once, as by SIGKILL: the other ends see a reset, or ``silently`` nothing, as when its host is cut off.

        Its tasks must still be cancelled; whatever they do, nothing gets out.
        """
        self.alive = False
        self.resume()
        for _, link in sorted(self.links.items()):
            link.cut(silently=silently)


@dataclass(eq=False)
class Link:
    """The way from one process to one server, with what is wrong with it.

    ``held``: nothing passes, and TCP keeps it for later. ``latency_s`` bounds the random delay of each piece.
    """

    refused: bool = False
    held: bool = False
    latency_s: tuple[float, float] = (0.0, 0.0)
    ends: "set[_End]" = field(default_factory=set)
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


class _Socket:
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


class _End(asyncio.Transport):
    """One end of a connection: what its protocol writes arrives at the other end's protocol."""

    def __init__(self, network: "Network", link: Link, protocol: asyncio.BaseProtocol, context: Any) -> None:
        super().__init__()
        self._network, self._link, self._protocol, self.context = network, link, protocol, context
        self.number = network.next_number()
        self.peer: _End
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
                return _Socket(own, peer)
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


@dataclass(eq=False)
class Listener:
    """A server's port; also what ``create_server`` returns."""

    network: "Network"
    port: int
    factory: Callable[[], asyncio.BaseProtocol]
    context: contextvars.Context
    sockets: "list[_Socket]" = field(default_factory=list)

    def close(self) -> None:
        """Refuse connections from now on."""
        self.network.listeners.pop(self.port, None)

    async def wait_closed(self) -> None:
        """Return: nothing is left to wait for."""


class Network:
    """All processes and servers of one play."""

    def __init__(self, loop: "NetworkLoop", random_between: Callable[[float, float], float]) -> None:
        self.loop, self.random_between = loop, random_between
        self.listeners: dict[int, Listener] = {}
        self._numbers = 0
        self._nobody = Process("nobody", self)

    def next_number(self) -> int:
        """A number for an end or a port, in the order of creation."""
        self._numbers += 1
        return self._numbers

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], port: int = 0) -> Listener:
        """Open a port; a free one for 0."""
        port = port or FIRST_PORT - self.next_number()
        listener = Listener(self, port, factory, contextvars.copy_context())
        listener.sockets.append(_Socket(("127.0.0.1", port), ("127.0.0.1", 0)))
        self.listeners[port] = listener
        return listener

    async def connect(self, factory: Callable[[], Any], port: int) -> tuple[_End, Any]:
        """Open a connection from the process that asks."""
        process = _process.get() or self._nobody
        link = process.link(port)
        while link.held:
            opening: asyncio.Future[None] = self.loop.create_future()
            link.openings.append(opening)
            await opening
        if link.latency_s[1]:
            await asyncio.sleep(link.latency_s[1])
        listener = self.listeners.get(port)
        if listener is None or link.refused or not process.alive:
            raise ConnectionRefusedError(111, "Connection refused")
        client = _End(self, link, factory(), contextvars.copy_context())
        server = _End(self, link, listener.factory(), listener.context.copy())
        client.peer, server.peer, client.is_client = server, client, True
        server.context.run(server.get_protocol().connection_made, server)
        client.get_protocol().connection_made(client)
        await asyncio.sleep(0)
        return client, client.get_protocol()


class NetworkLoop(VirtualLoop):
    """A virtual loop whose connections are in memory, and whose callbacks wait while their process is paused."""

    def __init__(self, random_between: Callable[[float, float], float]) -> None:
        self.network = Network(self, random_between)
        super().__init__()

    def call_soon(  # type: ignore[override]  # of any callback
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """As ever, but in its process."""
        process = _process.get() if context is None else context.get(_process)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        gate = _Gate(process, callback, args, context)
        gate.handle = super().call_soon(gate, context=context)
        gate.context = context or contextvars.copy_context()
        return gate.handle

    def call_at(  # type: ignore[override]  # of any callback
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As ever, but in its process."""
        process = _process.get() if context is None else context.get(_process)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        gate = _Gate(process, callback, args, context or contextvars.copy_context())
        handle = super().call_at(when, gate, context=context)
        gate.handle, gate.is_timer = handle, True
        return handle

    def deliver_at(self, when: float, deliver: Callable[[], None], context: contextvars.Context) -> None:
        """Deliver at that time: to a paused process not before it goes on, and then before its timers."""
        super().call_at(when, lambda: self.call_soon(deliver, context=context))

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: str | None = None, port: int | None = None, **_: Any
    ) -> tuple[_End, Any]:
        """Connect in memory."""
        assert host == "127.0.0.1", f"no such host on this network: {host}"
        return await self.network.connect(protocol_factory, int(port or 0))

    async def create_server(  # type: ignore[override]  # TCP alone
        self, protocol_factory: Callable[[], Any], _host: str | None = None, port: int | None = None, **_: Any
    ) -> Listener:
        """Listen in memory."""
        return self.network.listen(protocol_factory, int(port or 0))
