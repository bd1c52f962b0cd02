"""The Redis model answers as Redis does: seeded random commands go to both, and the replies are compared."""

import contextlib
import random
import socket
from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from schwabstream.publishing.packing import command
from tests.conftest import RedisServer
from tests.support.redis_connection import Client
from tests.support.redis_model import RedisModel
from tests.support.virtual_network import NetworkLoop

SEQUENCES, COMMANDS = 6, 150
NOT_COMPARED = {b"radix-tree-keys", b"radix-tree-nodes"}
Words = tuple[str | int, ...]
Make = Callable[[random.Random], Words]

KEYS = ("a", "b", "c")
MEMBERS = ("x", "y", "z")
SCORES = ("1", "2.5", "-3", "inf", "0")
GROUPS = ("g", "h")
_CHANNELS = {each.encode() for each in MEMBERS}


def _one(*choices: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(choices)


def _id(rng: random.Random) -> str:
    return rng.choice((f"{rng.randrange(12)}-{rng.randrange(4)}", str(rng.randrange(12)), "0", "5-5"))


def _words(*parts: str | int | Callable[[random.Random], str]) -> Make:
    return lambda rng: tuple(part(rng) if callable(part) else part for part in parts)


KEY, MEMBER, SCORE, GROUP = _one(*KEYS), _one(*MEMBERS), _one(*SCORES), _one(*GROUPS)
STREAM = _one("s", "s", "s", "t", "t", "a")
COUNT = _one("1", "2", "5")
CONSUMER = _one("c1", "c2")
MAKES: dict[str, list[Make]] = {
    "strings": [
        _words("SET", KEY, MEMBER),
        _words("SET", KEY, MEMBER, "NX", "PX", 60_000),
        _words("SET", KEY, MEMBER, "PX", _one("0", "x", "50000")),
        _words("SET", KEY, SCORE, "XX"),
        _words("GET", KEY),
        _words("GET"),
        _words("MGET", KEY, KEY, "s"),
        _words("INCRBY", KEY, _one("1", "-2", "x")),
        _words("DEL", KEY, KEY),
        _words("EXISTS", KEY, KEY),
        _words("PEXPIRE", KEY, _one("-1", "60000", "x")),
        _words("NONSENSE", KEY),
    ],
    "hashes and sets": [
        _words("HSET", KEY, MEMBER, SCORE),
        _words("HSET", KEY, MEMBER, SCORE, MEMBER),
        _words("HGETALL", KEY),
        _words("HVALS", KEY),
        _words("HMGET", KEY, MEMBER, MEMBER),
        _words("ZADD", KEY, SCORE, MEMBER),
        _words("ZADD", KEY, "GT", SCORE, MEMBER, SCORE, MEMBER),
        _words("ZADD", KEY, "XX", "GT", SCORE, MEMBER),
        _words("ZADD", KEY, _one("GT", "x"), MEMBER),
        _words("ZREM", KEY, MEMBER),
        _words("ZMSCORE", KEY, MEMBER, MEMBER),
        _words("ZRANGEBYSCORE", KEY, _one("-inf", "(1", "2.5", "+inf", "y"), "+inf", "LIMIT", 0, COUNT),
        _words("ZREVRANGEBYSCORE", KEY, _one("(+inf", "+inf", "2"), _one("(0", "-inf"), "LIMIT", 0, 5),
        _words("ZREMRANGEBYSCORE", KEY, "-inf", SCORE),
        _words("DEL", KEY),
    ],
    "streams": [
        _words("XADD", STREAM, _id, "symbol", MEMBER, "event", SCORE),
        _words("XADD", STREAM, "MAXLEN", "~", 100, _id, "symbol", MEMBER),
        _words("XADD", STREAM, "MAXLEN", COUNT, _id, "symbol", MEMBER),
        _words("XADD", STREAM, "MINID", _id, _id, "symbol", MEMBER),
        _words("XADD", STREAM, _id, "symbol"),
        _words("XTRIM", STREAM, "MINID", _id),
        _words("XTRIM", STREAM, "MAXLEN", COUNT),
        _words("XLEN", STREAM),
        _words("XRANGE", STREAM, _one("-", "3", "5-1", "q"), "+", "COUNT", COUNT),
        _words("XREVRANGE", STREAM, _one("+", "7", "5-1"), "-", "COUNT", COUNT),
        _words("XREAD", "COUNT", COUNT, "STREAMS", STREAM, _id),
        _words("XREAD", "STREAMS", STREAM, STREAM, _id),
        _words("XINFO", "STREAM", STREAM),
        _words("XINFO", "GROUPS", STREAM),
        _words("DEL", STREAM),
        _words("SET", "a", "1"),
    ],
    "groups": [
        *[_words("XADD", STREAM, _id, "symbol", MEMBER)] * 4,
        _words("XTRIM", STREAM, "MAXLEN", COUNT),
        _words("XGROUP", "CREATE", STREAM, GROUP, _one("0", "$", "4-1"), "MKSTREAM"),
        _words("XGROUP", "CREATE", STREAM, GROUP, "0"),
        _words("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", COUNT, "STREAMS", STREAM, ">"),
        _words("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", COUNT, "STREAMS", STREAM, ">"),
        _words("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", COUNT, "STREAMS", STREAM, _id),
        _words("XACK", STREAM, GROUP, _id, _id),
        _words("XAUTOCLAIM", STREAM, GROUP, CONSUMER, _one("0", "1000000"), "0-0", "COUNT", COUNT),
        _words("XINFO", "GROUPS", STREAM),
        _words("XINFO", "STREAM", STREAM),
    ],
    "transactions": [
        *[_words("MULTI")] * 2,
        *[_words("EXEC")] * 3,
        _words("DISCARD"),
        _words("WATCH", KEY, KEY),
        _words("UNWATCH"),
        _words("SET", KEY, MEMBER, "NX"),
        _words("INCRBY", KEY, _one("1", "-2", "x")),
        _words("GET", KEY, KEY),
        _words("DEL", KEY),
        _words("XADD", "s", _id, "symbol", MEMBER),
        _words("XREAD", "STREAMS", "none", "0"),
        _words("PUBLISH", MEMBER, SCORE),
        _words("MGET", KEY, KEY),
    ],
}
PUBSUB: list[Make] = [
    _words("SUBSCRIBE", MEMBER, MEMBER),
    _words("SSUBSCRIBE", MEMBER),
    _words("UNSUBSCRIBE", MEMBER),
    _words("SUNSUBSCRIBE", MEMBER),
    _words("PING"),
    _words("GET", KEY),
    _words("PUBLISH", MEMBER, SCORE),
    _words("SPUBLISH", MEMBER, SCORE),
    _words("PUBSUB", "CHANNELS", _one("*", "x", "\\x*")),
    _words("PUBSUB", "SHARDCHANNELS"),
    _words("PUBSUB", "NUMSUB", MEMBER, MEMBER),
]
MAKES["pub/sub"] = PUBSUB


class _Wire:
    """A transport that keeps what was written, as replies."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader()

    def write(self, data: bytes) -> None:
        self.reader.feed(data)


class Both:
    """The same connections to a real server and to the model."""

    def __init__(self, port: int, clients: int) -> None:
        loop = NetworkLoop(random.Random(1).uniform)
        loop.close()
        self.model = RedisModel(loop.network, lambda: 1_700_000_000.0)
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
        self._readers = [hiredis.Reader() for _ in range(clients)]
        self._wires = [_Wire() for _ in range(clients)]
        self._clients = [Client(self.model) for _ in range(clients)]
        for client, wire in zip(self._clients, self._wires, strict=True):
            client.connection_made(wire)

    def send(self, number: int, words: Words) -> tuple[list[Any], list[Any]]:
        """Send a command over one connection to both; returns what each of the two sent to all connections."""
        packed = command(*words)
        self._clients[number].data_received(packed)
        modelled = [_all(wire.reader) for wire in self._wires]
        self._sockets[number].sendall(packed)
        real: list[list[Any]] = [[] for _ in self._sockets]
        for each, expected in enumerate(modelled):
            while len(real[each]) < max(len(expected), each == number):
                self._sockets[each].settimeout(1)
                try:
                    self._readers[each].feed(self._sockets[each].recv(65536))
                except TimeoutError:
                    return real, modelled
                real[each] += _all(self._readers[each])
        return [_comparable(each) for each in real], [_comparable(each) for each in modelled]

    def close(self) -> None:
        """Close the sockets."""
        for each in self._sockets:
            each.close()


def _all(reader: hiredis.Reader) -> list[Any]:
    replies = []
    while (reply := reader.gets()) is not False:
        replies.append(reply)
    return replies


def _comparable(reply: Any) -> Any:
    """A reply without what need not be the same: the shape of a stream's tree, and the words after an error's first."""
    if isinstance(reply, hiredis.ReplyError):
        return f"{str(reply)[:24]}"
    if isinstance(reply, dict):
        return {name: _comparable(value) for name, value in reply.items() if name not in NOT_COMPARED}
    if isinstance(reply, list) and all(isinstance(each, bytes) for each in reply) and {*reply} <= _CHANNELS:
        return sorted(reply)  # of PUBSUB, in no order
    if isinstance(reply, list):
        skipped = [index + 1 for index, each in enumerate(reply) if isinstance(each, bytes) and each in NOT_COMPARED]
        return [_comparable(each) for index, each in enumerate(reply) if index not in skipped]
    return reply


@pytest.mark.parametrize("kind", list(MAKES))
def test_the_model_answers_random_commands_as_redis_does(kind: str, redis_server: RedisServer) -> None:
    """Every reply, and every message to a subscriber, is the one that Redis sends, in RESP2 and RESP3."""
    for seed in range(SEQUENCES):
        rng = random.Random(f"{kind} {seed}")
        redis_server.client.flushall()
        with contextlib.closing(Both(redis_server.port, 3)) as both:
            both.send(2, ("HELLO", 3))
            history: list[tuple[int, Words]] = []
            for _ in range(COMMANDS):
                history.append((rng.randrange(3), rng.choice(MAKES[kind])(rng)))
                real, modelled = both.send(*history[-1])
                assert modelled == real, f"seed {seed}: {real} after {history[-12:]}"
