"""Any interleaving of a publisher, a connection that breaks, and a reader: nothing lost unreported, nothing twice."""

import sys
from collections import defaultdict

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.events import Channel, Event, StatusEvent
from tests.support.channel_messages import FIRST, everything, payload


class Streamer:
    """A publisher as the channels show it, and one reader's link to it; ``first``: the first connection to catch up."""

    def __init__(self) -> None:
        self.seq = dict.fromkeys(Channel, FIRST)
        self.published: dict[Channel, list[tuple[int, str]]] = defaultdict(list)
        self.last: dict[Channel, dict[str, bytes]] = {Channel.TICKS: {}, Channel.LEVEL2: {}}
        self.wire: list[tuple[Channel, bytes]] | None = None
        self.received: dict[Channel, set[int]] = defaultdict(set)
        self.early: dict[Channel, set[int]] = defaultdict(set)
        self.connections = 0
        self.first: int | None = None

    def publish(self, channel: Channel, symbol: str) -> None:
        self.seq[channel] += 1
        message = payload(channel, self.seq[channel], symbol)
        self.published[channel].append((self.seq[channel], symbol))
        if channel in self.last:
            self.last[channel][symbol] = message
        if self.wire is not None:
            self.wire.append((channel, message))

    def deliver(self, queue: ConflatingQueue, count: int) -> None:
        for channel, message in (self.wire or [])[:count]:
            self.received[channel].add(orjson.loads(message)["seq"])
            if self.first in (None, self.connections):
                self.early[channel].add(orjson.loads(message)["seq"])
            queue.receive(channel, message, 1)
        self.wire = None if self.wire is None else self.wire[count:]


class Reader:
    """One interleaving: each byte of the script is a step of the publisher, the wire, the reader, or the network."""

    def __init__(self) -> None:
        self.streamer, self.queue, self.taken = Streamer(), ConflatingQueue(), list[Event]()
        self.behind = False
        self.heard: set[Channel] = set()
        self.values: dict[Channel, int] = {}
        self.begun: dict[Channel, int] = {}

    def play(self, script: bytes) -> None:
        """Run the script, then connect, catch up, and let one more event of each kind arrive."""
        for step in script:
            self.step(step % 16, step // 16)
        if self.streamer.wire is None:
            self.connect()
        self.deliver(len(self.streamer.wire or []) // 2)
        self.catch_up()
        for channel in (Channel.TICKS, Channel.LEVEL2, Channel.BARS):
            self.streamer.publish(channel, "A")
        self.deliver(len(self.streamer.wire or []))
        self.taken += everything(self.queue)

    def step(self, action: int, detail: int) -> None:
        """Publish more often than anything else."""
        if action < 8:
            self.streamer.publish((Channel.TICKS, Channel.LEVEL2, Channel.BARS)[detail % 3], "ABC"[detail % 4 % 3])
        elif action < 11:
            self.deliver(detail + 1)
        elif action < 13:
            self.taken += filter(None, [self.queue.take()])
        elif action == 13 and self.streamer.wire is None:
            self.connect()
        elif action == 14:
            self.catch_up()
        elif action == 15 and detail > 11:
            self.streamer.wire, self.behind = None, False

    def deliver(self, count: int) -> None:
        """Let some messages arrive; what arrives before the last values is held back."""
        self.streamer.deliver(self.queue, count)
        if self.streamer.wire is not None and not self.behind:
            self._hear()

    def _hear(self) -> None:
        self.heard |= {channel for channel, numbers in self.streamer.received.items() if numbers}

    def connect(self) -> None:
        """Subscribe; the last values are still to be read."""
        self.queue.hold()
        self.streamer.wire, self.behind = [], True
        self.streamer.connections += 1

    def catch_up(self) -> None:
        """Read the last values, if that is due."""
        if self.behind:
            last = {channel: list(values.values()) for channel, values in self.streamer.last.items()}
            for channel in self.values.keys() - self.heard:
                self.begun[channel] = self.values[channel]
            self.heard |= self.begun.keys()
            self.queue.catch_up(last, 1)
            self.streamer.first = self.streamer.first or self.streamer.connections
            self._hear()
            self.values = {
                channel: max(number for number, _ in self.streamer.published[channel])
                for channel in last.keys() - self.heard
                if last[channel]
            }
            self.behind = False


@settings(max_examples=300)
@given(script=st.binary(max_size=80))
def test_any_interleaving_of_snapshot_and_live_loses_and_doubles_nothing(script: bytes) -> None:
    """Per symbol each event comes once and in order, the newest always comes, and what is missing is reported."""
    reader = Reader()
    reader.play(script)
    streamer = reader.streamer
    delivered: dict[tuple[str, str], list[int]] = defaultdict(list)
    lost = 0
    for event in reader.taken:
        if event.seq:
            delivered[event.type, str(event.symbol)].append(event.seq)
        elif isinstance(event, StatusEvent):
            lost += event.count or 0
    kinds = {Channel.TICKS: "tick", Channel.LEVEL2: "level2", Channel.BARS: "bar"}
    first_seen: dict[Channel, int] = {}
    for numbers in delivered.values():
        assert numbers == sorted(set(numbers))
    missing = 0
    for channel, kind in kinds.items():
        published = streamer.published[channel]
        for symbol in {symbol for _, symbol in published}:
            newest = max(seq for seq, owner in published if owner == symbol)
            if channel in streamer.last or newest in streamer.received[channel]:
                assert delivered[kind, symbol][-1] == newest
            live = [seq for seq, owner in published if owner == symbol and seq in streamer.received[channel]]
            if channel is Channel.BARS:
                assert delivered[kind, symbol] == live
        first_seen[channel] = min(streamer.received[channel] | {reader.begun.get(channel, sys.maxsize)})
        known = streamer.early[channel] | {
            seq for (type_, _), numbers in delivered.items() if type_ == kind for seq in numbers
        }
        missing += sum(seq > first_seen[channel] and seq not in known for seq, _ in published)
    assert lost == missing
