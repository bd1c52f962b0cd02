"""From when to when each key's data is missing, so that every outage is told as exactly one gap; pure.

A key is lost once, however many sessions fail before it is back; keys that went and came together share their gap.
Times are seconds since the epoch.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Gap(NamedTuple):
    """One outage of some keys: what Schwab sent between the two times did not arrive."""

    lost_at: float
    restored_at: float
    keys: tuple[str, ...]


class Outages:
    """What is missing at present."""

    def __init__(self) -> None:
        self._lost: dict[str, float] = {}
        self._restored: dict[str, float] = {}

    def lose(self, key: str, at: float) -> None:
        """Note that nothing of this key arrives since ``at``; a key that is lost already stays lost since then.

        What was missing before its last gap ended is told by that gap.
        """
        self._lost.setdefault(key, max(at, self._restored.get(key, at)))

    def restore(self, keys: Iterable[str], at: float) -> list[Gap]:
        """Take these keys as flowing again; returns the gaps that end with it, the oldest first."""
        ended: dict[float, list[str]] = {}
        for key in keys:
            if key in self._lost:
                self._restored[key] = at
                ended.setdefault(self._lost.pop(key), []).append(key)
        return [Gap(lost_at, at, tuple(ended[lost_at])) for lost_at in sorted(ended)]
