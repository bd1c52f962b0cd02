"""Servers that answer a few commands of Redis as a test decides: Sentinels, nodes of a Cluster, masters, replicas.

They run in threads, so that a command line in the same process can use them.
"""

import socketserver
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from schwabstream.broker.url import Address

Words = list[str]
Answer = Callable[[Words], Any]
USUAL: dict[str, Any] = {"CLIENT": "OK", "PING": "PONG", "SELECT": "OK", "READONLY": "OK", "AUTH": "OK"}


class Error(str):
    """An error reply."""

    __slots__ = ()


class RespServer:
    """A server on loopback that sends what ``answer`` returns for each command; ``asked`` holds the commands.

    Texts, numbers, lists and None are encoded, bytes are sent as they are, and ``...`` is no answer at all.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Words] = []
        self.connections = 0
        outer = self

        class Conversation(socketserver.StreamRequestHandler):
            """One connection."""

            def handle(self) -> None:
                outer.connections += 1
                while words := read_command(self.rfile):
                    outer.asked.append(words)
                    reply = outer._reply(words)
                    if reply is not ...:
                        self.wfile.write(encode(reply))

        class Server(socketserver.ThreadingTCPServer):
            """Many connections, which end with the test."""

            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Conversation)
        self.address = Address("127.0.0.1", self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, *words: str) -> int:
        """How often a command that begins with these words was sent."""
        return sum(asked[: len(words)] == list(words) for asked in self.asked)

    def _reply(self, words: Words) -> Any:
        reply = self.answer(words)
        return (
            USUAL.get(words[0].upper(), Error(f"ERR unknown command '{words[0]}'"))
            if reply is NotImplemented
            else reply
        )


def read_command(file: Any) -> Words:
    """The words of the next command; none at the end."""
    try:
        count = int(file.readline()[1:] or 0)
        return [file.read(int(file.readline()[1:]) + 2)[:-2].decode() for _ in range(count)]
    except OSError:
        return []


def encode(value: Any) -> bytes:
    """A reply in RESP2, or a map of RESP3."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, Error):
        return f"-{value}\r\n".encode()
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return f":{value}\r\n".encode()
    if isinstance(value, dict):
        return f"%{len(value)}\r\n".encode() + b"".join(encode(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return f"*{len(value)}\r\n".encode() + b"".join(map(encode, value))
    data = str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def hello(words: Words, mode: str, role: str = "master") -> Any:
    """The reply to HELLO, in the protocol that it asks for."""
    fields = {"server": "redis", "version": "7.0.15", "proto": 3, "mode": mode, "role": role}
    return fields if words[1:2] == ["3"] else [each for pair in fields.items() for each in pair]


def sentinel(master: Callable[[], Any], *, name: str = "mymaster", others: Iterable[Address] = ()) -> Answer:
    """A Sentinel that names the master, under one name; each has an identity of its own."""
    identity = object()

    def answer(words: Words) -> Any:
        match [word.upper() for word in words[:2]]:
            case ["HELLO", *_]:
                return hello(words, "sentinel")
            case ["SENTINEL", "MASTERS"]:
                return [["name", name]]
            case ["SENTINEL", "MYID"]:
                return f"{id(identity):040x}"
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME"]:
                return master() if words[2] == name else None
            case ["SENTINEL", "SENTINELS"]:
                return [["name", str(each), "ip", each.host, "port", str(each.port)] for each in others]
            case ["SENTINEL", "CKQUORUM"]:
                return Error("NOQUORUM 1 usable Sentinels.")
        return NotImplemented

    return answer


def redis(mode: str = "standalone", role: Sequence[Any] = ("master", 0, [])) -> Answer:
    """A single Redis, a master or a replica, without data; ``role`` answers ROLE."""

    def answer(words: Words) -> Any:
        match words[0].upper():
            case "HELLO":
                return hello(words, mode, "master" if role[0] == "master" else "replica")
            case "ROLE":
                return list(role)
            case "GET":
                return None
            case "CLUSTER":
                return Error("ERR This instance has cluster support disabled")
        return NotImplemented

    return answer


def cluster_node(slots: Callable[[], Any], identity: str, role: Sequence[Any] = ("master", 0, [])) -> Answer:
    """A node of a Cluster with its view of who owns which slots."""
    data = redis("cluster", role)

    def answer(words: Words) -> Any:
        match [word.upper() for word in words[:2]]:
            case ["CLUSTER", "SLOTS"]:
                return slots()
            case ["CLUSTER", "MYID"]:
                return identity
        if words[0].upper() in ("GET", "SET", "MGET"):
            return Error("MOVED 10751 127.0.0.1:7003")
        return data(words)

    return answer
