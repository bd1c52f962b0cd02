"""Counts the entries that a reader of a Redis stream missed because they were trimmed, and reports them.

Pure: works on ids and on Redis's counters. A stream counts every entry ever added, and trimming removes entries only
from its front. An entry id begins with the time at which Redis added it, in milliseconds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from schwabstream.events import StatusEvent, status_event

_MAX_ID_PART = 2**64 - 1


class StreamInfo(NamedTuple):
    """XINFO STREAM: entries ever ``added``, entries in the stream, the first of them, and the newest id ever given."""

    added: int
    length: int
    first_id: str | None
    last_id: str

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """The answer as redis-py gives it; raises ``KeyError`` for a Redis before 7.0."""
        first = answer["first-entry"]
        return cls(
            int(answer["entries-added"]),
            int(answer["length"]),
            first[0].decode() if first else None,
            answer["last-generated-id"].decode(),
        )

    @property
    def removed(self) -> int:
        """Entries that were added and trimmed."""
        return self.added - self.length


class GroupInfo(NamedTuple):
    """XINFO GROUPS of one group: the newest id delivered, and Redis's count up to it, None when unknown."""

    last_id: str
    read: int | None

    @classmethod
    def of(cls, answer: list[dict[str, Any]], group: str) -> Self | None:
        """The group's part of the answer as redis-py gives it; None when the group is not there."""
        for each in answer:
            if each["name"] == group.encode():
                read = each["entries-read"]
                return cls(each["last-delivered-id"].decode(), None if read is None else int(read))
        return None


class GroupPosition:
    """Counts the entries of the stream before the group's next one.

    Redis counts them too, but 7.0 leaves out entries that were trimmed before they were delivered. The difference is
    measured whenever the count follows from other figures.
    """

    def __init__(self) -> None:
        self._last_id: str | None = None
        self._passed: int | None = None
        self._behind = 0

    def start(self, stream: StreamInfo, group: GroupInfo) -> None:
        """Begin at the group's position. A group that starts with the whole stream has lost nothing so far."""
        self.advance(stream, group, [])
        if group.last_id == "0-0":
            self._passed = stream.removed

    def advance(self, stream: StreamInfo, group: GroupInfo, ids: Sequence[str]) -> int | None:
        """Advance by the entries just read, perhaps none, given the state before; returns how many were missed.

        None when some were missed and their number cannot be determined.
        """
        passed = self._passed_by(stream, group)
        lost: int | None = 0
        if ids and ids[0] == stream.first_id:
            if passed is not None:
                lost = max(0, stream.removed - passed)
            elif stream.removed and group.last_id != "0-0":
                lost = None
            passed = stream.removed
        self._last_id = ids[-1] if ids else group.last_id
        self._passed = None if passed is None else passed + len(ids)
        return lost

    def _passed_by(self, stream: StreamInfo, group: GroupInfo) -> int | None:
        if group.last_id == stream.last_id:
            passed = stream.added
        elif group.last_id == self._last_id and self._passed is not None:
            passed = self._passed
        else:
            return None if group.read is None else group.read + self._behind
        if group.read is not None:
            self._behind = passed - group.read
        return passed


def id_key(entry_id: str) -> tuple[int, int]:
    """The id as a pair that sorts as in Redis."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def id_before(entry_id: str) -> str:
    """The greatest id below this one."""
    milliseconds, number = id_key(entry_id)
    return f"{milliseconds}-{number - 1}" if number else f"{milliseconds - 1}-{_MAX_ID_PART}"


def gap(reason: str, count: int | None, lost_after: str, kept_from: str | None, now_us: int) -> StatusEvent:
    """The report of entries lost after one id and, if it is known, before another."""
    lost_at = id_key(lost_after)[0] or now_us // 1000
    restored_at = None if kept_from is None else id_key(kept_from)[0]
    more = {"detail": "trimmed", "since": lost_at, "lost_at": lost_at, "restored_at": restored_at, "count": count}
    return StatusEvent(**status_event("gap", reason, now_us, **more))
