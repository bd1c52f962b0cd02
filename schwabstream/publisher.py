"""Events → Redis: one writer, whose next batch is whatever queued while the last one was in flight.

``publish`` numbers and encodes an event at once and never waits. ``run`` writes: each batch is one transaction of
PUBLISH and XADD for every event and one HSET of the newest of each symbol, so that a batch Redis refuses or never
got is repeated whole, in order, and nothing reaches a subscriber that the stream does not hold (docs/adr/0003).
While Redis is away the queue is bounded; what is given up is counted, and the newest of each symbol is kept.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import hiredis
import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
RETRY_FIRST_S, RETRY_CAP_S = 0.1, 1.0
MAX_BATCH_EVENTS = 2_000
REPORT_LIFE_MS = 15_000
_READ_BYTES = 65_536
_LAST_VALUES = frozenset({Channel.TICKS, Channel.LEVEL2})


def redact_url(url: str) -> str:
    """The URL without its password, fit for messages and logs."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user_host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{user_host[2]}"))


def _cause(error: BaseException) -> str:
    """The shortest honest reason: the system's own word where there is one."""
    origin = error.__cause__ or error.__context__
    if isinstance(origin, OSError) and origin.errno:
        return os.strerror(origin.errno)
    return str(error) or "no answer in time"


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _command(*words: str | bytes, more: int = 0) -> bytes:
    """The start of a packed command of these words and ``more`` to be appended."""
    encoded = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % (len(encoded) + more) + b"".join(map(_bulk, encoded))


class _Entry(NamedTuple):
    lane: "_Lane"
    symbol: str
    bulk: bytes


class _Lane:
    """One channel: its sequence and its commands, packed as far as they never change."""

    def __init__(self, channel: Channel, prefix: str, maxlen: int, first_seq: int) -> None:
        self.channel = channel
        self.seq = first_seq
        self.published = 0
        self.publish_start = _command("PUBLISH", f"{prefix}:{channel}", more=1)
        self.last_key = f"{prefix}:last:{channel}" if channel in _LAST_VALUES else None
        self._add_start = _command(
            "XADD", f"{prefix}:stream:{channel}", "MAXLEN", "~", str(maxlen), "*", "symbol", more=3
        )
        self._add_starts: dict[str, bytes] | None = {} if maxlen else None

    def add_start(self, symbol: str) -> bytes | None:
        """XADD up to the event itself; None when streams are switched off."""
        if self._add_starts is None:
            return None
        start = self._add_starts.get(symbol)
        if start is None:
            start = self._add_starts[symbol] = self._add_start + _bulk(symbol.encode()) + _bulk(b"event")
        return start


class TradingEventPublisher:
    """Publishes events under ``prefix``; bounds hold for what waits, in events and in bytes.

    ``seq`` of each channel starts at the microseconds since the epoch, so it never falls across runs, whatever
    became of Redis in between. ``tap`` receives each encoded event as it is published (see ``stream run --json``);
    ``outage`` says why Redis does not take anything at the moment, ``round_trip_s`` how long the last batch took.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        prefix: str = "market_data",
        stream_maxlen: int = 100_000,
        max_events: int = 100_000,
        max_bytes: int = 64 * 2**20,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.url = redact_url(redis_url)
        self._client = Redis.from_url(
            redis_url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._pool: Any = self._client.connection_pool  # Any: redis-py does not annotate its pool
        self._connection: AbstractConnection | None = None
        self._replies = hiredis.Reader()
        first_seq = int(wall() * 1e6)
        self._lanes = {channel: _Lane(channel, prefix, stream_maxlen, first_seq) for channel in Channel}
        self._report_start = _command("SET", f"{prefix}:streamer", more=3)
        self._report: bytes | None = None
        self._queue: list[_Entry] = []
        self._in_flight: list[_Entry] = []
        self._queued_bytes = 0
        self._max_events, self._max_bytes = max_events, max_bytes
        self._wakeup = asyncio.Event()
        self._stopping = False
        self.connected = False
        self.outage: str | None = None
        self.round_trip_s: float | None = None
        self.counts: Counter[str] = Counter()
        self.tap: Callable[[bytes], None] | None = None

    @property
    def published(self) -> int:
        """Events Redis has taken in this run, all channels."""
        return sum(lane.published for lane in self._lanes.values())

    @property
    def queued(self) -> int:
        """Events that wait for Redis."""
        return len(self._in_flight) + len(self._queue)

    @property
    def dropped(self) -> int:
        """Events given up because the buffer was full; each is a jump in its channel's ``seq``."""
        return self.counts["dropped"]

    async def connect(self) -> None:
        """Reach Redis or raise ``RedisUnavailable``."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._connection = await self._pool.get_connection()
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisUnavailable(
                f"Redis at {self.url} cannot be reached ({_cause(error)}): start it, correct REDIS_URL, "
                "or run with --redis embedded"
            ) from error
        self._replies = hiredis.Reader()
        self.connected, self.outage = True, None

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Number, encode and queue one event; the dictionary may be reused as soon as this returns."""
        lane = self._lanes[channel]
        lane.seq += 1
        event["seq"] = lane.seq
        payload = orjson.dumps(event)
        if self.tap is not None:
            self.tap(payload)
        bulk = _bulk(payload)
        self._queue.append(_Entry(lane, event["symbol"] or "", bulk))
        self._queued_bytes += len(bulk)
        if len(self._queue) > self._max_events or self._queued_bytes > self._max_bytes:
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
        """Write until :meth:`stop`; outlives every outage of Redis."""
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
        """Let go of the connection; what still waits is counted as dropped."""
        self.counts["dropped"] += self.queued
        self._queue.clear()
        if self._connection is not None:
            await self._connection.disconnect()
        await self._client.aclose()

    async def _disconnect(self, reason: str) -> None:
        if self.connected:
            log.warning("redis is away", reason=reason)
            self.counts["outages"] += 1
        self.connected, self.outage = False, reason
        if self._connection is not None:
            await self._connection.disconnect()
            await self._pool.release(self._connection)
            self._connection = None

    async def _write_all(self) -> None:
        while self._queue or self._report is not None:
            report = self._report
            self._in_flight, self._queue = self._queue[:MAX_BATCH_EVENTS], self._queue[MAX_BATCH_EVENTS:]
            try:
                await self._write(self._in_flight, report)
            except BaseException:
                self._queue[:0] = self._in_flight
                self._in_flight = []
                raise
            for entry in self._in_flight:
                self._queued_bytes -= len(entry.bulk)
                entry.lane.published += 1
            self._in_flight = []
            if self._report is report:
                self._report = None

    async def _write(self, batch: list[_Entry], report: bytes | None) -> None:
        parts, commands = self._pack(batch, report)
        connection = self._connection
        if connection is None:
            raise RedisUnavailable(f"no connection to Redis at {self.url}")
        sent_at = time.perf_counter()
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await connection.send_packed_command([b"".join(parts)], check_health=False)
                replies = await self._read(connection, commands + 2)
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisUnavailable(f"Redis at {self.url} did not take a batch: {_cause(error)}") from error
        self.round_trip_s = time.perf_counter() - sent_at
        self._judge(replies)

    def _pack(self, batch: list[_Entry], report: bytes | None) -> tuple[list[bytes], int]:
        """One transaction as packed bytes, and how many commands stand between MULTI and EXEC."""
        parts, commands = [_command("MULTI")], 0
        newest: dict[_Lane, dict[str, bytes]] = {}
        for lane, symbol, bulk in batch:
            parts += (lane.publish_start, bulk)
            commands += 1
            if start := lane.add_start(symbol):
                parts += (start, bulk)
                commands += 1
            if lane.last_key:
                newest.setdefault(lane, {})[symbol] = bulk
        for lane, last in newest.items():
            parts.append(_command("HSET", lane.last_key or "", more=2 * len(last)))
            for symbol, bulk in last.items():
                parts += (_bulk(symbol.encode()), bulk)
            commands += 1
        if report is not None:
            parts += (self._report_start, _bulk(report), _bulk(b"PX"), _bulk(b"%d" % REPORT_LIFE_MS))
            commands += 1
        parts.append(_command("EXEC"))
        return parts, commands

    async def _read(self, connection: AbstractConnection, count: int) -> list[Any]:
        # redis-py's own reading costs more per reply than Redis needs to answer it, so the replies are read here.
        stream, reader = connection._reader, self._replies  # held by a test (docs/adr/0003)
        if stream is None:
            raise RedisUnavailable(f"no connection to Redis at {self.url}")
        replies: list[Any] = []
        while len(replies) < count:
            reply = reader.gets()
            if reply is not False:
                replies.append(reply)
                continue
            received = await stream.read(_READ_BYTES)
            if not received:
                raise RedisUnavailable(f"Redis at {self.url} closed the connection")
            reader.feed(received)
        return replies

    def _judge(self, replies: list[Any]) -> None:
        outcome = replies[-1]
        if isinstance(outcome, hiredis.ReplyError):
            refusals = [reply for reply in replies if isinstance(reply, hiredis.ReplyError)]
            raise RedisUnavailable(f"Redis at {self.url} refused a batch: {refusals[0]}")
        for reply in outcome:
            if isinstance(reply, hiredis.ReplyError):
                if not self.counts["refused commands"]:
                    log.error("redis refused a command; its event is lost", reason=str(reply))
                self.counts["refused commands"] += 1

    def _shed(self) -> None:
        """Give up the oldest eighth, but for the newest of each symbol."""
        keep_from = len(self._queue) // 8 or 1
        newest = {(entry.lane, entry.symbol): index for index, entry in enumerate(self._queue)}
        kept = [entry for i, entry in enumerate(self._queue[:keep_from]) if newest[entry.lane, entry.symbol] == i]
        self.counts["dropped"] += keep_from - len(kept)
        self._queue[:keep_from] = kept
        self._queued_bytes = sum(len(entry.bulk) for entry in (*self._in_flight, *self._queue))
