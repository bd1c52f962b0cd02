"""The queue of one channel: the queued events, the size of a batch, and the commands that write it.

An event can also be published on the channel of its symbol (docs/adr/0013), so that a reader of one symbol receives no
others. Packs the commands itself: redis-py takes many times longer to pack them than Redis takes to run them
(docs/adr/0003).
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Final

from schwabstream.events import Channel
from schwabstream.publishing.packing import bulk, command
from schwabstream.publishing.queue.dropped import DroppedNumbers

MAX_BATCH_EVENTS, MAX_BATCH_BYTES = 5_000, 4 * 2**20
EVENT_OVERHEAD = 112  # bytes that Python's objects take for a queued event, beyond the event itself
_SMALL_BATCH = 100  # events that always fit one batch
MOST_SYMBOLS = 20_000
"""A limit for memory: symbols come and go for months, and a StatusEvent names each refused one."""
_LAST_VALUES = frozenset({Channel.TICKS, Channel.LEVEL2})
# The quotes cannot be part of a text in JSON, and both names come before any object that an event contains.
_NUMBER: Final = re.compile(rb'"seq":(\d+)')
_RECEIVED: Final = re.compile(rb'"received_us":(\d+)')


class _Cache(dict[str, bytes]):
    """The packed form of each symbol, made on first use."""

    def __init__(self, make: Callable[[str], bytes]) -> None:
        self._make = make

    def __missing__(self, symbol: str) -> bytes:
        made = self[symbol] = self._make(symbol)
        return made


Event = tuple[str, bytes]  # the symbol, and the event packed as an argument of a command


def number_of(event: Event) -> int:
    """``seq`` of a queued event."""
    found = _NUMBER.search(event[1])
    return int(found[1]) if found else 0


def received_ms(event: Event) -> int | None:
    """When the frame of a queued event arrived, in milliseconds since the epoch; None when it has no time."""
    found = _RECEIVED.search(event[1])
    return int(found[1]) // 1000 if found else None


def weight(events: Sequence[Event]) -> int:
    """The bytes these events take in a queue."""
    return sum(len(packed) for _, packed in events) + len(events) * EVENT_OVERHEAD


class ChannelQueue:
    """One channel: ``seq`` of its newest event, ``events`` in the queue, ``in_flight`` events being written.

    ``newest`` holds the ``seq`` of the newest event of each symbol. A ``maxlen`` of 0 means that the channel has no
    stream. ``symbol_channels``: whether each event is also published on the channel of its symbol; ``symbol_names``
    stands for all of these channels in reports. With ``sharded``, which a Cluster needs, they are sharded channels.
    ``first_seq`` is the number before the first event of the run, and ``dropped`` has the numbers of events that never
    reached Redis. ``written_at`` is when Redis last acknowledged a batch.
    """

    def __init__(
        self,
        channel: Channel,
        prefix: str,
        maxlen: int,
        first_seq: int,
        *,
        symbol_channels: bool = False,
        sharded: bool = False,
    ) -> None:
        self.channel = channel
        self.seq = self.first_seq = first_seq
        self.dropped = DroppedNumbers()
        self.newest: dict[str, int] = {}
        self.published, self.written_at = 0, 0.0
        self.events: list[Event] = []
        self.in_flight: list[Event] = []
        self.name, self.stream_key = f"{prefix}:{channel}", f"{prefix}:stream:{channel}"
        self.last_key = f"{prefix}:last:{channel}" if channel in _LAST_VALUES else None
        self.maxlen, self.has_stream = maxlen, maxlen > 0
        self.symbol_channels = symbol_channels
        self.symbol_names = f"{self.name}:*"
        self._publish = command("PUBLISH", self.name, more=1)
        publish_symbol = "SPUBLISH" if sharded else "PUBLISH"
        self._publish_symbol = _Cache(lambda symbol: command(publish_symbol, f"{self.name}:{symbol}", more=1))
        add = command("XADD", self.stream_key, "MAXLEN", "~", str(maxlen), "*", "symbol", more=3)
        self._add = _Cache(lambda symbol: add + bulk(symbol.encode()) + bulk(b"event"))
        self._symbols = _Cache(lambda symbol: bulk(symbol.encode()))

    @property
    def commands_per_event(self) -> int:
        """How many commands :meth:`pack` makes for one event, beside the one for the last values."""
        return 1 + self.symbol_channels + self.has_stream

    def load(self) -> int:
        """Move the oldest events into flight, as many as fit one batch; returns how many."""
        queue = self.events
        if len(self.newest) > MOST_SYMBOLS:
            self._forget_symbols()
        if len(queue) <= _SMALL_BATCH:
            self.in_flight, self.events = queue, []
        else:
            first_bytes = weight(queue[:_SMALL_BATCH])
            limit = min(MAX_BATCH_EVENTS, _SMALL_BATCH + MAX_BATCH_BYTES * _SMALL_BATCH // first_bytes)
            self.in_flight, self.events = queue[:limit], queue[limit:]
        return len(self.in_flight)

    def _forget_symbols(self) -> None:
        """Forget the half of the symbols whose last events are the oldest: they are no longer streamed."""
        kept = sorted(self.newest, key=self.newest.__getitem__)[MOST_SYMBOLS // 2 :]
        self.newest = {symbol: self.newest[symbol] for symbol in kept}
        for packed in (self._publish_symbol, self._add, self._symbols):
            packed.clear()

    def unload(self) -> None:
        """Move the events in flight back to the head of the queue."""
        self.events[:0] = self.in_flight
        self.in_flight = []

    def take_written(self, number: int) -> list[Event]:
        """Remove and return the events whose ``seq`` is not above ``number``; none may be in flight."""
        first = bisect_right(self.events, number, key=number_of)
        written, self.events = self.events[:first], self.events[first:]
        return written

    def number_above(self, number: int) -> None:
        """Give the next events numbers above this one, as if the run began with them."""
        if number > self.seq:
            self.seq = self.first_seq = number

    def pack(self) -> Iterator[bytes]:
        """The commands for the events in flight; every step per event runs in C."""
        symbols, events = zip(*self.in_flight, strict=True)
        each: list[Iterable[bytes]] = [repeat(self._publish), events]
        if self.symbol_channels:
            each += (map(self._publish_symbol.__getitem__, symbols), events)
        if self.has_stream:
            each += (map(self._add.__getitem__, symbols), events)
        commands = chain.from_iterable(zip(*each, strict=False))
        if self.last_key is None:
            return commands
        newest = dict(self.in_flight)
        values = zip(map(self._symbols.__getitem__, newest), newest.values(), strict=True)
        return chain(commands, [command("HSET", self.last_key, more=2 * len(newest))], chain.from_iterable(values))

    def pack_singly(self) -> tuple[list[bytes], list[bytes]]:
        """A PUBLISH and an XADD for each queued event, in two lists, to be sent outside of a batch."""
        adds = [self._add[symbol] + event for symbol, event in self.events] if self.has_stream else []
        return [self._publish + event for _, event in self.events], adds

    def writes(self) -> Iterator[tuple[str, bytes | None]]:
        """For each command of :meth:`pack`, its channel or key and the command that writes the newest event there.

        That command is None for a channel: a missed message on pub/sub is not sent again.
        """
        symbol, event = self.in_flight[-1]
        add = self._add[symbol] + event
        for _ in self.in_flight:
            yield self.name, None
            if self.symbol_channels:
                yield self.symbol_names, None
            if self.has_stream:
                yield self.stream_key, add
        if self.last_key:
            yield self.last_key, command("HSET", self.last_key, more=2) + self._symbols[symbol] + event

    def shed(self, events: int, size: int) -> tuple[int, int]:
        """Drop the oldest events, but never the newest of a symbol, until ``events`` and ``size`` bytes are free.

        Returns how many events and bytes were freed; fewer when only the newest of each symbol are left.
        """
        # The newest event of a symbol stays because no later one would bring its value back, and a consumer must not
        # keep an outdated price. Older events are history, and the jump in ``seq`` shows that they are missing.
        newest = {symbol: index for index, (symbol, _) in enumerate(self.events)}
        freed_events = freed_bytes = 0
        kept: list[Event] = []
        # Neighbours that are dropped; any number between theirs belongs to an event that was dropped earlier.
        runs: list[list[Event]] = []
        next_index = -1
        for index, entry in enumerate(self.events):
            if (freed_events < events or freed_bytes < size) and newest[entry[0]] != index:
                freed_events += 1
                freed_bytes += len(entry[1]) + EVENT_OVERHEAD
                if index != next_index:
                    runs.append([entry, entry])
                runs[-1][1], next_index = entry, index + 1
            else:
                kept.append(entry)
        self.events = kept
        self.dropped.add((number_of(first), number_of(last)) for first, last in runs)
        return freed_events, freed_bytes
