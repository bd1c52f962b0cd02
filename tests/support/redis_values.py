"""What Redis keeps, in memory: strings, hashes, sorted sets, expiry and the commands on them; streams are beside it.

Only the commands, options and errors that this project meets, with Redis 7.0's answers. A command is a function of the
data, the time and its arguments, so the same commands at the same times make the same data: a lagging copy is the data
of an earlier moment. Checked against a real server by ``tests/integration/test_redis_model.py``.
"""

import fnmatch
import math
from collections.abc import Iterable
from typing import Any

from tests.support.redis_stream_values import STREAM_COMMANDS, Command
from tests.support.redis_streams import NOT_A_NUMBER, SYNTAX, WRONG_TYPE, Refused, Stream

Value = bytes | dict[bytes, bytes] | dict[bytes, float] | Stream


class Hash(dict[bytes, bytes]):
    """A hash."""

    def copy(self) -> "Hash":
        """The hash at this moment."""
        return Hash(self)


class SortedSet(dict[bytes, float]):
    """Scores by member."""

    def copy(self) -> "SortedSet":
        """The set at this moment."""
        return SortedSet(self)

    def sorted(self) -> list[tuple[float, bytes]]:
        """Score and member in Redis' order."""
        return sorted((score, member) for member, score in self.items())


class Data:
    """One database; ``touched`` gets every key that a command changed or that expired."""

    def __init__(self) -> None:
        self.values: dict[bytes, Any] = {}
        self.expires: dict[bytes, int] = {}
        self.touched: set[bytes] = set()

    def copy(self) -> "Data":
        """These data at this moment."""
        copy = Data()
        for key, value in self.values.items():
            copy.values[key] = value if isinstance(value, bytes) else value.copy()
        copy.expires = dict(self.expires)
        return copy

    def expire(self, now_ms: int, keys: Iterable[bytes] | None = None) -> None:
        """Delete what has expired."""
        for key in list(self.expires if keys is None else keys):
            if self.expires.get(key, now_ms + 1) <= now_ms:
                self.delete(key)

    def delete(self, key: bytes) -> bool:
        """Delete a key; whether it was there."""
        self.expires.pop(key, None)
        if self.values.pop(key, None) is None:
            return False
        self.touched.add(key)
        return True

    def get(self, key: bytes, kind: type) -> Any:
        """The value of a key, None when there is none."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, kind):
            raise Refused(WRONG_TYPE)
        return value

    def make(self, key: bytes, kind: type) -> Any:
        """The value of a key, a new one when there is none; the key counts as changed."""
        value = self.get(key, kind)
        if value is None:
            value = self.values[key] = kind()
        self.touched.add(key)
        return value

    def set(self, key: bytes, value: bytes) -> None:
        """Store a string."""
        self.values[key] = value
        self.touched.add(key)


def integer(text: bytes) -> int:
    """A whole number of 64 bits."""
    try:
        number = int(text)
    except ValueError:
        raise Refused(NOT_A_NUMBER) from None
    if str(number).encode() != text or not -(2**63) <= number < 2**63:
        raise Refused(NOT_A_NUMBER)
    return number


def bound(text: bytes) -> tuple[float, bool]:
    """A score as a bound, and whether it is excluded."""
    open_, number = text.startswith(b"("), text.removeprefix(b"(")
    try:
        return float(number), open_
    except ValueError:
        raise Refused("ERR min or max is not a float") from None


def _get(data: Data, _: int, key: bytes) -> bytes | None:
    value: bytes | None = data.get(key, bytes)
    return value


def _set(data: Data, now: int, key: bytes, value: bytes, *options: bytes) -> object:
    flags, life = set(), None
    words = [*options]
    while words:
        word = words.pop(0).upper()
        if word in (b"PX", b"EX"):
            if not words:
                raise Refused(SYNTAX)
            life = integer(words.pop(0)) * (1 if word == b"PX" else 1000)
            if life <= 0:
                raise Refused("ERR invalid expire time in 'set' command")
        elif word in (b"NX", b"XX"):
            flags.add(word)
        else:
            raise Refused(SYNTAX)
    if len(flags) == 2:
        raise Refused(SYNTAX)
    if (b"NX" in flags and key in data.values) or (b"XX" in flags and key not in data.values):
        return None
    data.set(key, value)
    data.expires.pop(key, None)
    if life is not None:
        data.expires[key] = now + life
    return True


def _mget(data: Data, _: int, *keys: bytes) -> list[bytes | None]:
    return [value if isinstance(value := data.values.get(key), bytes) else None for key in keys]


def _incrby(data: Data, _: int, key: bytes, by: bytes) -> int:
    number = integer(by) + integer(data.get(key, bytes) or b"0")
    data.set(key, b"%d" % number)
    return number


def _del(data: Data, _: int, *keys: bytes) -> int:
    return sum(data.delete(key) for key in keys)


def _exists(data: Data, _: int, *keys: bytes) -> int:
    return sum(key in data.values for key in keys)


def _pexpire(data: Data, now: int, key: bytes, life: bytes) -> int:
    ms = integer(life)
    if key not in data.values:
        return 0
    if ms <= 0:
        data.delete(key)
    else:
        data.expires[key] = now + ms
        data.touched.add(key)
    return 1


def _pttl(data: Data, now: int, key: bytes) -> int:
    if key not in data.values:
        return -2
    return data.expires[key] - now if key in data.expires else -1


def _hset(data: Data, _: int, key: bytes, *pairs: bytes) -> int:
    if len(pairs) % 2:
        raise Refused("ERR wrong number of arguments for 'hset' command")
    hash_: Hash = data.make(key, Hash)
    before = len(hash_)
    hash_.update(zip(pairs[::2], pairs[1::2], strict=True))
    return len(hash_) - before


def _hgetall(data: Data, _: int, key: bytes) -> dict[Any, Any]:
    return dict(data.get(key, Hash) or {})


def _hmget(data: Data, _: int, key: bytes, *fields: bytes) -> list[bytes | None]:
    hash_ = data.get(key, Hash) or {}
    return [hash_.get(each) for each in fields]


def _hvals(data: Data, _: int, key: bytes) -> list[bytes]:
    return [*(data.get(key, Hash) or {}).values()]


def _zadd(data: Data, _: int, key: bytes, *words: bytes) -> int:
    options, rest = set(), [*words]
    while rest and rest[0].upper() in (b"GT", b"NX", b"XX", b"CH"):
        options.add(rest.pop(0).upper())
    if not rest or len(rest) % 2:
        raise Refused(SYNTAX)
    try:
        pairs = [(member, float(score)) for score, member in zip(rest[::2], rest[1::2], strict=True)]
    except ValueError:
        raise Refused("ERR value is not a valid float") from None
    members: SortedSet | None = data.get(key, SortedSet)
    if members is None:
        if b"XX" in options:
            return 0
        members = data.make(key, SortedSet)
    added = changed = 0
    for member, score in pairs:
        before = members.get(member)
        kept = b"NX" in options or (b"GT" in options and score <= before) if before is not None else b"XX" in options
        if kept:
            continue
        members[member] = score
        added += before is None
        changed += before != score
    if changed:
        data.touched.add(key)
    return changed if b"CH" in options else added


def _zrem(data: Data, _: int, key: bytes, *members: bytes) -> int:
    scores = data.get(key, SortedSet)
    removed = sum(scores.pop(member, None) is not None for member in members) if scores is not None else 0
    return _after_removal(data, key, removed)


def _after_removal(data: Data, key: bytes, removed: int) -> int:
    if removed:
        data.touched.add(key)
        if not data.values[key]:
            data.delete(key)
    return removed


def _zmscore(data: Data, _: int, key: bytes, *members: bytes) -> list[float | None]:
    scores = data.get(key, SortedSet) or {}
    return [scores.get(member) for member in members]


def _between(data: Data, key: bytes, lowest: bytes, highest: bytes) -> list[bytes]:
    (low, low_open), (high, high_open) = bound(lowest), bound(highest)
    scores: SortedSet = data.get(key, SortedSet) or SortedSet()
    return [
        member
        for score, member in scores.sorted()
        if (low < score if low_open else low <= score) and (score < high if high_open else score <= high)
    ]


def _limited(members: list[bytes], options: tuple[bytes, ...]) -> list[bytes]:
    if not options:
        return members
    if len(options) != 3 or options[0].upper() != b"LIMIT":
        raise Refused(SYNTAX)
    start, count = integer(options[1]), integer(options[2])
    return members[start:] if count < 0 else members[start : start + count]


def _zrangebyscore(data: Data, _: int, key: bytes, lowest: bytes, highest: bytes, *options: bytes) -> list[bytes]:
    return _limited(_between(data, key, lowest, highest), options)


def _zrevrangebyscore(data: Data, _: int, key: bytes, highest: bytes, lowest: bytes, *options: bytes) -> list[bytes]:
    return _limited(_between(data, key, lowest, highest)[::-1], options)


def _zremrangebyscore(data: Data, now: int, key: bytes, lowest: bytes, highest: bytes) -> int:
    members = _between(data, key, lowest, highest)
    return _zrem(data, now, key, *members) if members else 0


def matches(pattern: bytes, name: bytes) -> bool:
    """Whether a name fits a pattern of Redis; a backslash takes the next character as it is."""
    parts, escaped = "", False
    for each in pattern.decode("latin-1"):
        parts += f"[{each}]" if escaped and each in "*?[" else each if escaped or each != "\\" else ""
        escaped = each == "\\" and not escaped
    return fnmatch.fnmatchcase(name.decode("latin-1"), parts)


def score_text(score: float) -> bytes:
    """A score as RESP2 writes it."""
    if math.isinf(score):
        return b"inf" if score > 0 else b"-inf"
    return b"%d" % score if score == int(score) and abs(score) < 1e17 else repr(score).encode()


COMMANDS: dict[bytes, tuple[Command, int, str]] = {
    # The function, the arity as COMMAND INFO gives it, and what it is: w writes, m takes memory.
    b"GET": (_get, 2, ""),
    b"SET": (_set, -3, "wm"),
    b"MGET": (_mget, -2, ""),
    b"INCRBY": (_incrby, 3, "wm"),
    b"DEL": (_del, -2, "w"),
    b"EXISTS": (_exists, -2, ""),
    b"PEXPIRE": (_pexpire, -3, "w"),
    b"PTTL": (_pttl, 2, ""),
    b"HSET": (_hset, -4, "wm"),
    b"HGETALL": (_hgetall, 2, ""),
    b"HMGET": (_hmget, -3, ""),
    b"HVALS": (_hvals, 2, ""),
    b"ZADD": (_zadd, -4, "wm"),
    b"ZREM": (_zrem, -3, "w"),
    b"ZMSCORE": (_zmscore, -3, ""),
    b"ZRANGEBYSCORE": (_zrangebyscore, -4, ""),
    b"ZREVRANGEBYSCORE": (_zrevrangebyscore, -4, ""),
    b"ZREMRANGEBYSCORE": (_zremrangebyscore, 4, "w"),
    **STREAM_COMMANDS,
}
