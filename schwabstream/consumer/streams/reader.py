"""``read_stream``: follows a Redis stream from any position, and stores none.

A stream contains every event of its channel, up to the streamer's MAXLEN. Reading continues after an outage of Redis
and on the next master, and reports entries that were trimmed before they could be read.
"""

from collections.abc import AsyncGenerator
from typing import Literal, TypedDict, overload

from typing_extensions import TypeVar, Unpack

from schwabstream.broker.arguments import check_number, check_position
from schwabstream.consumer.repeats import Mark, Newest, is_repeat
from schwabstream.consumer.streams.redis_stream import Entry, Raw, RawEntry, RedisStream, seq_of
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


@overload
def read_stream(
    channel: Channel, *symbols: str, raw: Literal[True], **options: Unpack[_StreamOptions]
) -> AsyncGenerator[RawEntry, None]: ...
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
    raw: bool = False,
    from_id: str = "$",
    redis_url: str = DEFAULT_URL,
    prefix: str = DEFAULT_PREFIX,
    batch: int = 500,
) -> AsyncGenerator[Entry | RawEntry, None]:
    """Yield the entries of a channel's Redis stream after ``from_id``, and wait for more.

    ``from_id`` is ``0`` for all entries in the stream, ``$`` for new ones only, or the id of the last entry you have
    seen, to resume there. ``symbols`` are written as on the command line; without symbols, it yields the events of all
    symbols. The channel decides the type of the events. With ``raw``, it yields a ``RawEntry`` for each event: its JSON
    as published, which is not validated.

    Entries that were trimmed before they could be read come as one StatusEvent ``gap`` with ``detail`` ``trimmed``. Its
    ``count``, of all symbols together, is None where it is unknown: after a resume, and across a restart of the
    streamer. Entries that cannot be parsed are logged and skipped. When another server becomes the master, reading
    continues there; an event that the streamer writes again is yielded once. The first entry raises ``SymbolError``
    and ``ConfigurationError`` for invalid arguments, and ``RedisUnavailable`` when Redis cannot be reached.
    """
    check_position("from_id", from_id)
    check_number("batch", batch, 1)
    stream = RedisStream(redis_url, prefix, channel, symbols, raw=raw, reads=True)
    place = _Place(stream, batch)
    try:
        await stream.reach()
        await place.begin(from_id)
        async with stream.watched():
            while True:
                raws = await stream.patiently(place.read)
                if raws and (lost := await stream.patiently(stream.trimmed_before, raws[0], place.id, place.seq)):
                    yield lost
                for each in raws:
                    if place.passes(each) and (entry := stream.entry(each)):
                        yield entry
    finally:
        await stream.close()


class _Place:
    """Where one reader is in a stream: the id and the ``seq`` of the last entry it read."""

    def __init__(self, stream: RedisStream, batch: int) -> None:
        self._stream, self._batch = stream, batch
        self._connections = 0
        self._newest = Newest[str]()
        self.id = "0"
        self.seq: int | None = None

    async def begin(self, from_id: str) -> None:
        """Begin after that id; raises ``RedisUnavailable``."""
        self.id, self.seq = await self._stream.resolve(from_id)

    async def read(self) -> list[Raw]:
        """The entries after this place; none after a reconnect, because another server may have answered."""
        stream = self._stream
        while self._connections != stream.connections:
            connections = stream.connections
            self.id = await stream.place_of(self.id, self.seq)
            self._connections = connections
        raws = await stream.after(self.id, self._batch)
        return raws if self._connections == stream.connections else []

    def passes(self, raw: Raw) -> bool:
        """Move to this entry; returns False for an event that the streamer wrote again."""
        self.id, seq = raw[0].decode(), seq_of(raw)
        if seq is None:
            return True
        newest = self._newest.of_run(self._stream.key, seq)
        if is_repeat(seq, newest.seq if newest else self.seq):
            return False
        self._newest.note(self._stream.key, Mark(seq, 0))
        self.seq = seq
        return True
