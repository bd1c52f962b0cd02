"""One Redis stream: its entries, reports of trimmed entries, and retries while Redis is away.

Its readers keep the position (``streams``, ``group``). Writes nothing.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, NamedTuple

import structlog
from pydantic import ValidationError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from typing_extensions import TypeVar  # that of typing has no default before Python 3.13

from schwabstream.broker.arguments import check_channel, check_texts
from schwabstream.broker.client import cancellation_heeded
from schwabstream.broker.kind import refuse_unsuitable
from schwabstream.broker.outage import Outage
from schwabstream.broker.url import cause_of, is_away, prefix_at, redact_url, unavailable
from schwabstream.broker.watch import FollowingClient
from schwabstream.clock import today
from schwabstream.consumer.event_header import read_header, read_seq
from schwabstream.consumer.repeats import RUN_APART, is_repeat
from schwabstream.consumer.selection import Selection
from schwabstream.consumer.streams.trimming import StreamInfo, gap, id_before, id_key
from schwabstream.consumer.subscription import CONNECT_TIMEOUT_S, redis_backoff
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel, Event, StatusEvent, parse_event
from schwabstream.protocol.symbols import parse_symbols

log = structlog.get_logger(__name__)

BLOCK_MS = 1000
"""Shorter than the client's timeout, so that a quiet stream does not count as an outage."""
START = ("0", "0-0")
_SCANNED = 500

Raw = tuple[bytes, dict[bytes, bytes]]


E_co = TypeVar("E_co", bound=Event, covariant=True, default=Event)


class Entry(NamedTuple, Generic[E_co]):
    """One event of a stream and its id there; ids rise in the order of publication.

    A ``gap`` has the id just before the first entry after it: reading resumes there, and acknowledging it does nothing.
    """

    id: str
    """The id in the stream, ``MILLISECONDS-NUMBER``."""
    event: E_co
    """The event, or a StatusEvent that reports a gap."""


class RawEntry(NamedTuple):
    """One event of a stream as its JSON, for programs that pass it on; a ``gap`` is the JSON of its StatusEvent."""

    id: str
    """The id in the stream, ``MILLISECONDS-NUMBER``."""
    symbol: str
    """The symbol as published, empty for a StatusEvent of no symbol."""
    payload: bytes
    """The event as JSON, as published."""


class RedisStream:
    """One Redis stream: its client, its entries, ``raw`` or as models, and retries while Redis is away.

    With ``reads``, it is read from a replica if the URL asks for one. Use it within :meth:`watched`, so that it
    follows a new master while the old one still answers.
    """

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        channel: Channel,
        symbols: Iterable[str],
        *,
        raw: bool = False,
        reads: bool = False,
    ) -> None:
        check_texts(redis_url=redis_url, prefix=prefix)
        prefix = prefix_at(redis_url, prefix)
        self._selection, self._raw = Selection.of(parse_symbols(symbols, today())), raw
        self._following = FollowingClient(redis_url, prefix, timeout_s=CONNECT_TIMEOUT_S, reads=reads, protocol=2)
        self.client = self._following.redis
        self.key = f"{prefix}:stream:{check_channel('channel', channel)}"
        self._url = redact_url(redis_url)

    @property
    def connections(self) -> int:
        """How many connections were opened so far; after each of them another server may answer."""
        return self._following.connections

    def watched(self) -> AbstractAsyncContextManager[None]:
        """Follow the master for the duration of the block."""
        return self._following.following()

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def reach(self, *, to_write: bool = False) -> None:
        """Check that this Redis can serve: another kind of server may answer, and the stream would stay empty."""
        await refuse_unsuitable(self.client, self._url, to_write=to_write)

    async def resolve(self, from_id: str) -> tuple[str, int | None]:
        """The id to read after, and its ``seq`` if there is one; ``$`` itself would skip entries between two reads."""
        try:
            newest: Any = await self.client.xrevrange(self.key, count=1)
        except (RedisError, OSError) as error:
            raise self.unavailable(error) from error
        if from_id != "$":
            return from_id, None
        return (newest[0][0].decode(), seq_of(newest[0])) if newest else ("0", None)

    async def after(self, position: str, batch: int) -> list[Raw]:
        """The entries after the position; waits a moment for some."""
        answer: Any = await self.client.xread({self.key: position}, count=batch, block=BLOCK_MS)
        return list(answer[0][1]) if answer else []

    async def place_of(self, position: str, seq: int | None) -> str:
        """The id from which to continue, for a reader of all entries up to ``position``, the last with that ``seq``.

        A new master may lack the newest entries, and a replica may not have them yet. The streamer writes them again
        with new ids, which are lower than ``position`` where the clock is behind.
        """
        before = await self._newest(position)
        if before and id_key(before[0][0].decode()) == id_key(position) and seq_of(before[0]) in (seq, None):
            return position
        if seq is None:
            newest = await self._newest("+")
            return min(position, newest[0][0].decode(), key=id_key) if newest else position
        first: Any = await self.client.xread({self.key: START[0]}, count=1)
        if first and (seq_of(first[0][1][0]) or 0) > seq:
            return START[0]
        upper = "+"
        while scanned := await self._newest(upper, _SCANNED):
            for raw in scanned:
                # Below this run may be one that another streamer has written later, into a Redis that lost everything.
                found, is_earlier = seq_of(raw) or seq + 1, id_key(raw[0].decode()) <= id_key(position)
                if is_repeat(found, seq) or (found < seq and is_earlier):
                    return raw[0].decode()
            upper = id_before(scanned[-1][0].decode())
        return START[0]

    async def _newest(self, upper: str, count: int = 1) -> list[Raw]:
        """The newest entries up to this id, the newest first."""
        found: Any = await self.client.xrevrange(self.key, max=upper, count=count)
        return list(found)

    async def trimmed_before(self, raw: Raw, position: str, seq: int | None) -> "Entry | RawEntry | None":
        """The gap between the entry at ``position``, with that ``seq``, and this one, the next in the stream."""
        following = seq_of(raw)
        apart = None if seq is None or following is None else following - seq
        if (position in START and seq is None) or apart == 1:
            return None
        # While the last entry read is still in the stream, no later one has been trimmed.
        if await self._newest(position):
            return None
        if apart is not None and -RUN_APART < apart <= 0:
            return None
        if (apart is None or position in START) and not await self._was_trimmed():
            return None
        count = apart - 1 if apart is not None and 0 < apart < RUN_APART else None
        return self.unread(count, position, raw[0].decode())

    async def _was_trimmed(self) -> bool:
        """Whether the stream ever had more entries; assumed where this user may not ask."""
        try:
            return StreamInfo.of(await self.client.xinfo_stream(self.key)).removed > 0
        except (ResponseError, KeyError) as error:
            if isinstance(error, ResponseError) and is_away(error):
                raise
            return True

    def unread(self, count: int | None, lost_after: str, kept_from: str) -> "Entry | RawEntry":
        """The report of entries between two ids that were trimmed unread."""
        many = "an unknown number of" if count is None else str(count)
        reason = f"entries of {self.key} were trimmed before they were read: {many} (ids {lost_after} to {kept_from})"
        return self._report(id_before(kept_from), gap(reason, count, lost_after, kept_from, time.time_ns() // 1000))

    def unacknowledged(self, ids: list[str]) -> "list[Entry | RawEntry]":
        """The report of entries that were read but never acknowledged; empty when there are none."""
        if not ids:
            return []
        reason = f"entries of {self.key} were trimmed before they were acknowledged: {len(ids)} (from id {ids[0]})"
        return [self._report(ids[-1], gap(reason, len(ids), ids[0], None, time.time_ns() // 1000))]

    def _report(self, entry_id: str, status: StatusEvent) -> "Entry | RawEntry":
        if self._raw:
            return RawEntry(entry_id, "", status.model_dump_json(exclude_none=True).encode())
        return Entry(entry_id, status)

    async def patiently(self, call: Any, *arguments: Any) -> Any:
        """The call's result; repeats the call while Redis is away or out of memory."""
        backoff, outage = redis_backoff(), Outage(self._url)
        while True:
            try:
                async with self._following.call():
                    with cancellation_heeded():
                        result = await call(*arguments)
                outage.end()
                return result
            except (RedisError, OSError) as error:
                if isinstance(error, ResponseError) and not (isinstance(error, OutOfMemoryError) or is_away(error)):
                    raise self.unavailable(error) from error
                outage.note(cause_of(error))
            # A server that refuses keeps its connections, and the next one must lead to another.
            await self._following.disconnect()
            await asyncio.sleep(backoff.next_delay())

    def entry(self, raw: Raw) -> "Entry | RawEntry | None":
        """The entry as its model, or raw; None for another symbol, and for an entry that cannot be parsed."""
        identifier, payload = raw[0].decode(), raw[1].get(b"event", b"")
        if not self._takes(payload):
            return None
        if self._raw:
            return RawEntry(identifier, raw[1].get(b"symbol", b"").decode(errors="replace"), payload)
        try:
            return Entry(identifier, parse_event(payload))
        except ValidationError:
            log.warning("an entry cannot be parsed as an event", stream=self.key, id=identifier)
            return None

    def _takes(self, payload: bytes) -> bool:
        if self._selection.everything:
            return True
        _, symbol, key, _ = read_header(payload)
        return not (isinstance(symbol, str | None) and isinstance(key, str | None)) or self._selection.takes(
            symbol, key
        )

    def unavailable(self, error: Exception) -> RedisUnavailable:
        """The error as ``RedisUnavailable``."""
        return unavailable(self._url, error)


def seq_of(raw: Raw) -> int | None:
    """The ``seq`` of an entry's event; None when it has none."""
    return read_seq(raw[1].get(b"event", b""))
