"""Writes events to Redis in batches: each batch is what was queued while the previous one was in flight.

``publish`` numbers and encodes an event at once and never waits. A batch is one transaction: PUBLISH and XADD for every
event, another PUBLISH on the channel of its symbol unless these are off, and one HSET with the newest event of each
symbol. A batch that Redis refuses or never receives is sent again whole and in order, and subscribers get nothing that
the stream lacks (docs/adr/0003). Order holds within a channel. While Redis is away the queue is bounded: dropped events
are counted, and the newest event of each symbol is kept. After each connect, acknowledged events that this Redis lacks
are written again, before anything newer (docs/adr/0016).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from schwabstream.backoff import Backoff
from schwabstream.broker.outage import Outage
from schwabstream.broker.url import prefix_at
from schwabstream.clock import LIVE_CLOCK, Clock
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.publishing.fence import Fence
from schwabstream.publishing.life import TRANSITIONS, UNREACHED, State, Trigger
from schwabstream.publishing.master import Master
from schwabstream.publishing.queue.batch import SIZE_BOUNDS, Batch
from schwabstream.publishing.queue.bounds import Bounds
from schwabstream.publishing.queue.channel import EVENT_OVERHEAD, ChannelQueue, weight
from schwabstream.publishing.queue.instruments import InstrumentHash
from schwabstream.publishing.queue.kept import KEPT_S
from schwabstream.publishing.queue.report_command import ReportCommand
from schwabstream.publishing.queue.symbol_channels import SymbolChannels
from schwabstream.publishing.resume import Resume
from schwabstream.publishing.transaction import ROUND_TRIP_BOUNDS_S, TransactionWriter
from schwabstream.report import Count, Histogram, RedisReport

log = structlog.get_logger(__name__)

RETRY_FIRST_S, CHECK_EVERY_S = 0.1, 1.0
_USUAL_REPLIES = frozenset({int, bytes})
_IDLE, _WRITING, _BEHIND = State.IDLE, State.WRITING, State.BEHIND  # looked up for every event or batch


class TradingEventPublisher:
    """Publishes events under ``prefix``; ``max_events`` and ``max_bytes`` bound the queue.

    ``seq`` of each channel starts at the microseconds since the epoch, or above the newest in Redis if that is higher
    (docs/adr/0002). ``tap`` gets each encoded event as it is published (``stream run --json``). ``on_pressure`` is
    called with True when a Redis that answers falls behind, and with False when it has caught up or is away. With a
    ``fence``, events are written only while the lease in Redis names its holder. ``state`` follows
    ``life.TRANSITIONS``. ``refusing`` has the names whose writes Redis refuses while it accepts the rest.
    ``instruments`` takes InstrumentEvents, which are written with the next report. With ``symbol_channels``, ticks,
    books and bars are also published on a channel of their symbol. ``on_loss`` is called when Redis lacked acknowledged
    events, with the number of events that could not be written again.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = "market_data",
        stream_maxlen: int = 100_000,
        stream_maxage_s: float = 0.0,
        max_events: int = 100_000,
        max_bytes: int = 64 * 2**20,
        symbol_channels: bool = True,
        fence: Fence | None = None,
        tap: Callable[[bytes], None] | None = None,
        on_pressure: Callable[[bool], None] = lambda _: None,
        on_loss: Callable[[int], None] = lambda _: None,
        clock: Clock = LIVE_CLOCK,
    ) -> None:
        prefix = prefix_at(redis_url, prefix)
        self._writer = TransactionWriter(
            redis_url, prefix, self._on_replies, self._on_failure, self._on_refused, fence=fence, now=clock.monotonic
        )
        self.url = self._writer.url
        first_seq, sharded = int(clock.wall() * 1e6), self._writer.route.mode == "cluster"
        self._queues = {each: ChannelQueue(each, prefix, stream_maxlen, first_seq, sharded=sharded) for each in Channel}
        self.instruments = InstrumentHash(prefix)
        self.symbol_channels = SymbolChannels(self._queues, wanted=symbol_channels)
        self._report = ReportCommand(prefix, fence)
        self.counts: Counter[str] = Counter()
        self._outage = Outage(self.url)
        queues = self._queues.values()
        self._batch = Batch(queues, self._report, self.instruments, self.counts, maxage_s=stream_maxage_s)
        self.refusing = self._batch.refusing
        self._resume = Resume(queues, self.counts, self.publish, on_loss, maxage_s=stream_maxage_s, clock=clock)
        self._master = Master(self._writer, self.counts, clock.sleep)
        self.queued = self.queued_bytes = 0
        self._bounds = Bounds(max_events, max_bytes)
        self.state = State.AWAY
        self._news = asyncio.Event()
        self._failure: RedisUnavailable | LeaseLost | None = None
        self._clock = clock
        self._stop_asked = False
        self._backoff = Backoff(clock.random, base_s=RETRY_FIRST_S, cap_s=1.0, floor_s=RETRY_FIRST_S, healthy_s=1.0)
        self.batch_sizes, self.write_times = Histogram(SIZE_BOUNDS), Histogram(ROUND_TRIP_BOUNDS_S)
        self._tap, self._on_pressure = tap, on_pressure

    @property
    def connected(self) -> bool:
        """Whether a connection to Redis is open."""
        return self.state not in UNREACHED

    @property
    def round_trip_s(self) -> float | None:
        """Seconds that Redis took for the last batch; None before the first."""
        return self._writer.round_trip_s

    @property
    def outage(self) -> str | None:
        """Why Redis accepts nothing at the moment, or None."""
        return self._outage.reason

    @property
    def published(self) -> int:
        """Events written in this run, over all channels."""
        return sum(self.published_by_channel.values())

    @property
    def published_by_channel(self) -> dict[Channel, int]:
        """Events written in this run."""
        return {channel: queue.published for channel, queue in self._queues.items()}

    @property
    def dropped(self) -> int:
        """Events dropped because the buffer was full or the lease was lost; each is a jump in its channel's ``seq``."""
        return self.counts[Count.DROPPED]

    @property
    def redis(self) -> RedisReport:
        """The server that the publisher writes to, and what Redis lost and had in this run."""
        return self._master.report

    async def connect(self) -> None:
        """Connect to Redis; raises ``RedisUnavailable``, or ``LeaseLost`` when another streamer holds the lease."""
        self._move(Trigger.CONNECT)
        try:
            found = await self._writer.connect(self._resume.questions)
        except BaseException as error:
            if self.state is State.CONNECTING:
                self._move(Trigger.LEASE_LOST if isinstance(error, LeaseLost) else Trigger.LOST)
            raise
        self.symbol_channels.resume()
        self._master.note()
        self._resume.take(found)
        self._measure()
        self._move(Trigger.CONNECTED)
        self._failure = None
        if not self.queued and self._report.newest is None:
            self._outage.end(queued=0)

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Number, encode and queue one event; the dictionary may be reused as soon as this returns."""
        queue = self._queues[channel]
        symbol, newest = event["symbol"] or "", queue.newest
        # Set in the caller's dictionary, which has places for them: copying forty fields would cost more.
        event["prev"] = newest.get(symbol, 0)
        event["seq"] = queue.seq = newest[symbol] = queue.seq + 1
        payload = orjson.dumps(event)
        if self._tap is not None:
            self._tap(payload)
        packed = b"$%d\r\n%b\r\n" % (len(payload), payload)
        queue.events.append((symbol, packed))
        self.queued += 1
        self.queued_bytes += len(packed) + EVENT_OVERHEAD
        bounds = self._bounds
        if self.queued > bounds.events or self.queued_bytes > bounds.bytes:
            self._shed()
        if self.state is _IDLE:
            self._write_soon()

    def publish_report(self, report: bytes) -> None:
        """Queue the streamer's report, which expires in Redis unless it is renewed."""
        self._report.queue(report)
        if self.state is _IDLE:
            self._write_soon()

    def stop(self) -> None:
        """Let :meth:`run` return once the queue is written."""
        self._stop_asked = True
        self._news.set()

    async def run(self) -> None:
        """Write until :meth:`stop`, through every outage of Redis; raises ``LeaseLost`` when the lease is lost."""
        async with self._master.watched():
            while True:
                try:
                    if self.state is State.AWAY:
                        await self.connect()
                    await self._write_until_stopped()
                    return
                except RedisUnavailable as error:
                    self.counts[Count.OUTAGES] += self._outage.note(str(error))
                    await self._writer.disconnect()
                    # Always pause: a Redis that refuses a batch accepts the new connection and refuses the batch again.
                    await self._clock.sleep(self._backoff.next_delay(RETRY_FIRST_S))

    def give_up(self) -> int:
        """Drop the queue after :meth:`run` has ended; returns how many events were not written.

        StatusEvents stay queued for :meth:`send_notices`, unless the lease is lost.
        """
        unwritten = self.queued
        kept = set() if self.state is State.FENCED else {Channel.STATUS}
        self._unload()
        for queue in self._queues.values():
            if queue.channel not in kept:
                self.counts[Count.DROPPED] += len(queue.events)
                queue.events = []
        self._measure()
        return unwritten

    async def send_notices(self) -> None:
        """Send the queued StatusEvents outside of any batch, if Redis answers; call it at the end of a run."""
        queue = self._queues[Channel.STATUS]
        if queue.events:
            await self._writer.notify(*queue.pack_singly())
            queue.events = []
            self._measure()

    async def close(self) -> None:
        """Release the connection and the lease, and count the queued events as dropped."""
        self._move(Trigger.CLOSE)
        self.counts[Count.DROPPED] += self.queued
        self.queued = self.queued_bytes = 0
        for queue in self._queues.values():
            queue.events, queue.in_flight = [], []
        await self._writer.close()

    def _measure(self) -> None:
        """Count the queued events anew."""
        self.queued = sum(len(queue.events) for queue in self._queues.values())
        self.queued_bytes = sum(weight(queue.events) for queue in self._queues.values())

    async def _write_until_stopped(self) -> None:
        """Start the callbacks that write, and watch them; returns when :meth:`stop` was called and all is written."""
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
                self._resume.kept.forget(self._clock.monotonic() - KEPT_S)
                if self._failure is not None:
                    raise self._failure
        finally:
            self._backoff.streamed(loop.time() - began)
            if Trigger.RUN_ENDED in TRANSITIONS[self.state]:
                self._move(Trigger.RUN_ENDED)

    def _write_soon(self) -> None:
        """Write in the next turn of the event loop, so that the events of one chunk from the socket share a batch."""
        self._move(Trigger.QUEUED)
        asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """Send the next batch; the replies to each batch send the one after it until the queue is empty."""
        if self.state is not _WRITING and self.state is not _BEHIND:
            return
        parts: list[bytes] = []
        commands = 0
        for queue in self._queues.values():
            if queue.events and (count := queue.load()):
                parts += queue.pack()
                commands += queue.commands_per_event * count + (1 if queue.last_key else 0)
        if self._report.newest is not None:
            more, count = self._batch.load_report(int(self._clock.wall() * 1000))
            parts, commands = parts + more, commands + count
        if commands:
            self._writer.transact(parts, commands)
        else:
            self._move(Trigger.ALL_WRITTEN)
            if self._stop_asked:
                self._news.set()

    def _on_replies(self, replies: list[Any]) -> None:
        """Account for a batch that Redis has run, and send the next."""
        if self.refusing or not _USUAL_REPLIES.issuperset(map(type, replies)):
            self._batch.note_refusals(replies)
            self.symbol_channels.leave_out(self.refusing)
        if self._outage.reason is not None:
            self._outage.end(queued=self.queued)
        total = 0
        for queue in self._queues.values():
            if count := len(queue.in_flight):
                total, queue.published = total + count, queue.published + count
                size = weight(queue.in_flight)
                self.queued_bytes -= size
                queue.written_at = self._writer.answered_at
                self._resume.kept.add(queue.written_at, queue.channel, queue.in_flight, size)
                queue.in_flight = []
        if total:
            self.queued -= total
            self.batch_sizes.add(total)
        self.write_times.add(self._writer.round_trip_s or 0.0)
        bounds = self._bounds
        bounds.events, bounds.bytes = bounds.most_events, bounds.most_bytes
        if self._report.in_flight:
            self._batch.report_written()
        if self.state is _WRITING:
            if bounds.filled(1 / 4, self.queued, self.queued_bytes):
                self._move(Trigger.FELL_BEHIND)
                self._on_pressure(True)
        elif self.state is _BEHIND and not bounds.filled(1 / 8, self.queued, self.queued_bytes):
            self._move(Trigger.CAUGHT_UP)
            self._on_pressure(False)
        self._write()

    def _on_failure(self, error: RedisUnavailable | LeaseLost) -> None:
        trigger = Trigger.LEASE_LOST if isinstance(error, LeaseLost) else Trigger.LOST
        if trigger not in TRANSITIONS[self.state]:
            return  # the connection that send_notices opened
        self._unload()
        if self.state is _BEHIND:
            self._on_pressure(False)  # the buffer is for outages
        self._move(trigger)
        self._failure = error
        self._news.set()

    def _unload(self) -> None:
        for queue in self._queues.values():
            queue.unload()

    def _move(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]

    def _on_refused(self, replies: list[Any]) -> bool:
        """Send a discarded batch again without its symbol channels, if only these were refused; else return False."""
        if refused := self._batch.refused_alone(self.symbol_channels, replies):
            self.symbol_channels.leave_out(refused)
            self._unload()
            self._write()
        return bool(refused)

    def _shed(self) -> None:
        """Drop the oldest events; the buffer is full."""
        events, size = self._bounds.shed(self._queues.values(), self.queued, self.queued_bytes)
        self.counts[Count.DROPPED] += events
        self.queued, self.queued_bytes = self.queued - events, self.queued_bytes - size
