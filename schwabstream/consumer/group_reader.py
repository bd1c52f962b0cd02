"""``GroupReader``: reads a Redis stream as one consumer of a group, whose position Redis stores.

An entry that was not acknowledged is delivered again, to the same consumer after a crash, or to another after a while.
Reading continues after an outage of Redis, and reports entries that were trimmed before they could be read.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypedDict, cast, overload

import structlog
from redis.exceptions import RedisError, ResponseError
from typing_extensions import TypeVar, Unpack

from schwabstream.broker.arguments import check_number, check_position, check_texts
from schwabstream.broker.url import cause_of
from schwabstream.consumer.acknowledgements import Acknowledgements
from schwabstream.consumer.redis_stream import BLOCK_MS, Entry, Raw, RedisStream
from schwabstream.consumer.subscription import DEFAULT_PREFIX, DEFAULT_URL
from schwabstream.consumer.trimming import GroupInfo, GroupPosition, StreamInfo
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

E = TypeVar("E", bound=Event, default=Event)


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
    The channel decides the type of the events. The group is created on first use and starts at ``start``: ``0`` for
    all entries in the stream, ``$`` for new ones only.

    First come the entries that this consumer read earlier and did not acknowledge, then entries that other consumers
    have not acknowledged for ``idle_ms`` milliseconds (checked twice in that time), then new ones. If Redis loses the
    group, it is created again and reading starts over, so entries may come twice. Entries that were trimmed before the
    group read or acknowledged them come to one consumer as a StatusEvent ``gap`` with ``detail`` ``trimmed`` and their
    ``count``.
    """

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
        self._stream = RedisStream(redis_url, prefix, channel, symbols)
        self._group, self._consumer, self._start = group, consumer, start
        self._idle_ms, self._batch = idle_ms, batch
        self._ready: deque[Raw | Entry] = deque()
        self._own_from: str | None = "0"
        self._claim_from, self._claim_at = "0-0", 0.0
        self._position: GroupPosition | None = None
        self._acknowledgements = Acknowledgements(self._acknowledge)
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._make_group()
        except (RedisError, OSError) as error:
            await self._stream.close()
            raise self._stream.unavailable(error) from error
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
            await self._stream.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry[E | StatusEvent]:
        # The streamer writes events of one type to each stream, which ``_next`` does not check.
        return cast("Entry[E | StatusEvent]", await self._next())

    async def _next(self) -> Entry:
        while True:
            while not self._ready:
                self._raise_failure()
                self._ready += await self._stream.patiently(self._read)
            ready = self._ready.popleft()
            if isinstance(ready, Entry):
                return ready
            if entry := self._stream.entry(ready):
                return entry
            # An entry of another symbol, or one that cannot be parsed, would otherwise come again forever.
            await self._acknowledgements.add([ready[0].decode()])

    async def acknowledge(self, *ids: str) -> None:
        """Mark these entries as done. Redis gets the ids in groups of 100, after 50 ms, or when the block ends.

        After a crash, entries whose ids did not reach Redis are delivered again. Raises ``RedisUnavailable`` when Redis
        refuses; waits during an outage.
        """
        self._raise_failure()
        for each in ids:
            if type(each) is not str:
                raise ConfigurationError("acknowledge needs ids of entries, which are strings")
        await self._acknowledgements.add(ids)

    async def flush(self) -> None:
        """Return when Redis has every acknowledgement made so far. Waits during an outage."""
        self._raise_failure()
        await self._acknowledgements.flush()

    def _raise_failure(self) -> None:
        if self._sending is not None and self._sending.done() and not self._sending.cancelled():
            self._sending.result()

    async def _acknowledge(self, ids: Collection[str]) -> None:
        await self._stream.patiently(self._stream.client.xack, self._stream.key, self._group, *ids)

    async def _make_group(self) -> None:
        """Create the group unless it exists, and read its position if this user may."""
        client, key = self._stream.client, self._stream.key
        try:
            await client.xgroup_create(key, self._group, id=self._start, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        try:
            async with client.pipeline(transaction=True) as pipe:
                pipe.xinfo_stream(key)
                pipe.xinfo_groups(key)
                stream, group, _ = self._state_of(await pipe.execute())
        except (ResponseError, KeyError) as error:
            why = "trimmed entries will not be reported: that needs Redis 7, and a user with +multi +exec +xinfo"
            log.warning(why, stream=key, reason=str(error))
            self._position = None
            return
        self._position = GroupPosition()
        if group is not None:
            self._position.start(stream, group)

    def _state_of(self, answers: list[Any]) -> tuple[StreamInfo, GroupInfo | None, list[Any]]:
        return StreamInfo.of(answers[0]), GroupInfo.of(answers[1], self._group), answers[2:]

    async def _read(self) -> list[Raw | Entry]:
        try:
            if self._own_from is not None:
                return await self._read_own(self._own_from)
            return await self._claim() or await self._read_new()
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
            log.warning("the consumer group was missing: created again", group=self._group, stream=self._stream.key)
            await self._make_group()
            return []

    async def _read_own(self, position: str) -> list[Raw | Entry]:
        """Entries that this consumer read before and did not acknowledge."""
        entries = await self._read_from(position)
        self._own_from = entries[-1][0].decode() if entries else None
        # A trimmed entry comes without fields.
        gone = [raw[0].decode() for raw in entries if not raw[1]]
        if gone:
            await self._stream.client.xack(self._stream.key, self._group, *gone)
        return [*self._stream.unacknowledged(gone), *(raw for raw in entries if raw[1])]

    async def _claim(self) -> list[Raw | Entry]:
        """Entries that another consumer has not acknowledged for ``idle_ms``; asks twice in that time."""
        now = asyncio.get_running_loop().time()
        if now < self._claim_at:
            return []
        answer: Any = await self._stream.client.xautoclaim(
            self._stream.key,
            self._group,
            self._consumer,
            self._idle_ms,
            start_id=self._claim_from,
            count=self._batch,
        )
        self._claim_from = answer[0].decode()
        if self._claim_from == "0-0":
            self._claim_at = now + self._idle_ms / 2000
        gone = [each.decode() for each in answer[2]] if len(answer) > 2 else []
        return [*self._stream.unacknowledged(gone), *(raw for raw in answer[1] if raw[1])]

    async def _read_new(self) -> list[Raw | Entry]:
        """Entries that no consumer of the group has read; waits a moment for some."""
        if self._position is None:
            return list(await self._read_from(">", block=BLOCK_MS))
        client, key = self._stream.client, self._stream.key
        async with client.pipeline(transaction=True) as pipe:
            pipe.xinfo_stream(key)
            pipe.xinfo_groups(key)
            pipe.xreadgroup(self._group, self._consumer, {key: ">"}, count=self._batch)
            stream, group, answer = self._state_of(await pipe.execute())
        entries = list(answer[0][0][1]) if answer[0] else []
        if group is None:
            return list(entries)
        lost = self._position.advance(stream, group, [raw[0].decode() for raw in entries])
        if not entries:
            # Wait without reading: how much was trimmed before a read can only be learned together with that read.
            await self._stream.after(stream.last_id, 1)
        elif lost != 0:
            return [self._stream.unread(lost, group.last_id, entries[0][0].decode()), *entries]
        return list(entries)

    async def _read_from(self, position: str, *, block: int | None = None) -> list[Raw]:
        key = self._stream.key
        answer: Any = await self._stream.client.xreadgroup(
            self._group, self._consumer, {key: position}, count=self._batch, block=block
        )
        return list(answer[0][1]) if answer else []
