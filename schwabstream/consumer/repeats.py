"""Recognizes events that come twice, so that a reader delivers each of them once. Pure.

When a master fails, events that it had acknowledged may be missing on the next one. The streamer writes them again,
with the same ``seq``, and in a stream under new ids; a reader may have read them before (docs/adr/0016).
"""

from collections.abc import Hashable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

# A jump in ``seq`` of this size means a restart of the streamer and not a loss. A channel's numbers start at the
# microseconds since the epoch and rise by one for each event, thousands of times slower than the clock (docs/adr/0002):
# a streamer that is restarted a second later begins a million higher, while a million events lost in one run would take
# minutes of the busiest stream.
RUN_APART: Final = 1_000_000

REMEMBERED: Final = 20_000
"""The most events that a streamer writes again."""
Key = TypeVar("Key", bound=Hashable)


def is_repeat(seq: int | None, newest: int | None) -> bool:
    """Whether an event with this ``seq`` came before the ``newest`` one of the same run."""
    return seq is not None and newest is not None and newest - RUN_APART < seq <= newest


class Mark(NamedTuple):
    """The number of an event, and when it arrived, in microseconds since the epoch."""

    seq: int
    at_us: int


class Newest(Generic[Key]):
    """The newest number of each key, in the ``present`` run and in an earlier one.

    A number far below the newest belongs to another run: a streamer that gives up still publishes that it does, one
    that is restarted after its clock was set back begins below, and an earlier one may return to a Redis that has lost
    all data before the later one does. The numbers of that run are kept apart, so that both runs' events are still
    recognized.
    """

    def __init__(self) -> None:
        self.present: dict[Key, Mark] = {}
        self._earlier: dict[Key, Mark] = {}

    def of_run(self, key: Key, seq: int) -> Mark | None:
        """The newest number of the run that an event with this number belongs to."""
        return (self._earlier if self._is_earlier(key, seq) else self.present).get(key)

    def note(self, key: Key, mark: Mark) -> None:
        """Remember a number, of any run."""
        newest = self.present.get(key)
        if self._is_earlier(key, mark.seq):
            self._earlier[key] = mark
            return
        if newest is not None and mark.seq >= newest.seq + RUN_APART:
            self._earlier[key] = newest
        self.present[key] = mark

    def _is_earlier(self, key: Key, seq: int) -> bool:
        newest = self.present.get(key)
        return newest is not None and seq <= newest.seq - RUN_APART


class Delivered:
    """The newest events that one consumer of a group received, with the ids of their entries.

    Other consumers receive the events in between, so ``seq`` does not rise by one, and a claimed entry is older than
    the newest one. Each ``seq`` is therefore remembered, to recognize an event that was received before.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._open_ids: dict[int, tuple[str, ...]] = {}
        self._seq_of: dict[str, int] = {}

    def is_repeat(self, seq: int | None, entry_id: str) -> bool:
        """Note an entry; returns whether its event was received before."""
        if seq is None:
            return False
        before = self._open_ids.get(seq)
        if before is None:
            self._open_ids[seq] = (entry_id,)
            self._seq_of[entry_id] = seq
            if len(self._open_ids) > self._remembered:
                self._forget(next(iter(self._open_ids)))
            return False
        if before and entry_id not in before:
            self._open_ids[seq] = (*before, entry_id)
            self._seq_of[entry_id] = seq
        return True

    def is_open(self, seq: int | None) -> bool:
        """Whether an entry of this event is not acknowledged yet; acknowledging one of them acknowledges all."""
        return seq is not None and bool(self._open_ids.get(seq))

    def has_open(self, entry_id: str) -> bool:
        """Whether this entry was received and is not acknowledged yet."""
        return entry_id in self._seq_of

    def acknowledge(self, entry_ids: Iterable[str]) -> list[str]:
        """Note acknowledged entries; returns their ids and those of all entries with the same events."""
        ids: dict[str, None] = {}
        for entry_id in entry_ids:
            ids[entry_id] = None
            if (seq := self._seq_of.get(entry_id)) is not None:
                for each in self._open_ids[seq]:
                    ids[each] = None
                    del self._seq_of[each]
                self._open_ids[seq] = ()
        return list(ids)

    def deliver_again(self, entry_ids: Iterable[str]) -> None:
        """Treat these entries as new unless they were acknowledged, because the group delivers them again."""
        for entry_id in entry_ids:
            if (seq := self._seq_of.get(entry_id)) is not None:
                self._forget(seq)

    def resume_after(self) -> int | None:
        """The ``seq`` after which reading again misses no open event; None while none was received."""
        opened = [seq for seq, ids in self._open_ids.items() if ids]
        return min(opened) - 1 if opened else max(self._open_ids, default=None)

    def _forget(self, seq: int) -> None:
        for entry_id in self._open_ids.pop(seq):
            del self._seq_of[entry_id]
