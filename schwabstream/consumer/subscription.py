"""Redis → events: the last values, then live events, across outages of Redis, with every gap reported.

A reader of some symbols listens to the channels of these symbols if the streamer publishes them (docs/adr/0013).
:class:`Subscription` shows its queue, its counters and its connection, as screens need them; ``live_events`` is the
interface for programs. Opens no connection to Schwab; writes nothing to Redis but wishes.
"""

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Any, Self, cast

import structlog
from pydantic import ValidationError
from redis.asyncio.client import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from schwabstream.backoff import Backoff
from schwabstream.broker.arguments import check_channels, check_texts
from schwabstream.broker.client import RoutedPool, redis_client
from schwabstream.broker.kind import reach, refuse_unsuitable
from schwabstream.broker.outage import Outage
from schwabstream.broker.url import Address, is_away, parse_redis_url, prefix_at, redact_url, translated, unavailable
from schwabstream.broker.watch import following
from schwabstream.consumer.conflation import LAST_VALUE_CHANNELS, ConflatingQueue
from schwabstream.consumer.recent_bars import fetch_recent_bars
from schwabstream.consumer.samples import Samples
from schwabstream.consumer.selection import ReportLooks, aliases_for, channel_names
from schwabstream.consumer.subscribed_connection import SubscribedConnection
from schwabstream.consumer.wishes import WantedSet
from schwabstream.errors import RedisUnavailable
from schwabstream.events import BarEvent, Channel, Event
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import StreamerReport, parse_report

log = structlog.get_logger(__name__)

DEFAULT_URL = "redis://127.0.0.1:6379/0"
DEFAULT_PREFIX = "market_data"
EVERYTHING = frozenset(Channel) - {Channel.SCREENERS, Channel.ACCOUNT}
"""All that concerns symbols. Screeners and account activity have their own readers, which name these channels."""
CONNECT_TIMEOUT_S = 3.0
PROBE_AFTER_S = 5.0
NEWEST_PAUSE_S = 0.04
"""How long a reader of the newest values lets messages gather: it spends less on fewer and larger reads."""
_MESSAGE = (b"message", b"smessage")


class Subscription:
    """A connection that reads the channels ``kinds``: use it in ``async with``, and iterate it or read its ``queue``.

    With ``symbols``, it listens only to the channels of these symbols while the streamer publishes them and Redis
    allows it; the ``queue`` must select them in any case.

    ``outages`` counts the outages of Redis. A connection that is silent for ``probe_after_s`` gets a PING; without an
    answer in the same time it is lost.
    """

    def __init__(
        self,
        queue: ConflatingQueue | None = None,
        *,
        kinds: Collection[Channel] = EVERYTHING,
        symbols: Collection[Symbol] = (),
        redis_url: str = DEFAULT_URL,
        prefix: str = DEFAULT_PREFIX,
        probe_after_s: float = PROBE_AFTER_S,
    ) -> None:
        check_texts(redis_url=redis_url, prefix=prefix)
        prefix = prefix_at(redis_url, prefix)
        self.queue = ConflatingQueue() if queue is None else queue
        self.url = redact_url(redis_url)
        self._outage = Outage(self.url)
        self.outages = 0
        self._prefix, self._probe_after_s = prefix, probe_after_s
        self._kinds, self._symbols = frozenset(check_channels("kinds", kinds)), symbols
        # A reader of symbols follows the streamer to other channels when StatusEvents announce a new run.
        self._listening = self._kinds | {Channel.STATUS} if symbols else self._kinds
        self._channels: Mapping[bytes, Channel] = {}
        self._heard: frozenset[str] | None = None  # the aliases to whose channels it listens; None: the shared ones
        self._shared_only = False  # since Redis has refused the channels of symbols
        client = functools.partial(redis_client, redis_url, prefix, timeout_s=CONNECT_TIMEOUT_S, protocol=2)
        self._client = client(reads=True)
        self._master = client() if parse_redis_url(redis_url).from_replica else self._client
        self._connection: SubscribedConnection | None = None
        self.samples = Samples(self._read_sample)
        self._arrived = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await refuse_unsuitable(self._client, self.url, to_write=False)
            self._connection = await self._open()
        except RedisUnavailable:
            await self._close()
            raise
        self._reader = asyncio.create_task(self._read_on(), name="subscription")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
        await self._close()

    async def _close(self) -> None:
        await self.samples.close()
        for client in {self._client, self._master}:
            await client.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while (event := self.queue.take()) is None:
            await self.arrived()
        return event

    async def arrived(self) -> None:
        """Wait until something has arrived since the last call."""
        await self._arrived.wait()
        self._arrived.clear()
        if self._reader is not None and self._reader.done():
            self._reader.result()

    @property
    def outage(self) -> str | None:
        """Why Redis is away, or None."""
        return self._outage.reason

    async def fetch_report(self) -> StreamerReport | None:
        """The running streamer's report; None when none is running. Raises ``RedisUnavailable``."""
        with translated(self.url):
            return await fetch_report(self._client, self._prefix)

    def follow_rate(self, report: StreamerReport | None) -> None:
        """Read samples from now on if a screen of the newest values gets more events a second than it can show."""
        if self.queue.newest_only and self._kinds <= LAST_VALUE_CHANNELS:
            self.samples.follow(report, () if self._heard is None else {symbol.key for symbol in self._symbols})

    async def ask_for(self, symbols: Iterable[str], until_s: float) -> None:
        """Ask the streamer for symbols until that time, in seconds since the epoch. Raises ``RedisUnavailable``."""
        with translated(self.url):
            await WantedSet(self._master, self._prefix).renew(symbols, until_s)

    async def fetch_recent_bars(self, keys: Collection[str], since_ms: int) -> list[BarEvent]:
        """The bars of these keys in the stream of bars since then. Raises ``RedisUnavailable``."""
        with translated(self.url):
            return await fetch_recent_bars(self._client, self._prefix, keys, since_ms)

    def notify(self) -> None:
        """Let an iteration look at the queue again."""
        self._arrived.set()

    async def _open(self) -> "SubscribedConnection":
        """Open a subscribed connection and merge the last values; raises ``RedisUnavailable``."""
        self.queue.hold()
        self._looks = ReportLooks(asyncio.get_running_loop().time())
        connection = SubscribedConnection(cast("RoutedPool", self._client.connection_pool), self._probe_after_s)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._heard = self._aliases(await self._readable_report())
                self.samples.active = self.samples.wanted
                listening = {Channel.STATUS} if self.samples.active else self._listening
                self._channels = channel_names(self._prefix, listening, self._heard)
                await connection.open(self._subscriptions())
                last_values = await self._last_values()
                # Taken in together with the last values: after them, older messages would count as repetitions.
                self._take(await connection.earlier_replies())
        except (RedisError, OSError, TimeoutError) as error:
            await connection.close()
            if isinstance(error, NoPermissionError) and self._symbols and not self._shared_only:
                self._shared_only = True
                return await self._open()
            raise unavailable(self.url, error) from error
        self.queue.catch_up(last_values, _now_us())
        self._arrived.set()
        return connection

    async def _last_values(self) -> dict[Channel, list[bytes]]:
        """The newest payload of each wanted symbol, or of all, by channel; raises redis-py's errors."""
        kinds = sorted(self._kinds & LAST_VALUE_CHANNELS)
        return {kind: await fetch_last_values(self._client, self._prefix, kind, self._heard) for kind in kinds}

    async def _read_sample(self) -> None:
        for kind, payloads in (await self._last_values()).items():
            self.queue.refresh(kind, payloads, _now_us())

    def _subscriptions(self) -> dict[str, list[bytes]]:
        """The channels by the command that subscribes to them: in a Cluster, those of symbols are sharded."""
        shared = {name for name, kind in self._channels.items() if name == f"{self._prefix}:{kind}".encode()}
        if self._client.route.mode != "cluster":
            shared.update(self._channels)
        commands = {"SUBSCRIBE": sorted(shared), "SSUBSCRIBE": sorted(self._channels.keys() - shared)}
        return {command: names for command, names in commands.items() if names}

    async def _read_on(self) -> None:
        """Read until cancelled; reconnect after each outage, and when another server has become the master."""
        # A subscribed connection to a demoted or isolated server stays quiet, and such a server answers a PING. What
        # proves that it is still in the topology is the route: the master or a healthy replica, by its ROLE.
        async with following(self._client.route, self._leads_to, self._leave):
            try:
                await self._keep_reading()
            finally:
                self._arrived.set()
                if self._connection is not None:
                    await self._connection.close()

    async def _keep_reading(self) -> None:
        backoff, time_of = redis_backoff(), asyncio.get_running_loop().time
        while True:
            try:
                connection = self._connection = self._connection or await self._open()
                self._outage.end()
                opened_at = time_of()
                try:
                    await self._read(connection)
                finally:
                    backoff.streamed(time_of() - opened_at)
                await connection.close()
                self._connection = None
                self._connection = await self._open()
                continue
            except (RedisUnavailable, RedisError, OSError, TimeoutError) as error:
                self._note_outage(str(error) or "it went silent")
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            # The idle ones may lead to a server that is frozen, or no longer the master.
            await self._client.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(backoff.next_delay())

    def _leads_to(self) -> Address | None:
        return None if self._connection is None else self._connection.leads_to()

    def _leave(self, master: Address) -> None:
        if self._connection is not None:
            self._connection.leave(f"Redis is at {master} now")

    async def _read(self, connection: "SubscribedConnection") -> None:
        """Queue incoming messages; returns when others are needed. Raises OSError when the connection ends."""
        time_of = asyncio.get_running_loop().time
        while True:
            self._take(await connection.replies())
            if len(self.queue):
                self._arrived.set()
            if self.samples.wanted is not self.samples.active:
                return
            if self._symbols and self._looks.due(time_of()) and await self._is_elsewhere():
                return
            if self.queue.newest_only and connection.is_drained:
                await asyncio.sleep(NEWEST_PAUSE_S)

    def _take(self, replies: list[list[Any]]) -> None:
        """Queue the messages among these replies, all of one channel that follow each other at once."""
        now_us = _now_us()
        for (kind, name), run in groupby(replies, itemgetter(0, 1)):
            if kind == b"sunsubscribe":
                raise ConnectionResetError("the slot of the channels has moved to another node")
            if kind not in _MESSAGE or (channel := self._channels.get(name)) is None:
                continue
            payloads = [payload for _, _, payload in run]
            if channel is Channel.STATUS:
                for payload in payloads:
                    self._looks.take_status(payload, asyncio.get_running_loop().time())
            if channel in self._kinds:
                self.queue.receive_all(channel, payloads, now_us)

    async def _readable_report(self) -> StreamerReport | None:
        """The report, where it matters; None also for a user who may not read it. Raises redis-py's errors."""
        try:
            return await fetch_report(self._client, self._prefix) if self._symbols else None
        except ResponseError as error:
            if is_away(error):
                raise
            return None

    def _aliases(self, report: StreamerReport | None) -> frozenset[str] | None:
        """The aliases whose channels to listen to; None for the shared channels."""
        aliases = None if self._shared_only else aliases_for(self._symbols, report)
        return None if aliases is None else frozenset(aliases)

    async def _is_elsewhere(self) -> bool:
        """Whether the report of a running streamer names other channels than those of this connection."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            if report := await self._readable_report():
                return self._aliases(report) != self._heard
        return False

    def _note_outage(self, reason: str) -> None:
        self.outages += self._outage.note(reason)
        self._arrived.set()


def redis_backoff() -> Backoff:
    """The delays between attempts to reach Redis: none, then 50 ms to half a second."""
    return Backoff(random.random, base_s=0.05, cap_s=0.5, floor_s=0.05, healthy_s=1.0)


async def fetch_last_values(
    client: Redis, prefix: str, channel: Channel, aliases: Collection[str] | None = None
) -> list[bytes]:
    """The newest payload of each of these symbols, or of all; raises redis-py's errors."""
    key = f"{prefix}:last:{channel}"
    if aliases is None:
        return cast("list[bytes]", await client.hvals(key))
    found = cast("list[bytes | None]", await client.hmget(key, list(aliases)))
    return [payload for payload in found if payload is not None]


async def fetch_report(client: Redis, prefix: str) -> StreamerReport | None:
    """The running streamer's report; None when none is running, or it cannot be parsed. Raises redis-py's errors."""
    try:
        payload = await client.get(f"{prefix}:streamer")
        return None if payload is None else parse_report(payload)
    except ValidationError as error:
        log.warning("the streamer's report cannot be parsed", problems=error.error_count())
        return None


async def read_report(redis_url: str, prefix: str) -> StreamerReport | None:
    """As :func:`fetch_report`, over a new connection; raises ``RedisUnavailable``.

    Raises ``RedisUnsuitable`` for a Sentinel and a Cluster node, which would answer as if no streamer were running.
    """
    prefix = prefix_at(redis_url, prefix)
    await reach(redis_url, prefix)
    async with redis_client(redis_url, prefix, timeout_s=CONNECT_TIMEOUT_S, reads=True) as client:
        with translated(redact_url(redis_url)):
            return await fetch_report(client, prefix)


def _now_us() -> int:
    return time.time_ns() // 1000
