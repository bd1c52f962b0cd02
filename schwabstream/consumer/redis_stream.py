"""One Redis stream: its entries as models, reports of trimmed entries, and retries while Redis is away.

Its readers keep the position (``streams``). Writes nothing.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError, ResponseError
from typing_extensions import TypeVar  # that of typing has no default before Python 3.13

from schwabstream.broker.arguments import check_channel, check_texts
from schwabstream.broker.client import redis_client
from schwabstream.broker.url import prefix_at, redact_url, unavailable
from schwabstream.clock import today
from schwabstream.consumer.conflation import RUN_APART
from schwabstream.consumer.event_header import read_header, read_seq
from schwabstream.consumer.selection import Selection
from schwabstream.consumer.subscription import CONNECT_TIMEOUT_S, redis_backoff
from schwabstream.consumer.trimming import StreamInfo, gap, id_before
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel, Event, parse_event
from schwabstream.protocol.symbols import parse_symbols

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

BLOCK_MS = 1000
"""Shorter than the client's timeout, so that a quiet stream does not count as an outage."""

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


class RedisStream:
    """One Redis stream: its client, its entries as models, and retries while Redis is away."""

    def __init__(self, redis_url: str, prefix: str, channel: Channel, symbols: Iterable[str]) -> None:
        check_texts(redis_url=redis_url, prefix=prefix)
        prefix = prefix_at(redis_url, prefix)
        self._selection = Selection.of(parse_symbols(symbols, today()))
        self.client: Redis = redis_client(redis_url, prefix, timeout_s=CONNECT_TIMEOUT_S, protocol=2)
        self.key = f"{prefix}:stream:{check_channel('channel', channel)}"
        self._url = redact_url(redis_url)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def resolve(self, from_id: str) -> tuple[str, int | None]:
        """The id to read after, and its ``seq`` if there is one; ``$`` itself would skip entries between two reads."""
        try:
            newest: Any = await self.client.xrevrange(self.key, count=1)
        except (RedisError, OSError) as error:
            raise self.unavailable(error) from error
        if from_id != "$":
            return from_id, None
        return (newest[0][0].decode(), read_seq(newest[0][1].get(b"event", b""))) if newest else ("0", None)

    async def after(self, position: str, batch: int) -> list[Raw]:
        """The entries after the position; waits a moment for some."""
        answer: Any = await self.client.xread({self.key: position}, count=batch, block=BLOCK_MS)
        return list(answer[0][1]) if answer else []

    async def trimmed_before(self, raw: Raw, position: str, seq: int | None) -> Entry | None:
        """The gap between the entry at ``position``, with that ``seq``, and this one, the next in the stream."""
        following = read_seq(raw[1].get(b"event", b""))
        apart = None if seq is None or following is None else following - seq
        if position in ("0", "0-0") or apart == 1:
            return None
        # While the last entry read is still in the stream, no later one has been trimmed.
        if await self.client.xrevrange(self.key, max=position, count=1):
            return None
        if apart is None:
            return self.unread(None, position, raw[0].decode()) if await self._was_trimmed() else None
        if -RUN_APART < apart <= 0:
            return None
        return self.unread(apart - 1 if 0 < apart < RUN_APART else None, position, raw[0].decode())

    async def _was_trimmed(self) -> bool:
        """Whether the stream ever had more entries; assumed where this user may not ask."""
        try:
            return StreamInfo.of(await self.client.xinfo_stream(self.key)).removed > 0
        except (ResponseError, KeyError):
            return True

    def unread(self, count: int | None, lost_after: str, kept_from: str) -> Entry:
        """The report of entries between two ids that were trimmed unread."""
        many = "an unknown number of" if count is None else str(count)
        reason = f"entries of {self.key} were trimmed before they were read: {many} (ids {lost_after} to {kept_from})"
        return Entry(id_before(kept_from), gap(reason, count, lost_after, kept_from, time.time_ns() // 1000))

    def unacknowledged(self, ids: list[str]) -> list[Entry]:
        """The report of entries that were read but never acknowledged; empty when there are none."""
        if not ids:
            return []
        reason = f"entries of {self.key} were trimmed before they were acknowledged: {len(ids)} (from id {ids[0]})"
        return [Entry(ids[-1], gap(reason, len(ids), ids[0], None, time.time_ns() // 1000))]

    async def patiently(self, call: Any, *arguments: Any) -> Any:
        """The call's result; repeats the call while Redis is away."""
        backoff = redis_backoff()
        while True:
            try:
                return await call(*arguments)
            except ResponseError as error:
                if "LOADING" not in str(error):
                    raise self.unavailable(error) from error
            except (RedisError, OSError) as error:
                log.debug("redis is away", url=self._url, reason=str(error))
            await asyncio.sleep(backoff.next_delay())

    def entry(self, raw: Raw) -> Entry | None:
        """The entry as its model; None for another symbol, and for an entry that cannot be parsed."""
        identifier, payload = raw[0].decode(), raw[1].get(b"event", b"")
        _, symbol, key, _ = read_header(payload)
        if not (isinstance(symbol, str | None) and isinstance(key, str | None)) or self._selection.takes(symbol, key):
            try:
                return Entry(identifier, parse_event(payload))
            except ValidationError:
                log.warning("an entry cannot be parsed as an event", stream=self.key, id=identifier)
        return None

    def unavailable(self, error: Exception) -> RedisUnavailable:
        """The error as ``RedisUnavailable``."""
        return unavailable(self._url, error)
