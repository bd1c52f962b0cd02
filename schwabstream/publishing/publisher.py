"""Events → Redis: one writer, whose next batch is whatever queued while the last one was in flight.

``publish`` numbers and encodes an event at once and never waits. Each batch is one transaction of PUBLISH and XADD for
every event and one HSET of the newest of each symbol, so that a batch Redis refuses or never got is repeated whole,
in order, and nothing reaches a subscriber that the stream does not hold (docs/adr/0003). Order is kept within a
channel. While Redis is away the queue is bounded; what is given up is counted, and the newest of each symbol is kept.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from schwabstream.backoff import Backoff
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.histogram import Histogram
from schwabstream.publishing.channel_queue import EVENT_OVERHEAD, ChannelQueue, weight
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.life import TRANSITIONS, UNREACHED, State, Trigger
from schwabstream.publishing.packing import bulk, command
from schwabstream.publishing.transaction import TransactionWriter
from schwabstream.report import Count

log = structlog.get_logger(__name__)

RETRY_FIRST_S = 0.1
CHECK_EVERY_S = 1.0
REPORT_LIFE_MS = 15_000
WRITE_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BATCH_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
_USUAL_REPLIES = frozenset({int, bytes})
_IDLE, _WRITING, _BEHIND = State.IDLE, State.WRITING, State.BEHIND  # looked up for every event or batch


class TradingEventPublisher:
    """Publishes events under ``prefix``; bounds hold for what waits, in events and in bytes.

    ``seq`` of each channel starts at the microseconds since the epoch, so it never falls across runs, whatever
    became of Redis in between. ``tap`` receives each encoded event as it is published (see ``stream run --json``).
    ``on_pressure`` is called with True when a Redis that answers falls behind, and with False when it has caught up or
    is away. With a ``fence`` nothing is written but while the lease in Redis names its holder. ``state`` moves along
    ``life.TRANSITIONS``; ``outage`` says why Redis does not take anything at the moment. ``refusing`` has the names
    that Redis refuses to write although it takes the rest, each with the newest command for it, which is repeated with
    every report until it is taken.
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
        tap: Callable[[bytes], None] | None = None,
        on_pressure: Callable[[bool], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._writer = TransactionWriter(redis_url, self._on_replies, self._on_failure, fence=fence)
        self.url = self._writer.url
        first_seq = int(wall() * 1e6)
        self._queues = {channel: ChannelQueue(channel, prefix, stream_maxlen, first_seq) for channel in Channel}
        self._report_key = f"{prefix}:streamer"
        self._report_start = command("SET", self._report_key, more=3)
        # Each batch renews the lease; for the prefix's claim, whose loss stops a batch as well, once a second will do.
        self._claim_key = fence.account_key if fence else None
        self._claim_renewal = command("PEXPIRE", fence.account_key, fence.life_ms) if fence else b""
        self._report: bytes | None = None
        self._report_in_flight: bytes | None = None
        self.queued = self.queued_bytes = 0
        self._max_events, self._max_bytes = max_events, max_bytes
        self._shed_events, self._shed_bytes = max_events, max_bytes
        self.state = State.AWAY
        self._news = asyncio.Event()
        self._failure: RedisUnavailable | LeaseLost | None = None
        self._backoff = Backoff(random.random, base_s=RETRY_FIRST_S, cap_s=1.0, floor_s=RETRY_FIRST_S, healthy_s=1.0)
        self._stop_asked = False
        self.outage: str | None = None
        self.counts: Counter[str] = Counter()
        self.batch_sizes, self.write_times = Histogram(BATCH_BOUNDS), Histogram(WRITE_BOUNDS_S)
        self.refusing: dict[str, bytes | None] = {}
        self._repeats: list[str] = []
        self._tap, self._on_pressure = tap, on_pressure

    @property
    def connected(self) -> bool:
        """Whether Redis is there."""
        return self.state not in UNREACHED

    @property
    def round_trip_s(self) -> float | None:
        """How long Redis took for the last batch; None before the first."""
        return self._writer.round_trip_s

    @property
    def published(self) -> int:
        """Events Redis has taken in this run, all channels."""
        return sum(queue.published for queue in self._queues.values())

    @property
    def published_by_channel(self) -> dict[Channel, int]:
        """Events Redis has taken in this run."""
        return {channel: queue.published for channel, queue in self._queues.items()}

    @property
    def dropped(self) -> int:
        """Events given up, for the buffer was full or the lease another's; each is a jump in its channel's ``seq``."""
        return self.counts[Count.DROPPED]

    async def connect(self) -> None:
        """Reach Redis; raises ``RedisUnavailable``, or ``LeaseLost`` when the lease is another's."""
        self._move(Trigger.CONNECT)
        try:
            await self._writer.connect()
        except BaseException as error:
            if self.state is State.CONNECTING:
                self._move(Trigger.LEASE_LOST if isinstance(error, LeaseLost) else Trigger.LOST)
            raise
        self._move(Trigger.CONNECTED)
        self._failure = self.outage = None

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Number, encode and queue one event; the dictionary may be reused as soon as this returns."""
        queue = self._queues[channel]
        # Into the lent dictionary, where its owner keeps a place for it: a copy of forty fields would cost more.
        event["seq"] = queue.seq = queue.seq + 1
        payload = orjson.dumps(event)
        if self._tap is not None:
            self._tap(payload)
        packed = b"$%d\r\n%b\r\n" % (len(payload), payload)
        queue.events.append((event["symbol"] or "", packed))
        self.queued += 1
        self.queued_bytes += len(packed) + EVENT_OVERHEAD
        if self.queued > self._shed_events or self.queued_bytes > self._shed_bytes:
            self._shed()
        if self.state is _IDLE:
            self._write_soon()

    def publish_report(self, report: bytes) -> None:
        """Queue the streamer's own report; it expires by itself when nobody renews it."""
        self._report = report
        if self.state is _IDLE:
            self._write_soon()

    def stop(self) -> None:
        """Let :meth:`run` end once everything queued is written."""
        self._stop_asked = True
        self._news.set()

    async def run(self) -> None:
        """Write until :meth:`stop`; outlives every outage of Redis, and ends with ``LeaseLost`` when fenced off."""
        while True:
            try:
                if self.state is State.AWAY:
                    await self.connect()
                    log.info("redis is back", url=self.url, queued=self.queued)
                await self._write_until_stopped()
                return
            except RedisUnavailable as error:
                if self.outage is None:
                    log.warning("redis is away", reason=str(error))
                    self.counts[Count.OUTAGES] += 1
                self.outage = str(error)
                await self._writer.disconnect()
                # Never at once: a Redis that refuses a batch takes each new connection, and refuses the batch again.
                await asyncio.sleep(self._backoff.next_delay(RETRY_FIRST_S))

    def give_up(self) -> int:
        """Drop what is still queued, once :meth:`run` has ended; returns how many events Redis did not take.

        StatusEvents stay for :meth:`send_notices`, unless the lease is another's.
        """
        unwritten = self.queued
        kept = set() if self.state is State.FENCED else {Channel.STATUS}
        for queue in self._queues.values():
            queue.unload()
            if queue.channel not in kept:
                self.counts[Count.DROPPED] += len(queue.events)
                queue.events = []
        notices = self._queues[Channel.STATUS].events
        self.queued, self.queued_bytes = len(notices), weight(notices)
        return unwritten

    async def send_notices(self) -> None:
        """Send the StatusEvents that are queued past all batches, if Redis answers; for the end of a run."""
        queue = self._queues[Channel.STATUS]
        if queue.events:
            await self._writer.notify(*queue.pack_singly())
            self.queued, self.queued_bytes, queue.events = 0, 0, []

    async def close(self) -> None:
        """Let go of Redis and the lease; what still waits is counted as dropped."""
        self._move(Trigger.CLOSE)
        self.counts[Count.DROPPED] += self.queued
        self.queued = self.queued_bytes = 0
        for queue in self._queues.values():
            queue.events, queue.in_flight = [], []
        await self._writer.close()

    async def _write_until_stopped(self) -> None:
        """Keep the writing going, which is done in callbacks; returns when all is written and nothing more comes."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._move(Trigger.RUN)
        if not self._writer.busy:
            self._write()
        try:
            while not (self.state is State.IDLE and self._stop_asked):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_EVERY_S):
                        await self._news.wait()
                self._news.clear()
                self._writer.check()
                if self._failure is not None:
                    raise self._failure
        finally:
            self._backoff.streamed(loop.time() - began)
            if Trigger.RUN_ENDED in TRANSITIONS[self.state]:
                self._move(Trigger.RUN_ENDED)

    def _write_soon(self) -> None:
        """Write when the loop comes round: all that one chunk from the socket brings goes in one batch."""
        self._move(Trigger.QUEUED)
        asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """Send the next batch; from here its replies, and theirs, keep the writing going until nothing is left."""
        if self.state is not _WRITING and self.state is not _BEHIND:
            return
        parts: list[bytes] = []
        commands = 0
        for queue in self._queues.values():
            if queue.events and (count := queue.load()):
                parts += queue.pack()
                commands += (2 if queue.has_stream else 1) * count + (1 if queue.last_key else 0)
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
            self._move(Trigger.ALL_WRITTEN)
            if self._stop_asked:
                self._news.set()

    def _on_replies(self, replies: list[Any]) -> None:
        """A batch is with Redis: account for it, and send the next."""
        if self.refusing or not _USUAL_REPLIES.issuperset(map(type, replies)):
            self._note_refusals(replies)
        total = 0
        for queue in self._queues.values():
            if count := len(queue.in_flight):
                total += count
                queue.published += count
                self.queued_bytes -= weight(queue.in_flight)
                queue.in_flight = []
        if total:
            self.queued -= total
            self.batch_sizes.add(total)
        self.write_times.add(self._writer.round_trip_s or 0.0)
        self._shed_events, self._shed_bytes = self._max_events, self._max_bytes
        if self._report is self._report_in_flight:
            self._report = None
        if self.state is _WRITING:
            if self._fills(1 / 4):
                self._move(Trigger.FELL_BEHIND)
                self._on_pressure(True)
        elif self.state is _BEHIND and not self._fills(1 / 8):
            self._move(Trigger.CAUGHT_UP)
            self._on_pressure(False)
        self._write()

    def _fills(self, part: float) -> bool:
        return self.queued > self._max_events * part or self.queued_bytes > self._max_bytes * part

    def _on_failure(self, error: RedisUnavailable | LeaseLost) -> None:
        trigger = Trigger.LEASE_LOST if isinstance(error, LeaseLost) else Trigger.LOST
        if trigger not in TRANSITIONS[self.state]:
            return  # the connection that send_notices made
        for queue in self._queues.values():
            queue.unload()
        if self.state is _BEHIND:
            self._on_pressure(False)  # what an outage brings, the buffer is for
        self._move(trigger)
        self._failure = error
        self._news.set()

    def _move(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]

    def _note_refusals(self, replies: list[Any]) -> None:
        """Count what Redis refused of a batch that it took otherwise, and log each name once, and its end."""
        writes: list[tuple[str, ChannelQueue | None]] = []
        for queue in self._queues.values():
            writes += [(name, queue) for name in queue.written_to()] if queue.in_flight else []
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
        writing = [queue for queue in self._queues.values() if queue.in_flight]
        written = {key for queue in writing for key in (queue.stream_key, queue.last_key)}
        again = {name: packed for name, packed in self.refusing.items() if packed and name not in written}
        self._repeats = list(again)
        return list(again.values())

    def _shed(self) -> None:
        """Give up the oldest until an eighth of the bounds is free again: the channel that holds most gives first."""
        for queue in sorted(self._queues.values(), key=lambda queue: weight(queue.events), reverse=True):
            events = self.queued - self._max_events * 7 // 8
            size = self.queued_bytes - self._max_bytes * 7 // 8
            if events <= 0 and size <= 0:
                break
            freed_events, freed_bytes = queue.shed(events, size)
            self.counts[Count.DROPPED] += freed_events
            self.queued -= freed_events
            self.queued_bytes -= freed_bytes
        # This walked through all that is queued. Where the newest of each symbol alone fill the buffer it freed little,
        # and would be repeated at every event: the next walk waits until the queue has grown by an eighth.
        self._shed_events = max(self._max_events, self.queued * 9 // 8)
        self._shed_bytes = max(self._max_bytes, self.queued_bytes * 9 // 8)
