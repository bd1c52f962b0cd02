"""``read_stream``: follows a Redis stream from any position, and stores none.

A stream contains every event of its channel, up to the streamer's MAXLEN. Reading continues after an outage of Redis,
and reports entries that were trimmed before they could be read.
"""

from collections.abc import AsyncGenerator
from typing import Literal, TypedDict, overload

from typing_extensions import TypeVar, Unpack

from schwabstream.broker.arguments import check_number, check_position
from schwabstream.consumer.event_header import read_seq
from schwabstream.consumer.redis_stream import Entry, RedisStream
from schwabstream.consumer.subscription import DEFAULT_PREFIX, DEFAULT_URL
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

E = TypeVar("E", bound=Event, default=Event)
_Entries = AsyncGenerator[Entry[E | StatusEvent], None]


class _StreamOptions(TypedDict, total=False):
    """The keyword arguments of :func:`read_stream`."""

    from_id: str
    redis_url: str
    prefix: str
    batch: int


# The channel decides the type of the events.
@overload
def read_stream(
    channel: Literal[Channel.TICKS], *symbols: str, **options: Unpack[_StreamOptions]
) -> _Entries[TickEvent]: ...
@overload
def read_stream(
    channel: Literal[Channel.LEVEL2], *symbols: str, **options: Unpack[_StreamOptions]
) -> _Entries[Level2Event]: ...
@overload
def read_stream(
    channel: Literal[Channel.BARS], *symbols: str, **options: Unpack[_StreamOptions]
) -> _Entries[BarEvent]: ...
@overload
def read_stream(
    channel: Literal[Channel.STATUS], *symbols: str, **options: Unpack[_StreamOptions]
) -> _Entries[StatusEvent]: ...
@overload
def read_stream(
    channel: Literal[Channel.SCREENERS], *symbols: str, **options: Unpack[_StreamOptions]
) -> _Entries[ScreenerEvent]: ...
@overload
def read_stream(
    channel: Literal[Channel.ACCOUNT], *symbols: str, **options: Unpack[_StreamOptions]
) -> _Entries[AccountEvent]: ...
@overload
def read_stream(channel: Channel, *symbols: str, **options: Unpack[_StreamOptions]) -> _Entries[Event]: ...
async def read_stream(
    channel: Channel,
    *symbols: str,
    from_id: str = "$",
    redis_url: str = DEFAULT_URL,
    prefix: str = DEFAULT_PREFIX,
    batch: int = 500,
) -> AsyncGenerator[Entry, None]:
    """Yield the entries of a channel's Redis stream after ``from_id``, and wait for more.

    ``from_id`` is ``0`` for all entries in the stream, ``$`` for new ones only, or the id of the last entry you have
    seen, to resume there. ``symbols`` are written as on the command line; without symbols, it yields the events of all
    symbols. The channel decides the type of the events.

    Entries that were trimmed before they could be read come as one StatusEvent ``gap`` with ``detail`` ``trimmed``. Its
    ``count``, of all symbols together, is None where it is unknown: after a resume, and across a restart of the
    streamer. Entries that cannot be parsed are logged and skipped. The first entry raises ``SymbolError`` and
    ``ConfigurationError`` for invalid arguments, and ``RedisUnavailable`` when Redis cannot be reached.
    """
    check_position("from_id", from_id)
    check_number("batch", batch, 1)
    stream = RedisStream(redis_url, prefix, channel, symbols)
    try:
        position, seq = await stream.resolve(from_id)
        while True:
            raws = await stream.patiently(stream.after, position, batch)
            if raws and (lost := await stream.patiently(stream.trimmed_before, raws[0], position, seq)):
                yield lost
            for raw in raws:
                position = raw[0].decode()
                seq = read_seq(raw[1].get(b"event", b"")) or seq
                if entry := stream.entry(raw):
                    yield entry
    finally:
        await stream.close()
