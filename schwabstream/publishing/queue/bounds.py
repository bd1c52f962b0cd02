"""The bounds of the queues of all channels together, and which events are dropped above them. Pure."""

from collections.abc import Collection, Iterable

from schwabstream.publishing.queue.channel import ChannelQueue, weight


class Bounds:
    """At most ``most_events`` and ``most_bytes`` may be queued; events are dropped above ``events`` or ``bytes``."""

    __slots__ = ("bytes", "events", "most_bytes", "most_events")

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self.most_events = self.events = most_events
        self.most_bytes = self.bytes = most_bytes

    def filled(self, part: float, events: int, size: int) -> bool:
        """Whether this many events or bytes fill more than ``part`` of the bounds."""
        return events > self.most_events * part or size > self.most_bytes * part

    def shed(self, queues: Collection[ChannelQueue], events: int, size: int) -> tuple[int, int]:
        """Drop the oldest of ``events`` queued events until an eighth is free, from the largest queue first.

        Returns how many events and bytes were freed.
        """
        freed = _shed(queues, events - self.most_events * 7 // 8, size - self.most_bytes * 7 // 8)
        # This visits every queued event. When the newest event of each symbol alone fills the queue, it frees little
        # and would run again at every event, so the next run waits until the queue has grown by an eighth.
        self.events = max(self.most_events, (events - freed[0]) * 9 // 8)
        self.bytes = max(self.most_bytes, (size - freed[1]) * 9 // 8)
        return freed


def _shed(queues: Iterable[ChannelQueue], events: int, size: int) -> tuple[int, int]:
    freed_events = freed_bytes = 0
    for queue in sorted(queues, key=lambda queue: weight(queue.events), reverse=True):
        if freed_events >= events and freed_bytes >= size:
            break
        more_events, more_bytes = queue.shed(events - freed_events, size - freed_bytes)
        freed_events += more_events
        freed_bytes += more_bytes
    return freed_events, freed_bytes
