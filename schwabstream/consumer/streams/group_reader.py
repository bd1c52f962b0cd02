"""``GroupReader``: reads a Redis stream as one consumer of a group, whose position Redis stores.

An entry that was not acknowledged is delivered again, to the same consumer after a crash, or to another after a while.
Reading continues after an outage of Redis and on the next master, and reports entries that were trimmed before they
could be read.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypedDict, overload

import structlog
from redis.exceptions import RedisError
from typing_extensions import TypeVar, Unpack

from schwabstream.broker.arguments import check_number, check_position, check_texts
from schwabstream.broker.url import cause_of
from schwabstream.consumer.streams.acknowledgements import Acknowledgements
from schwabstream.consumer.streams.group import Group, Read
from schwabstream.consumer.streams.redis_stream import Entry, RawEntry, RedisStream, seq_of
from schwabstream.consumer.subscription import DEFAULT_PREFIX, DEFAULT_URL
from schwabstream.errors import ConfigurationError, RedisUnavailable
from schwabstream.events import (
    AccountEvent,
    BarEvent,
    Channel,
    Event,
    Level2Event,
    ScreenerEvent,
    StatusEvent,
    TickEvent,
)

log = structlog.get_logger(__name__)

CLOSE_LIMIT_S = 3.0

E = TypeVar("E", bound=Event | RawEntry, default=Event)
V = TypeVar("V", bound=Event)


class _GroupOptions(TypedDict, total=False):
    """The keyword arguments of :class:`GroupReader`."""

    start: str
    idle_ms: int
    redis_url: str
    prefix: str
    batch: int


class GroupReader(Generic[E]):
    """One consumer of a Redis consumer group, which remembers the entries that were acknowledged.

    Use it in ``async with``, iterate it with ``async for``, and call :meth:`acknowledge` for each entry that is done.
    The channel decides the type of the events. With ``raw``, each is a ``RawEntry``: its JSON as published, which is
    not validated. The group is created on first use and starts at ``start``: ``0`` for all entries in the stream, ``$``
    for new ones only.

    First come the entries that this consumer read earlier and did not acknowledge, then entries that other consumers
    have not acknowledged for ``idle_ms`` milliseconds (checked twice in that time), then new ones. Entries that were
    trimmed before the group read or acknowledged them come to one consumer as a StatusEvent ``gap`` with ``detail``
    ``trimmed`` and their ``count``.

    When another server becomes master, events that this consumer has received come no second time, also when the
    streamer writes them again or the group is missing there and is created again. Other consumers of the group may get
    them, as after a crash.
    """

    @overload
    def __init__(
        self: "GroupReader[RawEntry]",
        channel: Channel,
        group: str,
        consumer: str,
        *symbols: str,
        raw: Literal[True],
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "GroupReader[TickEvent]",
        channel: Literal[Channel.TICKS],
        group: str,
        consumer: str,
        *symbols: str,
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "GroupReader[Level2Event]",
        channel: Literal[Channel.LEVEL2],
        group: str,
        consumer: str,
        *symbols: str,
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "GroupReader[BarEvent]",
        channel: Literal[Channel.BARS],
        group: str,
        consumer: str,
        *symbols: str,
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "GroupReader[StatusEvent]",
        channel: Literal[Channel.STATUS],
        group: str,
        consumer: str,
        *symbols: str,
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "GroupReader[ScreenerEvent]",
        channel: Literal[Channel.SCREENERS],
        group: str,
        consumer: str,
        *symbols: str,
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "GroupReader[AccountEvent]",
        channel: Literal[Channel.ACCOUNT],
        group: str,
        consumer: str,
        *symbols: str,
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: "GroupReader[Event]",
        channel: Channel,
        group: str,
        consumer: str,
        *symbols: str,
        **options: Unpack[_GroupOptions],
    ) -> None: ...
    def __init__(
        self,
        channel: Channel,
        group: str,
        consumer: str,
        *symbols: str,
        raw: bool = False,
        start: str = "0",
        idle_ms: int = 60_000,
        redis_url: str = DEFAULT_URL,
        prefix: str = DEFAULT_PREFIX,
        batch: int = 100,
    ) -> None:
        check_texts(group=group, consumer=consumer)
        check_position("start", start)
        check_number("idle_ms", idle_ms, 0)
        check_number("batch", batch, 1)
        self._stream = RedisStream(redis_url, prefix, channel, symbols, raw=raw)
        self._group = Group(self._stream, group, consumer, start=start, idle_ms=idle_ms, batch=batch)
        self._ready: deque[Read] = deque()
        self._acknowledgements = Acknowledgements(lambda ids: self._stream.patiently(self._group.acknowledge, ids))
        self._opened = AsyncExitStack()
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._opened.push_async_callback(self._stream.close)
        try:
            await self._stream.reach(to_write=True)
            await self._group.open()
        except (RedisError, OSError, RedisUnavailable) as error:
            await self._opened.aclose()
            if isinstance(error, RedisUnavailable):
                raise
            raise self._stream.unavailable(error) from error
        await self._opened.enter_async_context(self._stream.watched())
        self._sending = asyncio.create_task(self._acknowledgements.run(), name="acknowledgements")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._acknowledgements.flush()
        except (RedisUnavailable, TimeoutError) as failure:
            lost = f"{len(self._acknowledgements)} of the acknowledgements did not reach Redis: entries will come again"
            if error is None:
                raise RedisUnavailable(f"{lost} ({cause_of(failure)})") from failure
            log.warning(lost, reason=cause_of(failure))
        finally:
            await self._opened.aclose()

    def __aiter__(self) -> Self:
        return self

    @overload
    async def __anext__(self: "GroupReader[RawEntry]") -> RawEntry: ...
    @overload
    async def __anext__(self: "GroupReader[V]") -> Entry[V | StatusEvent]: ...
    async def __anext__(self) -> Any:
        """The next entry. The streamer writes events of one type to each stream, which is not checked."""
        delivered = self._group.delivered
        while True:
            while not self._ready:
                self._raise_failure()
                self._ready += await self._stream.patiently(self._group.read)
            ready = self._ready.popleft()
            if isinstance(ready, Entry | RawEntry):
                return ready
            entry_id, seq = ready[0].decode(), seq_of(ready)
            if not delivered.is_repeat(seq, entry_id):
                if entry := self._stream.entry(ready):
                    return entry
            elif delivered.is_open(seq):
                continue
            # An acknowledged event, or an entry that is skipped, would otherwise come again forever.
            await self._add([entry_id])

    async def acknowledge(self, *ids: str) -> None:
        """Mark these entries as done. Redis gets the ids in groups of 100, after 50 ms, or when the block ends.

        After a crash, entries whose ids did not reach Redis are delivered again. Raises ``RedisUnavailable`` when Redis
        refuses; waits during an outage.
        """
        self._raise_failure()
        for each in ids:
            if type(each) is not str:
                raise ConfigurationError("acknowledge needs ids of entries, which are strings")
        await self._add(ids)

    async def flush(self) -> None:
        """Return when Redis has every acknowledgement made so far. Waits during an outage."""
        self._raise_failure()
        await self._acknowledgements.flush()

    def _raise_failure(self) -> None:
        if self._sending is not None and self._sending.done() and not self._sending.cancelled():
            self._sending.result()

    async def _add(self, ids: Iterable[str]) -> None:
        await self._acknowledgements.add(self._group.delivered.acknowledge(ids))
