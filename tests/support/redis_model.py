"""A Redis in memory, on virtual time: connections, transactions, pub/sub, blocking reads, and its troubles.

It serves the network of ``virtual_network`` with the data of ``redis_values``. ``digest`` is the hash of every byte
that it received, with its connection and time: two plays of one seed have the same. A failover is the same port
with the data of an earlier moment (:meth:`RedisModel.fail_over`).
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.redis_connection import Client
from tests.support.redis_replies import NO_ARRAY, Pairs, Push
from tests.support.redis_stream_values import reading
from tests.support.redis_streams import Refused, Stream
from tests.support.redis_values import COMMANDS, Data, matches
from tests.support.virtual_network import Listener, Network

QUEUE_ERROR = "EXECABORT Transaction discarded because of previous errors."
REFUSED_FLAGS = {"READONLY": "w", "NOREPLICAS": "w", "MISCONF": "w", "OOM": "m"}
"""Which commands each refusal concerns; any other word, such as LOADING, concerns all commands on data."""
_IMMEDIATE = {b"MULTI": 1, b"EXEC": 1, b"DISCARD": 1, b"WATCH": -2, b"UNWATCH": 1}
_OF_SERVER = {
    b"PING": -1,
    b"HELLO": -1,
    b"AUTH": -2,
    b"CLIENT": -2,
    b"SELECT": 2,
    b"INFO": -1,
    b"ROLE": 1,
    b"CONFIG": -3,
    b"SUBSCRIBE": -2,
    b"UNSUBSCRIBE": -1,
    b"SSUBSCRIBE": -2,
    b"SUNSUBSCRIBE": -1,
    b"PUBLISH": 3,
    b"SPUBLISH": 3,
    b"PUBSUB": -2,
}
_WHILE_SUBSCRIBED = {b"PING", b"SUBSCRIBE", b"UNSUBSCRIBE", b"SSUBSCRIBE", b"SUNSUBSCRIBE"}


class RedisModel:
    """One server: ``start`` it, connect to ``port``.

    ``frozen`` keeps incoming bytes for later. ``refusal`` is the error for the commands that it concerns. With
    ``cut_next_exec`` the next transaction runs and its connection is reset before the answer.
    """

    def __init__(self, network: Network, wall: Callable[[], float], port: int = 6379) -> None:
        self._network, self._wall, self.port = network, wall, port
        self._listener: Listener | None = None
        self.data = Data()
        self.behind: Data | None = None
        self.clients: dict[int, Client] = {}
        self.unsent: list[Client] = []
        self.connections = 0
        self.frozen = False
        self.refusal: str | None = None
        self.cut_next_exec = False
        self._hash = hashlib.sha256()
        self.heard: list[bytes] | None = None
        self.on_command: Callable[[list[list[bytes]], Any], None] = lambda _commands, _replies: None

    # -- life and troubles

    def start(self) -> None:
        """Listen."""
        self._listener = self._network.listen(lambda: Client(self), self.port)

    def stop(self) -> None:
        """Refuse connections, and reset the open ones."""
        if self._listener is not None:
            self._listener.close()
        self.drop_all()

    def drop_all(self) -> None:
        """Reset every connection."""
        for client in list(self.clients.values()):
            client.end()

    def thaw(self) -> None:
        """Go on with what has arrived."""
        self.frozen = False
        for client in list(self.clients.values()):
            client.go_on()

    def cut_off_replica(self) -> None:
        """From now on the replica gets nothing more."""
        self.behind = self.data.copy()

    def fail_over(self) -> None:
        """The replica takes over: the data of the moment when it was cut off, and every connection is reset."""
        self.drop_all()
        self.data, self.behind = self.behind or self.data, None

    @property
    def digest(self) -> str:
        """The hash of all that was received."""
        return self._hash.hexdigest()

    def note(self, client: Client, data: bytes) -> None:
        """Take the bytes into the hash."""
        line = b"%.6f %d %b" % (self._wall(), client.number, data)
        self._hash.update(line)
        if self.heard is not None:
            self.heard.append(line)

    def flush(self) -> None:
        """Send the replies to every client that has some."""
        unsent, self.unsent = self.unsent, []
        for client in unsent:
            client.flush()

    def attach(self, client: Client) -> None:
        """A connection began."""
        self.connections += 1
        client.number = self.connections
        self.clients[client.number] = client

    def detach(self, client: Client) -> None:
        """A connection ended."""
        self.clients.pop(client.number, None)

    # -- commands

    def run(self, client: Client, words: list[bytes]) -> None:
        """Run one command and send its reply."""
        words[0] = words[0].upper()
        self.data.expire(self._now())
        self._spread()
        reply = self._answer(client, words)
        if reply is not self:
            client.send(reply)
        changed = self._spread()
        if any(isinstance(self.data.values.get(key), Stream) for key in changed):
            self._serve_blocked()

    def _spread(self) -> set[bytes]:
        """Note the changed keys for the clients that watch them."""
        touched, self.data.touched = self.data.touched, set()
        if touched:
            for client in self.clients.values():
                client.dirty = client.dirty or not touched.isdisjoint(client.watched)
        return touched

    def _now(self) -> int:
        return int(self._wall() * 1000)

    def _answer(self, client: Client, words: list[bytes]) -> Any:
        name = words[0]
        arity = _IMMEDIATE.get(name) or _OF_SERVER.get(name) or (COMMANDS[name][1] if name in COMMANDS else None)
        error = None
        if arity is None:
            shown = " ".join(f"'{word.decode(errors='replace')}'" for word in words[1:])
            error = f"ERR unknown command '{name.decode(errors='replace')}', with args beginning with: {shown}"
        elif len(words) != arity if arity > 0 else len(words) < -arity:
            error = f"ERR wrong number of arguments for '{name.decode().lower()}' command"
        elif (client.channels or client.shards) and client.protocol == 2 and name not in _WHILE_SUBSCRIBED:
            error = f"ERR Can't execute '{name.decode().lower()}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"  # noqa: E501
        else:
            error = self._refusal_of(client, words)
        if error is not None:
            client.refused = client.refused or client.queue is not None
            return Refused(error)
        if name in _IMMEDIATE:
            return self._transact(client, words)
        if client.queue is not None:
            client.queue.append(words)
            return "QUEUED"
        reply = self._run_one(client, words)
        self.on_command([words], [reply])
        return reply

    def _refusal_of(self, client: Client, words: list[bytes]) -> str | None:
        """The error that the server's state means for a command."""
        if self.refusal is None:
            return None
        flags = REFUSED_FLAGS.get(self.refusal.partition(" ")[0])
        names = [each[0] for each in client.queue or ()] if words[0] == b"EXEC" else [words[0]]
        concerned = any(name in COMMANDS and (flags is None or flags in COMMANDS[name][2]) for name in names)
        if not concerned or (client.refused and words[0] == b"EXEC"):
            return None
        if words[0] == b"EXEC":
            self._forget_transaction(client)
            return f"EXECABORT Transaction discarded because of: {self.refusal}"
        return self.refusal

    def _transact(self, client: Client, words: list[bytes]) -> Any:
        match words[0], client.queue:
            case b"MULTI", None:
                client.queue = []
                return True
            case b"MULTI", _:
                return Refused("ERR MULTI calls can not be nested")
            case b"WATCH", None:
                client.watched.update(words[1:])
                return True
            case b"WATCH", _:
                return Refused("ERR WATCH inside MULTI is not allowed")
            case b"UNWATCH", None:
                client.watched, client.dirty = set(), False
                return True
            case b"UNWATCH", list():
                client.queue.append(words)
                return "QUEUED"
            case name, None:
                return Refused(f"ERR {name.decode()} without MULTI")
            case b"DISCARD", _:
                self._forget_transaction(client)
                return True
            case _, queue:
                return self._execute(client, queue or [])

    def _forget_transaction(self, client: Client) -> None:
        client.queue, client.refused, client.watched, client.dirty = None, False, set(), False

    def _execute(self, client: Client, queue: list[list[bytes]]) -> Any:
        refused, dirty = client.refused, client.dirty
        self._forget_transaction(client)
        if refused:
            return Refused(QUEUE_ERROR)
        if dirty:
            return NO_ARRAY
        replies = [True if words[0] == b"UNWATCH" else self._run_one(client, words, waits=False) for words in queue]
        self.on_command(queue, replies)
        if self.cut_next_exec and any(words[0] == b"XADD" for words in queue):
            self.cut_next_exec = False
            client.end()
        return replies

    def _run_one(self, client: Client, words: list[bytes], *, waits: bool = True) -> Any:
        if words[0] in _OF_SERVER:
            return self._serve(client, words[0], words[1:])
        try:
            reply = COMMANDS[words[0]][0](self.data, self._now(), *words[1:])
        except Refused as error:
            return error
        except TypeError:
            return Refused(f"ERR wrong number of arguments for '{words[0].decode().lower()}' command")
        if words[0] not in (b"XREAD", b"XREADGROUP"):
            return reply
        if reply is not None:
            return Pairs(reply)
        block = reading(tuple(words[1:] if words[0] == b"XREAD" else words[4:]))[1]
        if block is None or not waits:
            return NO_ARRAY
        self._block(client, words, block)
        return self

    # -- blocking reads

    def _block(self, client: Client, words: list[bytes], ms: int) -> None:
        half = (len(words) - words.index(next(word for word in words if word.upper() == b"STREAMS")) - 1) // 2
        keys, ids = words[-2 * half : -half], words[-half:]
        for index, (key, each) in enumerate(zip(keys, ids, strict=True)):
            if each == b"$":
                stream = self.data.get(key, Stream)
                words[len(words) - half + index] = b"%d-%d" % (stream.last if stream else (0, 0))
        timer = asyncio.get_running_loop().call_later(ms / 1000, self._give_up, client) if ms else None
        client.blocked = (words, timer)

    def _give_up(self, client: Client) -> None:
        if self.frozen:
            asyncio.get_running_loop().call_later(0.01, self._give_up, client)
        elif client.blocked is not None:
            client.unblock()
            client.send(NO_ARRAY)
            client.go_on()

    def _serve_blocked(self) -> None:
        for client in [each for each in self.clients.values() if each.blocked is not None]:
            words = client.blocked[0] if client.blocked else []
            reply = self._run_one(client, words, waits=False)
            if reply is not NO_ARRAY:
                client.unblock()
                client.send(reply)
                asyncio.get_running_loop().call_soon(client.go_on)

    # -- the server and pub/sub

    def _serve(self, client: Client, name: bytes, words: list[bytes]) -> Any:
        match name:
            case b"PING" if (client.channels or client.shards) and client.protocol == 2:
                return [b"pong", words[0] if words else b""]
            case b"PING":
                return words[0] if words else "PONG"
            case b"HELLO":
                return self._hello(client, words)
            case b"INFO":
                return b"# Keyspace\r\ndb0:keys=%d,expires=0,avg_ttl=0\r\n" % len(self.data.values)
            case b"ROLE":
                return [b"master", 0, []]
            case b"CONFIG":
                return {}
            case b"PUBLISH" | b"SPUBLISH":
                return self._publish(name == b"SPUBLISH", *words)
            case b"PUBSUB":
                return self._pubsub(words)
            case b"AUTH" | b"CLIENT" | b"SELECT":
                return True
        return self._subscribe(client, name, words)

    def _hello(self, client: Client, words: list[bytes]) -> Any:
        about: dict[bytes, Any]
        if words and words[0] not in (b"2", b"3"):
            return Refused("NOPROTO unsupported protocol version")
        client.protocol = int(words[0]) if words else client.protocol
        about = {b"server": b"redis", b"version": b"7.0.15", b"proto": client.protocol, b"id": client.number}
        return about | {b"mode": b"standalone", b"role": b"master", b"modules": []}

    def _publish(self, sharded: bool, channel: bytes, payload: bytes) -> int:
        heard = 0
        for each in self.clients.values():
            if channel in (each.shards if sharded else each.channels):
                each.send(Push([b"smessage" if sharded else b"message", channel, payload]))
                heard += 1
        return heard

    def _pubsub(self, words: list[bytes]) -> Any:
        kind, sharded = words[0].upper(), words[0].upper().startswith(b"SHARD")
        names = dict.fromkeys(
            name for each in self.clients.values() for name in (each.shards if sharded else each.channels)
        )
        if kind.endswith(b"NUMSUB"):
            return [part for name in words[1:] for part in (name, self._listeners(name, sharded=sharded))]
        return [name for name in names if len(words) == 1 or matches(words[1], name)]

    def _listeners(self, name: bytes, *, sharded: bool) -> int:
        return sum(name in (each.shards if sharded else each.channels) for each in self.clients.values())

    def _subscribe(self, client: Client, name: bytes, words: list[bytes]) -> "RedisModel":
        names = client.shards if name in (b"SSUBSCRIBE", b"SUNSUBSCRIBE") else client.channels
        for reply in self._changed(names, name, words):
            client.send(reply)
        return self

    def _changed(self, names: dict[bytes, None], name: bytes, words: list[bytes]) -> Iterator[Push]:
        if not words and not names:
            yield Push([name.lower(), None, 0])
        for word in words or [*names]:
            if b"UNSUB" in name:
                names.pop(word, None)
            else:
                names[word] = None
            yield Push([name.lower(), word, len(names)])
