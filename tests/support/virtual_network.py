"""A network in memory for virtual time, and processes on it that can be paused, cut off and killed.

A :class:`NetworkLoop` connects its own clients and servers without sockets, so the order of every delivery follows from
the program alone: the same seed plays the same bytes. A process is what was started in its context, with everything
that it started itself.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.support.virtual_link import FIRST_PORT, End, Link, Socket
from tests.support.virtual_time import SocketlessSelector, VirtualLoop

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
class Listener:
    """A server's port; also what ``create_server`` returns."""

    network: "Network"
    port: int
    factory: Callable[[], asyncio.BaseProtocol]
    context: contextvars.Context
    sockets: "list[Socket]" = field(default_factory=list)

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
        listener.sockets.append(Socket(("127.0.0.1", port), ("127.0.0.1", 0)))
        self.listeners[port] = listener
        return listener

    async def connect(self, factory: Callable[[], Any], port: int) -> tuple[End, Any]:
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
        client = End(self, link, factory(), contextvars.copy_context())
        server = End(self, link, listener.factory(), listener.context.copy())
        client.peer, server.peer, client.is_client = server, client, True
        server.context.run(server.get_protocol().connection_made, server)
        client.get_protocol().connection_made(client)
        await asyncio.sleep(0)
        return client, client.get_protocol()


class NetworkLoop(VirtualLoop):
    """A virtual loop whose connections are in memory, and whose callbacks wait while their process is paused."""

    def __init__(self, random_between: Callable[[float, float], float]) -> None:
        self.network = Network(self, random_between)
        super().__init__(SocketlessSelector)

    def call_soon(  # type: ignore[override]  # of any callback
        self, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """As ever, but in its process."""
        context = contextvars.copy_context() if context is None else context
        process = context.get(_process)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        gate = _Gate(process, callback, args, context)
        gate.handle = super().call_soon(gate, context=context)
        return gate.handle

    def call_at(  # type: ignore[override]  # of any callback
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As ever, but in its process."""
        context = contextvars.copy_context() if context is None else context
        process = context.get(_process)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        gate = _Gate(process, callback, args, context)
        handle = super().call_at(when, gate, context=context)
        gate.handle, gate.is_timer = handle, True
        return handle

    def deliver_at(self, when: float, deliver: Callable[[], None], context: contextvars.Context) -> None:
        """Deliver at that time: to a paused process not before it goes on, and then before its timers."""
        super().call_at(when, lambda: self.call_soon(deliver, context=context))

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: str | None = None, port: int | None = None, **_: Any
    ) -> tuple[End, Any]:
        """Connect in memory."""
        assert host == "127.0.0.1", f"no such host on this network: {host}"
        return await self.network.connect(protocol_factory, int(port or 0))

    async def create_server(  # type: ignore[override]  # TCP alone
        self, protocol_factory: Callable[[], Any], _host: str | None = None, port: int | None = None, **_: Any
    ) -> Listener:
        """Listen in memory."""
        return self.network.listen(protocol_factory, int(port or 0))
