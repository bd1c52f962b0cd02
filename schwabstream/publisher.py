"""Events → Redis: one writer, whose next batch is whatever queued while the last one was in flight.

``publish`` numbers and encodes an event at once and never waits. ``run`` writes: each batch is one transaction of
PUBLISH and XADD for every event and one HSET of the newest of each symbol, so that a batch Redis refuses or never
got is repeated whole, in order, and nothing reaches a subscriber that the stream does not hold (docs/adr/0003).
While Redis is away the queue is bounded; what is given up is counted, and the newest of each symbol is kept.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
import structlog

from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel
from schwabstream.meter import BATCH_BOUNDS, WRITE_BOUNDS_S, Histogram
from schwabstream.redis_writer import Fence, RedisWriter, bulk, command

log = structlog.get_logger(__name__)

RETRY_FIRST_S, RETRY_CAP_S = 0.1, 1.0
MAX_BATCH_EVENTS = 2_000
REPORT_LIFE_MS = 15_000
_LAST_VALUES = frozenset({Channel.TICKS, Channel.LEVEL2})


class _Entry(NamedTuple):
    lane: "_Lane"
    symbol: str
    packed: bytes


class _Lane:
    """One channel: its sequence and its commands, packed as far as they never change."""

    def __init__(self, channel: Channel, prefix: str, maxlen: int, first_seq: int) -> None:
        self.channel = channel
        self.seq = first_seq
        self.published = 0
        self.name, self.stream_key = f"{prefix}:{channel}", f"{prefix}:stream:{channel}"
        self.publish_start = command("PUBLISH", self.name, more=1)
        self.last_key = f"{prefix}:last:{channel}" if channel in _LAST_VALUES else None
        self._add_start = command("XADD", self.stream_key, "MAXLEN", "~", str(maxlen), "*", "symbol", more=3)
        self._add_starts: dict[str, bytes] | None = {} if maxlen else None

    def add_start(self, symbol: str) -> bytes | None:
        """XADD up to the event itself; None when streams are switched off."""
        if self._add_starts is None:
            return None
        start = self._add_starts.get(symbol)
        if start is None:
            start = self._add_starts[symbol] = self._add_start + bulk(symbol.encode()) + bulk(b"event")
        return start


class TradingEventPublisher:
    """Publishes events under ``prefix``; bounds hold for what waits, in events and in bytes.

    ``seq`` of each channel starts at the microseconds since the epoch, so it never falls across runs, whatever
    became of Redis in between. ``tap`` receives each encoded event as it is published (see ``stream run --json``);
    ``outage`` says why Redis does not take anything at the moment. With a ``fence`` nothing is written but while the
    lease in Redis names its holder.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = "market_data",
        stream_maxlen: int = 100_000,
        max_events: int = 100_000,
        max_bytes: int = 64 * 2**20,
        fence: Fence | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._writer = RedisWriter(redis_url, fence=fence)
        self.url = self._writer.url
        first_seq = int(wall() * 1e6)
        self._lanes = {channel: _Lane(channel, prefix, stream_maxlen, first_seq) for channel in Channel}
        self._report_key = f"{prefix}:streamer"
        self._report_start = command("SET", self._report_key, more=3)
        self._report: bytes | None = None
        self._queue: list[_Entry] = []
        self._in_flight: list[_Entry] = []
        self._queued_bytes = 0
        self._max_events, self._max_bytes = max_events, max_bytes
        self._shed_above = max_events, max_bytes
        self._wakeup = asyncio.Event()
        self._stopping = False
        self.connected = False
        self.outage: str | None = None
        self.counts: Counter[str] = Counter()
        self.batch_sizes, self.write_times = Histogram(BATCH_BOUNDS), Histogram(WRITE_BOUNDS_S)
        self._refusing: set[str] = set()
        self.tap: Callable[[bytes], None] | None = None

    @property
    def round_trip_s(self) -> float | None:
        """How long Redis took for the last batch; None before the first."""
        return self._writer.round_trip_s

    @property
    def published(self) -> int:
        """Events Redis has taken in this run, all channels."""
        return sum(lane.published for lane in self._lanes.values())

    @property
    def published_by_channel(self) -> dict[Channel, int]:
        """Events Redis has taken in this run."""
        return {channel: lane.published for channel, lane in self._lanes.items()}

    @property
    def queued_bytes(self) -> int:
        """Bytes of the events that wait for Redis."""
        return self._queued_bytes

    @property
    def queued(self) -> int:
        """Events that wait for Redis."""
        return len(self._in_flight) + len(self._queue)

    @property
    def dropped(self) -> int:
        """Events given up because the buffer was full; each is a jump in its channel's ``seq``."""
        return self.counts["dropped"]

    async def connect(self) -> None:
        """Reach Redis; raises ``RedisUnavailable``, or ``LeaseLost`` when the lease is another's."""
        await self._writer.connect()
        self.connected, self.outage = True, None

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Number, encode and queue one event; the dictionary may be reused as soon as this returns."""
        lane = self._lanes[channel]
        lane.seq += 1
        event["seq"] = lane.seq
        payload = orjson.dumps(event)
        if self.tap is not None:
            self.tap(payload)
        packed = bulk(payload)
        self._queue.append(_Entry(lane, event["symbol"] or "", packed))
        self._queued_bytes += len(packed)
        if len(self._queue) > self._shed_above[0] or self._queued_bytes > self._shed_above[1]:
            self._shed()
        self._wakeup.set()

    def publish_report(self, report: bytes) -> None:
        """Queue the streamer's own report; it expires by itself when nobody renews it."""
        self._report = report
        self._wakeup.set()

    def stop(self) -> None:
        """Let :meth:`run` end once everything queued is written."""
        self._stopping = True
        self._wakeup.set()

    async def run(self) -> None:
        """Write until :meth:`stop`; outlives every outage of Redis, and ends with ``LeaseLost`` when fenced off."""
        delay = RETRY_FIRST_S
        while not (self._stopping and not self._queue and self._report is None):
            await self._wakeup.wait()
            self._wakeup.clear()
            try:
                if not self.connected:
                    await self.connect()
                    log.info("redis is back", url=self.url, queued=self.queued)
                await self._write_all()
                delay = RETRY_FIRST_S
            except RedisUnavailable as error:
                await self._disconnect(str(error))
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_CAP_S)
                self._wakeup.set()

    async def close(self) -> None:
        """Let go of Redis and the lease; what still waits is counted as dropped."""
        self.counts["dropped"] += self.queued
        self._queue.clear()
        await self._writer.close()

    async def _disconnect(self, reason: str) -> None:
        if self.connected:
            log.warning("redis is away", reason=reason)
            self.counts["outages"] += 1
        self.connected, self.outage = False, reason
        await self._writer.disconnect()

    async def _write_all(self) -> None:
        while self._queue or self._report is not None:
            report = self._report
            self._in_flight, self._queue = self._queue[:MAX_BATCH_EVENTS], self._queue[MAX_BATCH_EVENTS:]
            try:
                replies = await self._writer.transact(*self._pack(self._in_flight, report))
            except BaseException:
                self._queue[:0] = self._in_flight
                self._in_flight = []
                raise
            self._note_refusals(replies, self._in_flight, report)
            if self._in_flight:
                self.batch_sizes.add(len(self._in_flight))
            self.write_times.add(self._writer.round_trip_s or 0.0)
            for entry in self._in_flight:
                self._queued_bytes -= len(entry.packed)
                entry.lane.published += 1
            self._in_flight = []
            self._shed_above = self._max_events, self._max_bytes
            if self._report is report:
                self._report = None

    def _pack(self, batch: list[_Entry], report: bytes | None) -> tuple[list[bytes], int]:
        """The packed commands of one transaction, and how many they are."""
        parts: list[bytes] = []
        commands = 0
        newest: dict[_Lane, dict[str, bytes]] = {}
        for lane, symbol, packed in batch:
            parts += (lane.publish_start, packed)
            commands += 1
            if start := lane.add_start(symbol):
                parts += (start, packed)
                commands += 1
            if lane.last_key:
                newest.setdefault(lane, {})[symbol] = packed
        for lane, last in newest.items():
            parts.append(command("HSET", lane.last_key or "", more=2 * len(last)))
            for symbol, packed in last.items():
                parts += (bulk(symbol.encode()), packed)
            commands += 1
        if report is not None:
            parts += (self._report_start, bulk(report), bulk(b"PX"), bulk(b"%d" % REPORT_LIFE_MS))
            commands += 1
        return parts, commands

    def _note_refusals(self, replies: list[Any], batch: list[_Entry], report: bytes | None) -> None:
        """Count what Redis refused of a batch that it took otherwise, and tell of each name once."""
        if not any(isinstance(reply, Exception) for reply in replies):
            return
        for name, reply in zip(self._written_to(batch, report), replies, strict=True):
            if isinstance(reply, Exception):
                self.counts["refused commands"] += 1
                if name not in self._refusing:
                    self._refusing.add(name)
                    log.error("redis refuses to write one name; the rest goes on", name=name, reason=str(reply))

    def _written_to(self, batch: list[_Entry], report: bytes | None) -> Iterator[str]:
        """The channel or key of each command of :meth:`_pack`, in its order."""
        last_keys: dict[str, None] = {}
        for lane, symbol, _ in batch:
            yield lane.name
            if lane.add_start(symbol):
                yield lane.stream_key
            if lane.last_key:
                last_keys[lane.last_key] = None
        yield from last_keys
        if report is not None:
            yield self._report_key

    def _shed(self) -> None:
        """Give up the oldest until an eighth of the bounds is free again, but never the newest of a symbol."""
        newest = {(entry.lane, entry.symbol): index for index, entry in enumerate(self._queue)}
        too_many = len(self._queue) - self._max_events * 7 // 8
        too_large = self._queued_bytes - self._max_bytes * 7 // 8
        kept: list[_Entry] = []
        for index, entry in enumerate(self._queue):
            if (too_many > 0 or too_large > 0) and newest[entry.lane, entry.symbol] != index:
                too_many -= 1
                too_large -= len(entry.packed)
                self._queued_bytes -= len(entry.packed)
            else:
                kept.append(entry)
        self.counts["dropped"] += len(self._queue) - len(kept)
        self._queue = kept
        # Where the newest alone fill the buffer, looking again at every event would cost more than it frees.
        self._shed_above = max(self._max_events, len(kept) * 9 // 8), max(self._max_bytes, self._queued_bytes * 9 // 8)
