"""The times between which each key's data is missing, so that every outage is reported as exactly one gap; pure.

A key is lost once, no matter how many sessions fail until it is back; keys lost together share a gap. Times are in
seconds since the epoch.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Gap(NamedTuple):
    """One outage of some keys, whose data between the two times did not arrive."""

    lost_at: float
    restored_at: float
    keys: tuple[str, ...]


class OpenGaps:
    """The gaps that have not ended."""

    def __init__(self) -> None:
        self._lost: dict[str, float] = {}
        self._restored: dict[str, float] = {}

    @property
    def lost(self) -> Collection[str]:
        """The keys whose data is missing."""
        return self._lost.keys()

    def lose(self, key: str, at: float) -> None:
        """Record that ``key`` has had no data since ``at``; a key that is already lost keeps its earlier time.

        A gap never begins before the key's previous gap ended.
        """
        self._lost.setdefault(key, max(at, self._restored.get(key, at)))

    def forget(self, key: str) -> None:
        """Report no gap of this key: its data is no longer wanted."""
        self._lost.pop(key, None)
        self._restored.pop(key, None)

    def restore(self, back: Mapping[str, float]) -> list[Gap]:
        """Record the time at which each key is back; returns the gaps that this ends, oldest first.

        Keys that were lost together share a gap, which ends with the last of them.
        """
        ended: dict[float, list[str]] = {}
        for key in back:
            if key in self._lost:
                ended.setdefault(self._lost.pop(key), []).append(key)
        return [self._end(lost_at, ended[lost_at], back) for lost_at in sorted(ended)]

    def _end(self, lost_at: float, keys: list[str], back: Mapping[str, float]) -> Gap:
        restored_at = max(lost_at, *(back[key] for key in keys))
        self._restored.update(dict.fromkeys(keys, restored_at))
        return Gap(lost_at, restored_at, tuple(keys))
