"""Reading that resumes where it stopped: the Redis streams, alone or as a consumer group with acknowledgement.

A stream holds every event of its channel up to the streamer's MAXLEN. ``read_stream`` follows it from an id and
remembers nothing; ``GroupReader`` leaves the remembering to Redis: what was not acknowledged comes again, to the same
consumer after a crash, or to another once it has lain idle. Both outlive outages of Redis.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError, ResponseError

from schwabstream.consumer import DEFAULT_PREFIX, DEFAULT_URL, RETRY_CAP_S, RETRY_FIRST_S, redis_client
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel, Event, parse_event
from schwabstream.redis_writer import cause_of, redact_url

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

BLOCK_MS = 1000
"""Shorter than the client's own patience, so that a quiet stream is no outage."""

_Raw = tuple[bytes, dict[bytes, bytes]]


class Entry(NamedTuple):
    """One event of a stream and its id there; ids rise in the order of publication."""

    id: str
    event: Event


async def read_stream(
    channel: Channel,
    *symbols: str,
    from_id: str = "$",
    redis_url: str = DEFAULT_URL,
    prefix: str = DEFAULT_PREFIX,
    batch: int = 500,
) -> AsyncGenerator[Entry, None]:
    """Yield the entries after ``from_id``: ``0`` for all that are kept, ``$`` for what comes from now on.

    Resume by giving the last id seen. Without symbols, all. What is no event is logged and passed over. Raises
    ``RedisUnavailable`` when Redis cannot be reached at the start.
    """
    stream = _Stream(redis_url, f"{prefix}:stream:{channel}", symbols)
    try:
        position = await stream.resolve(from_id)
        while True:
            for raw in await stream.patiently(stream.after, position, batch):
                position = raw[0].decode()
                if entry := stream.entry(raw):
                    yield entry
    finally:
        await stream.close()


class GroupReader:
    """One consumer of a consumer group: iterate its block's entries and :meth:`acknowledge` what is done.

    The group is made on first use and starts at ``start`` (``0``: all that is kept, ``$``: from now on). What this
    consumer read and never acknowledged comes first, then what other consumers left lying for ``idle_ms``, then what
    is new. Should Redis lose the group, it is made again and reading starts over: entries may then come twice.
    """

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
        self._stream = _Stream(redis_url, f"{prefix}:stream:{channel}", symbols)
        self._group, self._consumer, self._start = group, consumer, start
        self._idle_ms, self._batch = idle_ms, batch
        self._ready: list[_Raw] = []
        self._own_from: str | None = "0"

    async def __aenter__(self) -> Self:
        try:
            await self._make_group()
        except (RedisError, OSError) as error:
            await self._stream.close()
            raise self._stream.unavailable(error) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        while True:
            while not self._ready:
                self._ready = await self._stream.patiently(self._read)
            raw = self._ready.pop(0)
            if entry := self._stream.entry(raw):
                return entry
            # What nobody here wants, or what is no event, would otherwise come again for ever.
            await self.acknowledge(raw[0].decode())

    async def acknowledge(self, *ids: str) -> int:
        """Tell Redis that these entries are done; returns how many were still open. Waits out an outage."""
        done: int = await self._stream.patiently(self._acknowledge, ids)
        return done

    async def _acknowledge(self, ids: Collection[str]) -> int:
        return int(await self._stream.client.xack(self._stream.key, self._group, *ids))

    async def _make_group(self) -> None:
        try:
            await self._stream.client.xgroup_create(self._stream.key, self._group, id=self._start, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _read(self) -> list[_Raw]:
        try:
            if self._own_from is not None:
                return await self._read_own(self._own_from)
            return await self._claim() or await self._read_from(">", block=BLOCK_MS)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            log.warning("the consumer group is gone and made again", group=self._group, stream=self._stream.key)
            await self._make_group()
            return []

    async def _read_own(self, position: str) -> list[_Raw]:
        """What this consumer was given before and did not acknowledge."""
        entries = await self._read_from(position)
        self._own_from = entries[-1][0].decode() if entries else None
        # An entry trimmed away meanwhile comes without fields.
        gone = [raw[0].decode() for raw in entries if not raw[1]]
        if gone:
            await self._acknowledge(gone)
        return [raw for raw in entries if raw[1]]

    async def _claim(self) -> list[_Raw]:
        """What another consumer was given and left lying."""
        client, key = self._stream.client, self._stream.key
        claimed: Any = await client.xautoclaim(key, self._group, self._consumer, self._idle_ms, count=self._batch)
        return [raw for raw in claimed[1] if raw[1]]

    async def _read_from(self, position: str, *, block: int | None = None) -> list[_Raw]:
        key = self._stream.key
        answer: Any = await self._stream.client.xreadgroup(
            self._group, self._consumer, {key: position}, count=self._batch, block=block
        )
        return list(answer[0][1]) if answer else []


class _Stream:
    """One Redis stream: its client, its entries as models, and patience with Redis."""

    def __init__(self, redis_url: str, key: str, symbols: Collection[str]) -> None:
        self.client: Redis = redis_client(redis_url)
        self.key = key
        self._url = redact_url(redis_url)
        self._symbols = frozenset(symbol.encode() for symbol in symbols)

    async def close(self) -> None:
        await self.client.aclose()

    async def resolve(self, from_id: str) -> str:
        """The id itself, or for ``$`` that of the newest entry: ``$`` would skip what comes between two reads."""
        try:
            newest: Any = await self.client.xrevrange(self.key, count=1)
        except (RedisError, OSError) as error:
            raise self.unavailable(error) from error
        if from_id != "$":
            return from_id
        return newest[0][0].decode() if newest else "0"

    async def after(self, position: str, batch: int) -> list[_Raw]:
        """Entries after the position; waits a moment for some."""
        answer: Any = await self.client.xread({self.key: position}, count=batch, block=BLOCK_MS)
        return list(answer[0][1]) if answer else []

    async def patiently(self, call: Any, *arguments: Any) -> Any:  # noqa: ANN401 - whatever the call returns
        """The call's result; while Redis is away the call is made again and again."""
        delay = RETRY_FIRST_S
        while True:
            try:
                return await call(*arguments)
            except ResponseError as error:
                if "LOADING" not in str(error):
                    raise self.unavailable(error) from error
            except (RedisError, OSError) as error:
                log.debug("redis is away", url=self._url, reason=str(error))
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_CAP_S)

    def entry(self, raw: _Raw) -> Entry | None:
        """The entry as its model; None for another symbol's, and for what is no event."""
        identifier, fields = raw
        if self._symbols and fields.get(b"symbol") not in self._symbols:
            return None
        try:
            return Entry(identifier.decode(), parse_event(fields.get(b"event", b"")))
        except ValidationError:
            log.warning("an entry is no event", stream=self.key, id=identifier.decode())
            return None

    def unavailable(self, error: Exception) -> RedisUnavailable:
        """The error as ours."""
        return RedisUnavailable(f"Redis at {self._url} cannot be read ({cause_of(error)})")
