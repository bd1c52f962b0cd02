"""The bars of the last minutes, read once from their Redis stream: what a screen shows of the time before it opened.

Reads a limited number of entries, of all symbols together. Streams that are switched off have none.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final, cast

from pydantic import ValidationError
from redis.asyncio.client import Redis

from schwabstream.consumer.event_header import read_header
from schwabstream.events import BarEvent, Channel, parse_event

MOST_ENTRIES: Final = 3_000
"""Fifteen minutes of two hundred symbols; of more, the newest part."""

_Entries = list[tuple[bytes, dict[bytes, bytes]]]


async def fetch_recent_bars(client: Redis, prefix: str, keys: Collection[str], since_ms: int) -> list[BarEvent]:
    """The bars of these keys that were published since then, newest first; raises redis-py's errors."""
    stream = f"{prefix}:stream:{Channel.BARS}"
    entries = cast("_Entries", await client.xrevrange(stream, min=str(since_ms), count=MOST_ENTRIES))
    return list(_bars((fields.get(b"event", b"") for _, fields in entries), keys))


def _bars(payloads: Iterable[bytes], keys: Collection[str]) -> Iterable[BarEvent]:
    """The bars of these keys; payloads that cannot be parsed are skipped."""
    for payload in payloads:
        key: Any = read_header(payload)[2]
        if not isinstance(key, str) or key not in keys:
            continue
        try:
            event = parse_event(payload)
        except ValidationError:
            continue
        if isinstance(event, BarEvent):
            yield event
