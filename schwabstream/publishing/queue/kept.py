"""The newest acknowledged events, kept in case the next master lacks them (docs/adr/0016). Pure.

Replication is asynchronous: Redis acknowledges a batch before its replicas have it. Sentinel leaves a demoted master
writable for about ten seconds, so events are kept for a little longer than that.
"""

from bisect import bisect_right
from collections import deque

from schwabstream.events import Channel
from schwabstream.publishing.queue.channel import Event, number_of, weight

KEPT_S = 15.0
KEPT_EVENTS, KEPT_BYTES = 20_000, 16 * 2**20


_Batch = tuple[float, Channel, list[Event], int]  # when, and the events with their size


class Kept:
    """The newest acknowledged events of all channels: at most ``most`` events, and at most ``KEPT_BYTES`` bytes."""

    def __init__(self, most: int = KEPT_EVENTS) -> None:
        self._most = most
        self._batches: deque[_Batch] = deque()
        self.events = self.bytes = 0

    def add(self, now: float, channel: Channel, events: list[Event], size: int) -> None:
        """Keep the events of one batch, of ``size`` bytes; the list must not change afterwards."""
        # Called for every batch: it appends and counts, and looks at no event.
        self._batches.append((now, channel, events, size))
        self.events += len(events)
        self.bytes += size
        while self.events > self._most or self.bytes > KEPT_BYTES:
            _, _, events, size = self._batches.popleft()
            self.events -= len(events)
            self.bytes -= size

    def forget(self, before: float) -> None:
        """Forget the batches acknowledged before this time."""
        while self._batches and self._batches[0][0] < before:
            _, _, events, size = self._batches.popleft()
            self.events -= len(events)
            self.bytes -= size

    def take_newer(self, channel: Channel, number: int) -> list[Event]:
        """Remove and return the events of one channel whose ``seq`` is above ``number``, oldest first."""
        newer: list[Event] = []
        batches, self._batches = self._batches, deque()
        self.events = self.bytes = 0
        for at, of_channel, events, size in batches:
            if of_channel is not channel or number_of(events[-1]) <= number:
                self.add(at, of_channel, events, size)
                continue
            first = bisect_right(events, number, key=number_of)
            newer += events[first:]
            if older := events[:first]:
                self.add(at, channel, older, weight(older))
        return newer
