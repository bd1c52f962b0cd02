"""A Redis stream in memory: its entries, ids, trimming and consumer groups."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

Id = tuple[int, int]
Entry = tuple[Id, tuple[bytes, ...]]
NODE = 100
"""Entries of a node: an approximate limit removes whole nodes only."""
MOST = (2**64 - 1, 2**64 - 1)


class Refused(Exception):
    """An error reply; its text begins with the error's word."""


BAD_ID = "ERR Invalid stream ID specified as stream command argument"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_A_NUMBER = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"


@dataclass(eq=False)
class Pending:
    """An entry that was delivered and not acknowledged."""

    consumer: bytes
    at_ms: int
    times: int = 1


@dataclass(eq=False)
class Group:
    """One consumer group."""

    last: Id
    read: int | None = None
    pending: dict[Id, Pending] = field(default_factory=dict)
    consumers: set[bytes] = field(default_factory=set)

    def copy(self) -> "Group":
        """The group at this moment."""
        pending = {each: Pending(one.consumer, one.at_ms, one.times) for each, one in self.pending.items()}
        return Group(self.last, self.read, pending, set(self.consumers))


@dataclass(eq=False)
class Stream:
    """One stream."""

    entries: list[Entry] = field(default_factory=list)
    last: Id = (0, 0)
    added: int = 0
    groups: dict[bytes, Group] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return True

    def copy(self) -> "Stream":
        """The stream at this moment."""
        groups = {name: group.copy() for name, group in self.groups.items()}
        return Stream(list(self.entries), self.last, self.added, groups)

    def between(self, first: Id, last: Id) -> list[Entry]:
        """The entries from one id to another, both included."""
        return self.entries[bisect_left(self.entries, (first, ())) : bisect_right(self.entries, (last, (b"\xff" * 9,)))]

    def after(self, last: Id, count: int | None) -> list[Entry]:
        """The entries after an id."""
        start = bisect_left(self.entries, ((last[0], last[1] + 1), ()))
        return self.entries[start : None if count is None else start + count]

    def has(self, each: Id) -> bool:
        """Whether that entry is still there."""
        return bool(self.between(each, each))

    def trim(self, kind: bytes, limit: bytes, *, about: bool) -> int:
        """Remove the oldest entries beyond a length, or below an id; ``about``: whole nodes only."""
        if kind == b"MAXLEN":
            excess = max(0, len(self.entries) - number(limit))
        else:
            excess = bisect_left(self.entries, (parse_id(limit, 0), ()))
        excess -= excess % NODE if about else 0
        del self.entries[:excess]
        return excess

    def count_up_to(self, each: Id) -> int | None:
        """How many entries were ever added up to this id; None when Redis cannot know."""
        if not self.added:
            return 0
        if each == self.last or (not self.entries and each < self.last):
            return self.added
        first = self.entries[0][0] if self.entries else (0, 0)
        if each < first:
            return self.added - len(self.entries)
        return self.added - len(self.entries) + 1 if each == first else None


def number(text: bytes) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise Refused(NOT_A_NUMBER) from None


def parse_id(text: bytes, missing: int) -> Id:
    """An id; ``missing`` is its second part when there is none."""
    first, dash, second = text.partition(b"-")
    if not first.isdigit() or (dash and not second.isdigit()):
        raise Refused(BAD_ID)
    return int(first), int(second) if dash else missing


def show_id(each: Id) -> bytes:
    """An id as Redis writes it."""
    return b"%d-%d" % each
