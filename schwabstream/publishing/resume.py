"""Continues writing to a Redis that may lack acknowledged events, or may have events whose reply was lost. No I/O.

After each connect, the newest entry of a stream shows what Redis has: a batch is written whole or not at all, and
replicas receive batches in order (docs/adr/0016).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson
import structlog

from schwabstream.clock import Clock
from schwabstream.events import Channel, status_event
from schwabstream.publishing.packing import command
from schwabstream.publishing.queue.channel import ChannelQueue, number_of, received_ms, weight
from schwabstream.publishing.queue.kept import KEPT_EVENTS, Kept
from schwabstream.report import Count

log = structlog.get_logger(__name__)

LEAP: Final = 1_000_000
"""The distance between the newest number of another run and the first of this one: that run's newest events may be
lost, and their numbers must not be used twice."""
_HIGHEST: Final = 2**53 - 2**50  # beyond 2**53 a double cannot represent every integer


class Newest(NamedTuple):
    """The newest event in Redis: its number, 0 when there is none, and when its frame arrived, if it has a time."""

    number: int
    received_ms: int | None = None


class Missing(NamedTuple):
    """The acknowledged events that Redis lacked: ``again`` were queued again, ``lost`` were no longer kept.

    ``lost_at`` and ``restored_at`` are the times of the events around the lost ones, in milliseconds since the epoch.
    """

    again: int
    lost: int = 0
    lost_at: int = 0
    restored_at: int = 0


class Resume:
    """Compares Redis with the queues and with what is ``kept`` of earlier batches.

    A StatusEvent about lost events is given to ``publish``; ``on_loss`` is called when Redis lacked anything, with the
    number of lost events. ``maxage_s`` is the age at which entries are removed from streams, 0 for never.
    """

    def __init__(
        self,
        queues: Iterable[ChannelQueue],
        counts: Counter[str],
        publish: Callable[[Channel, dict[str, Any]], None],
        on_loss: Callable[[int], None],
        *,
        maxage_s: float,
        clock: Clock,
    ) -> None:
        self._queues = list(queues)
        self._streams = [queue for queue in self._queues if queue.has_stream]
        self.kept = Kept(KEPT_EVENTS if self._streams else 0)
        self._counts, self._publish, self._on_loss = counts, publish, on_loss
        self._maxage_s, self._clock = maxage_s, clock
        self._started_ms = int(clock.wall() * 1000)
        self._begun = False

    @property
    def questions(self) -> list[bytes]:
        """The commands to send after a connect, packed; :meth:`take` needs their replies."""
        if self._streams:
            return [command("XREVRANGE", queue.stream_key, "+", "-", "COUNT", 1) for queue in self._streams]
        return [] if self._begun else [command("HVALS", queue.last_key) for queue in self._queues if queue.last_key]

    def take(self, replies: Sequence[Any]) -> None:
        """Adapt the queues to the newest events in Redis, and report the missing ones."""
        if refused := [reply for reply in replies if isinstance(reply, Exception)]:
            log.warning("a stream cannot be read: events that Redis lost cannot be detected", reason=str(refused[0]))
        if not self._begun:
            self._begun = True
            self._number_above(replies)
            return
        found = [(queue, read_newest(reply)) for queue, reply in zip(self._streams, replies, strict=False)]
        each = [self._resume(queue, newest) for queue, newest in found if newest]
        again, lost = sum(missing.again for missing in each), sum(missing.lost for missing in each)
        self._counts[Count.SENT_AGAIN] += again
        self._counts[Count.LOST] += lost
        if again or lost:
            log.warning("redis lacked acknowledged events", sent_again=again, lost=lost)
            if losses := [missing for missing in each if missing.lost]:
                self._publish(Channel.STATUS, _gap(losses, lost, int(self._clock.wall() * 1e6)))
            self._on_loss(lost)

    def _number_above(self, replies: Sequence[Any]) -> None:
        """Start the numbers of all channels above those in Redis, even if the clock of this host is behind."""
        if self._streams:
            newest = [read_newest(reply) for reply in replies]
        else:
            newest = [_read(payload) for reply in replies if isinstance(reply, list) for payload in reply]
        if highest := max((each.number for each in newest if each), default=0):
            for queue in self._queues:
                queue.number_above(highest + LEAP)

    def _resume(self, queue: ChannelQueue, newest: Newest) -> Missing:
        """Queue again the events that the stream lacks, and unqueue the ones that it has."""
        if newest.number > queue.seq:  # another run's
            queue.number_above(newest.number + LEAP)
            return Missing(0)
        now = self._clock.monotonic()
        if not newest.number and 0 < self._maxage_s <= now - queue.written_at:
            return Missing(0)  # the stream is empty because its newest entry was too old
        low = max(newest.number, queue.first_seq)
        there = queue.take_written(newest.number) if newest.number > queue.first_seq else []
        again = self.kept.take_newer(queue.channel, low)
        if there:
            self.kept.add(now, queue.channel, there, weight(there))
            self._counts[Count.ALREADY_THERE] += len(there)
        queue.published += len(there) - len(again)
        queue.events[:0] = again
        return self._lost(queue, low, newest.received_ms)._replace(again=len(again))

    def _lost(self, queue: ChannelQueue, low: int, lost_at: int | None) -> Missing:
        """The acknowledged events above the number ``low`` and below those in the queue, which no longer exist."""
        following = queue.events[0] if queue.events else None
        high = number_of(following) if following else queue.seq + 1
        lost = high - low - 1 - queue.dropped.between(low, high)
        queue.dropped.add([(low + 1, high - 1)] if lost else [])  # so that they are reported once
        if low == queue.first_seq:
            # Nothing of this run is left. Entries beyond the length of the stream would have been trimmed anyway.
            lost, lost_at = min(lost, queue.maxlen), self._started_ms
        restored_at = received_ms(following) if following else None
        return Missing(
            0, lost, self._started_ms if lost_at is None else lost_at, restored_at or int(self._clock.wall() * 1000)
        )


def read_newest(reply: Any) -> Newest | None:
    """The newest event, from the reply to XREVRANGE; None when Redis refused or the entry is not an event."""
    if reply == []:
        return Newest(0)
    try:
        ((_, fields),) = reply
        return _read(dict(zip(fields[::2], fields[1::2], strict=True))[b"event"])
    except (TypeError, ValueError, KeyError):
        return None


def _gap(losses: list[Missing], count: int, now_us: int) -> dict[str, Any]:
    """The StatusEvent that reports the lost events of all channels."""
    return status_event(
        "gap",
        f"Redis lost {count:,} events that it had acknowledged and that were no longer kept",
        now_us,
        detail="redis-failover",
        count=count,
        lost_at=min(loss.lost_at for loss in losses),
        restored_at=max(loss.restored_at for loss in losses),
    )


def _read(payload: Any) -> Newest | None:
    try:
        event = orjson.loads(payload)
        number, received_us = event["seq"], event.get("received_us")
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    if type(number) is not int or not 0 <= number < _HIGHEST:
        return None
    return Newest(number, received_us // 1000 if type(received_us) is int else None)
