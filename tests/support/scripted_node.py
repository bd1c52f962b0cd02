"""A server that speaks just enough RESP for readers and routes, in the test's event loop.

It is a Sentinel, a node of a Cluster and a Redis at once. It answers as scripted, and records what it receives.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import hiredis

Reply = Any
Script = Callable[[list[bytes]], Reply]
NOTHING = object()
"""No reply."""


class Refusal(str):
    """An error reply."""

    __slots__ = ()


class ScriptedNode:
    """One server. It names ``master`` as the master; ROLE answers that it is one if ``is_master``.

    ``answers`` has the reply to each command, or a function of it. ``refusals`` are commands, each with an error reply:
    the first is used up when its command comes.
    """

    def __init__(self, **answers: Script | Reply) -> None:
        self.answers = answers
        self.master = self
        self.replicas: list[ScriptedNode] = []
        self.is_master = True
        self.refusals = deque[tuple[str, str]]()
        self.received: list[list[bytes]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.subscribed: dict[bytes, asyncio.StreamWriter] = {}
        self.port = 0
        self._serving = set[asyncio.Task[Any]]()

    @property
    def commands(self) -> list[str]:
        """The names of the commands received."""
        return [each[0].decode().upper() for each in self.received]

    def push(self, kind: str, channel: str, payload: bytes | int) -> None:
        """Send something to the subscriber of a channel."""
        self.subscribed[channel.encode()].write(encode([kind.encode(), channel.encode(), payload]))

    def cut(self) -> None:
        """End every connection."""
        for writer in self.writers:
            writer.transport.abort()

    async def end(self) -> None:
        """End every connection, and wait until each is served to its end."""
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if task := asyncio.current_task():
            self._serving.add(task)
        self.writers.append(writer)
        parser, link = hiredis.Reader(), _Link(self, writer)
        with contextlib.suppress(OSError):
            while received := await reader.read(65_536):
                parser.feed(received)
                while (command := parser.gets()) is not False:
                    self.received.append(command)
                    writer.write(encode(await link.answer(command)))

    def refuses(self, name: str) -> bool:
        """Whether the next refusal is for this command."""
        return bool(self.refusals) and self.refusals[0][0] == name

    async def answer(self, command: list[bytes]) -> Reply:
        """The answer to a command outside a transaction."""
        name = command[0].decode().upper()
        if self.refuses(name):
            return Refusal(self.refusals.popleft()[1])
        if name in self.answers:
            answer = self.answers[name]
            answer = answer(command) if callable(answer) else answer
            if answer is None and b"BLOCK" in command:
                await asyncio.sleep(int(command[command.index(b"BLOCK") + 1]) / 1000)
            return answer
        words = [word.decode().upper() for word in command[:2]]
        return self._of_topology(words)

    def _of_topology(self, words: list[str]) -> Reply:
        host, port = b"127.0.0.1", str(self.master.port).encode()
        match words:
            case ["ROLE"] if self.is_master:
                return [b"master", 1, [[host, str(each.port).encode(), b"1"] for each in self.replicas]]
            case ["ROLE"]:
                return [b"slave", host, self.master.port, b"connected", 1]
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME"]:
                return [host, port]
            case ["SENTINEL", "SENTINELS"]:
                return []
            case ["CLUSTER", "SLOTS"]:
                return [[0, 16383, [host, self.master.port, str(self.master.port).encode()]]]
            case [_, "MYID"]:
                return str(self.port).encode()
        return "OK" if words[0] in ("CLIENT", "SELECT", "READONLY") else None


class _Link:
    """One connection: what it has subscribed to, and its transaction."""

    def __init__(self, node: ScriptedNode, writer: asyncio.StreamWriter) -> None:
        self._node, self._writer = node, writer
        self._subscribed = self._aborted = False
        self._queued: list[list[bytes]] | None = None

    async def answer(self, command: list[bytes]) -> Reply:
        """The answer to one command."""
        name = command[0].decode().upper()
        if name in ("SUBSCRIBE", "SSUBSCRIBE"):
            self._subscribed = True
            self._node.subscribed.update(dict.fromkeys(command[1:], self._writer))
            for channel in command[1:]:
                self._writer.write(encode([name.lower().encode(), channel, 1]))
            return NOTHING
        if name == "PING" and self._subscribed:
            return [b"pong", b""]
        if name == "MULTI":
            self._queued, self._aborted = [], False
            return "OK"
        if name == "EXEC":
            return await self._execute()
        if self._queued is None or self._node.refuses(name):
            self._aborted = True
            return await self._node.answer(command)
        self._queued.append(command)
        return "QUEUED"

    async def _execute(self) -> Reply:
        queued, self._queued = self._queued or [], None
        if self._aborted:
            return Refusal("EXECABORT Transaction discarded because of previous errors.")
        return [await self._node.answer(each) for each in queued]


def encode(value: Reply) -> bytes:
    """A reply in RESP2."""
    match value:
        case Refusal():
            return b"-%b\r\n" % value.encode()
        case str():
            return b"+%b\r\n" % value.encode()
        case int():
            return b":%d\r\n" % value
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case list() | tuple():
            return b"*%d\r\n" % len(value) + b"".join(map(encode, value))
        case None:
            return b"*-1\r\n"
    return b""


@contextlib.asynccontextmanager
async def scripted_nodes(count: int = 1, **answers: Script | Reply) -> AsyncIterator[list[ScriptedNode]]:
    """That number of servers with the same answers, each of which is a master."""
    nodes = [ScriptedNode(**answers) for _ in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        for node in nodes:
            server = await stack.enter_async_context(await asyncio.start_server(node.serve, "127.0.0.1", 0))
            node.port = server.sockets[0].getsockname()[1]
            stack.push_async_callback(node.end)
        yield nodes
