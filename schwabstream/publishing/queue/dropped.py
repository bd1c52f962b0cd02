"""The sequence numbers of one channel that no batch ever contained, as ranges. Pure.

They distinguish events that Redis lost from events that never reached it.
"""

from collections.abc import Iterable

MOST_RANGES = 10_000
"""A limit for memory. Dropping more events of the same symbols merges ranges, so that an outage leaves few."""


class DroppedNumbers:
    """Ranges of numbers, in ascending order."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Add ranges, given by their first and last number."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted([*self._ranges, *ranges]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        self._ranges = merged[-MOST_RANGES:]

    def between(self, low: int, high: int) -> int:
        """How many numbers above ``low`` and below ``high`` were dropped."""
        return sum(max(0, min(last, high - 1) - max(first, low + 1) + 1) for first, last in self._ranges)

    def forget(self, number: int) -> None:
        """Forget the ranges that end at or below a number."""
        self._ranges = [each for each in self._ranges if each[1] > number]
