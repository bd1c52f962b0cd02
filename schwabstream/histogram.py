"""Counts values by size as cheaply as can be; pure."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """How many values lay at or below each bound; ``counts`` has one place more, for those above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
