"""Events → Redis: one writer, whose next batch is whatever queued while the last one was in flight.

``publish`` numbers and encodes an event at once and never waits. Each batch is one transaction of PUBLISH and XADD for
every event and one HSET of the newest of each symbol, so that a batch Redis refuses or never got is repeated whole,
in order, and nothing reaches a subscriber that the stream does not hold (docs/adr/0003). Order is kept within a
channel. While Redis is away the queue is bounded; what is given up is counted, and the newest of each symbol is kept.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.histogram import Histogram
from schwabstream.publishing.channel_queue import EVENT_OVERHEAD, Lane, weight
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.transaction import RedisWriter, bulk, command
from schwabstream.report import Count

log = structlog.get_logger(__name__)

RETRY_FIRST_S, RETRY_CAP_S = 0.1, 1.0
CHECK_EVERY_S = 1.0
REPORT_LIFE_MS = 15_000
WRITE_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BATCH_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
_USUAL_REPLIES = frozenset({int, bytes})


class TradingEventPublisher:
    """Publishes events under ``prefix``; bounds hold for what waits, in events and in bytes.

    ``seq`` of each channel starts at the microseconds since the epoch, so it never falls across runs, whatever
    became of Redis in between. ``tap`` receives each encoded event as it is published (see ``stream run --json``);
    ``outage`` says why Redis does not take anything at the moment. ``on_pressure`` is told True when a Redis that
    answers falls behind, and False when it has caught up or is away. With a ``fence`` nothing is written but while
    the lease in Redis names its holder. ``refusing`` has the names that Redis refuses to write although it takes the
    rest, each with the newest command for it, which is repeated with every report until it is taken.
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
        self._writer = RedisWriter(redis_url, self._on_replies, self._on_failure, fence=fence)
        self.url = self._writer.url
        first_seq = int(wall() * 1e6)
        self._lanes = {channel: Lane(channel, prefix, stream_maxlen, first_seq) for channel in Channel}
        self._report_key = f"{prefix}:streamer"
        self._report_start = command("SET", self._report_key, more=3)
        # Each batch renews the lease; for the prefix's claim, whose loss stops a batch as well, once a second will do.
        self._claim_key = fence.account_key if fence else None
        self._claim_renewal = command("PEXPIRE", fence.account_key, fence.life_ms) if fence else b""
        self._report: bytes | None = None
        self._report_in_flight: bytes | None = None
        self.queued = self.queued_bytes = 0
        self._max_events, self._max_bytes = max_events, max_bytes
        self._shed_above = max_events, max_bytes
        self._idle = False
        self._news = asyncio.Event()
        self._failure: RedisUnavailable | LeaseLost | None = None
        self._retry_s = RETRY_FIRST_S
        self._stopping = False
        self.connected = False
        self.outage: str | None = None
        self.counts: Counter[str] = Counter()
        self.batch_sizes, self.write_times = Histogram(BATCH_BOUNDS), Histogram(WRITE_BOUNDS_S)
        self.refusing: dict[str, bytes | None] = {}
        self._repeats: list[str] = []
        self.tap: Callable[[bytes], None] | None = None
        self.on_pressure: Callable[[bool], None] = lambda _: None
        self._pressed = False

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
    def dropped(self) -> int:
        """Events given up, for the buffer was full or the lease another's; each is a jump in its channel's ``seq``."""
        return self.counts[Count.DROPPED]

    async def connect(self) -> None:
        """Reach Redis; raises ``RedisUnavailable``, or ``LeaseLost`` when the lease is another's."""
        self._failure = None
        await self._writer.connect()
        self.connected, self.outage = True, None

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Number, encode and queue one event; the dictionary may be reused as soon as this returns."""
        lane = self._lanes[channel]
        event["seq"] = lane.seq = lane.seq + 1
        payload = orjson.dumps(event)
        if self.tap is not None:
            self.tap(payload)
        packed = b"$%d\r\n%b\r\n" % (len(payload), payload)
        lane.queue.append((event["symbol"] or "", packed))
        self.queued += 1
        self.queued_bytes += len(packed) + EVENT_OVERHEAD
        if self.queued > self._shed_above[0] or self.queued_bytes > self._shed_above[1]:
            self._shed()
        if self._idle:
            self._write_soon()

    def publish_report(self, report: bytes) -> None:
        """Queue the streamer's own report; it expires by itself when nobody renews it."""
        self._report = report
        if self._idle:
            self._write_soon()

    def stop(self) -> None:
        """Let :meth:`run` end once everything queued is written."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Write until :meth:`stop`; outlives every outage of Redis, and ends with ``LeaseLost`` when fenced off."""
        while True:
            try:
                if not self.connected:
                    await self.connect()
                    log.info("redis is back", url=self.url, queued=self.queued)
                await self._write_until_stopped()
                return
            except RedisUnavailable as error:
                await self._disconnect(str(error))
                await asyncio.sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, RETRY_CAP_S)

    def give_up(self) -> int:
        """Drop what is still queued, once :meth:`run` has ended; returns how many events Redis did not take.

        StatusEvents stay for :meth:`send_notices`, unless the lease is another's.
        """
        unwritten = self.queued
        kept = set() if isinstance(self._failure, LeaseLost) else {Channel.STATUS}
        for lane in self._lanes.values():
            lane.unload()
            if lane.channel not in kept:
                self.counts[Count.DROPPED] += len(lane.queue)
                lane.queue = []
        notices = self._lanes[Channel.STATUS].queue
        self.queued, self.queued_bytes = len(notices), weight(notices)
        return unwritten

    async def send_notices(self) -> None:
        """Send the StatusEvents that are queued past all batches, if Redis answers; for the end of a run."""
        lane = self._lanes[Channel.STATUS]
        if lane.queue:
            await self._writer.notify(*lane.pack_singly())
            self.queued, self.queued_bytes, lane.queue = 0, 0, []

    async def close(self) -> None:
        """Let go of Redis and the lease; what still waits is counted as dropped."""
        self._idle = False
        self.counts[Count.DROPPED] += self.queued
        self.queued = self.queued_bytes = 0
        for lane in self._lanes.values():
            lane.queue, lane.in_flight = [], []
        await self._writer.close()

    async def _disconnect(self, reason: str) -> None:
        if self.connected:
            log.warning("redis is away", reason=reason)
            self.counts[Count.OUTAGES] += 1
        self.connected, self.outage = False, reason
        await self._writer.disconnect()

    async def _write_until_stopped(self) -> None:
        """Keep the writing going, which is done in callbacks; returns when all is written and nothing more comes."""
        self._write()
        try:
            while not (self._idle and self._stopping):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_EVERY_S):
                        await self._news.wait()
                self._news.clear()
                self._writer.check()
                if self._failure is not None:
                    raise self._failure
        finally:
            self._idle = False

    def _write_soon(self) -> None:
        """Write when the loop comes round: all that one chunk from the socket brings goes in one batch."""
        self._idle = False
        asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """Send the next batch; from here its replies, and theirs, keep the writing going until nothing is left."""
        if not self.connected or self._failure is not None or self._writer.busy:
            return
        parts: list[bytes] = []
        commands = 0
        for lane in self._lanes.values():
            if lane.queue and (count := lane.load()):
                parts += lane.pack()
                commands += (2 if lane.has_stream else 1) * count + (1 if lane.last_key else 0)
        report, self._repeats = self._report, []
        self._report_in_flight = report
        if report is not None:
            parts += (self._report_start, bulk(report), bulk(b"PX"), bulk(b"%d" % REPORT_LIFE_MS), self._claim_renewal)
            repeats = self._repeat_refused() if self.refusing else []
            parts += repeats
            commands += (2 if self._claim_key else 1) + len(repeats)
        if commands:
            self._writer.transact(parts, commands)
        else:
            self._idle = True
            if self._stopping:
                self._news.set()

    def _on_replies(self, replies: list[Any]) -> None:
        """A batch is with Redis: account for it, and send the next."""
        if self.refusing or not _USUAL_REPLIES.issuperset(map(type, replies)):
            self._note_refusals(replies)
        total = 0
        for lane in self._lanes.values():
            if count := len(lane.in_flight):
                total += count
                lane.published += count
                self.queued_bytes -= weight(lane.in_flight)
                lane.in_flight = []
        if total:
            self.queued -= total
            self.batch_sizes.add(total)
        self.write_times.add(self._writer.round_trip_s or 0.0)
        self._shed_above = self._max_events, self._max_bytes
        if self._report is self._report_in_flight:
            self._report = None
        self._retry_s = RETRY_FIRST_S
        self._press(self._fills(1 / 8 if self._pressed else 1 / 4))
        self._write()

    def _fills(self, part: float) -> bool:
        return self.queued > self._max_events * part or self.queued_bytes > self._max_bytes * part

    def _press(self, pressed: bool) -> None:
        if pressed is not self._pressed:
            self._pressed = pressed
            self.on_pressure(pressed)

    def _on_failure(self, error: RedisUnavailable | LeaseLost) -> None:
        self._idle = False
        for lane in self._lanes.values():
            lane.unload()
        self._press(pressed=False)  # what an outage brings, the buffer is for
        self._failure = error
        self._news.set()

    def _note_refusals(self, replies: list[Any]) -> None:
        """Count what Redis refused of a batch that it took otherwise, and tell of each name once, and of its end."""
        writes: list[tuple[str, Lane | None]] = []
        for lane in self._lanes.values():
            writes += [(name, lane) for name in lane.written_to()] if lane.in_flight else []
        if self._report_in_flight is not None:
            writes += [(self._report_key, None), *([(self._claim_key, None)] if self._claim_key else [])]
            writes += [(name, None) for name in self._repeats]
        for (name, source), reply in zip(writes, replies, strict=True):
            if not isinstance(reply, Exception):
                if name in self.refusing:
                    del self.refusing[name]
                    log.info("redis takes what it refused", name=name)
                continue
            self.counts[Count.REFUSED_COMMANDS] += 1
            if name not in self.refusing:
                log.error("redis refuses to write one name; the rest goes on", name=name, reason=str(reply))
            if source is not None:
                self.refusing[name] = source.rewrite(name)
            else:
                self.refusing.setdefault(name, None)

    def _repeat_refused(self) -> list[bytes]:
        """The newest commands that were refused, but for names that the batch writes to anyway.

        A channel may be quiet for days after its key was repaired.
        """
        written = {key for lane in self._lanes.values() if lane.in_flight for key in (lane.stream_key, lane.last_key)}
        again = {name: packed for name, packed in self.refusing.items() if packed and name not in written}
        self._repeats = list(again)
        return list(again.values())

    def _shed(self) -> None:
        """Give up the oldest until an eighth of the bounds is free again: the channel that holds most gives first."""
        for lane in sorted(self._lanes.values(), key=lambda lane: weight(lane.queue), reverse=True):
            events = self.queued - self._max_events * 7 // 8
            size = self.queued_bytes - self._max_bytes * 7 // 8
            if events <= 0 and size <= 0:
                break
            freed_events, freed_bytes = lane.shed(events, size)
            self.counts[Count.DROPPED] += freed_events
            self.queued -= freed_events
            self.queued_bytes -= freed_bytes
        # Where the newest alone fill the buffer, looking again at every event would cost more than it frees.
        self._shed_above = max(self._max_events, self.queued * 9 // 8), max(self._max_bytes, self.queued_bytes * 9 // 8)
