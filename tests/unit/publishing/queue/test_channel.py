"""The queue of one channel: what makes a batch, the commands sent to Redis, and what is dropped when room is short."""

import hiredis
import pytest

from schwabstream.events import Channel
from schwabstream.publishing.packing import bulk
from schwabstream.publishing.queue.channel import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MOST_SYMBOLS, ChannelQueue, weight


def queue_of(*events: tuple[str, bytes], channel: Channel = Channel.TICKS, maxlen: int = 10) -> ChannelQueue:
    """A queue of these events: symbol and JSON each."""
    made = ChannelQueue(channel, "md", maxlen, 0)
    made.events = [(symbol, bulk(event)) for symbol, event in events]
    return made


def commands(one: ChannelQueue) -> list[list[bytes]]:
    """The commands of what is in flight, as Redis would read them."""
    reader = hiredis.Reader()
    reader.feed(b"".join(one.pack()))
    read = []
    while (command := reader.gets()) is not False:
        read.append(command)
    return read


def test_every_event_is_published_and_added_and_the_newest_of_each_symbol_kept() -> None:
    """PUBLISH and XADD for each event in order, then one HSET with the last of each symbol."""
    one = queue_of(("A", b"1"), ("B", b"2"), ("A", b"3"))
    one.load()
    added = [[b"XADD", b"md:stream:ticks", b"MAXLEN", b"~", b"10", b"*", b"symbol", s, b"event", e]
             for s, e in ((b"A", b"1"), (b"B", b"2"), (b"A", b"3"))]  # fmt: skip
    published = [[b"PUBLISH", b"md:ticks", event] for event in (b"1", b"2", b"3")]
    each = [command for pair in zip(published, added, strict=True) for command in pair]
    assert commands(one) == [*each, [b"HSET", b"md:last:ticks", b"A", b"3", b"B", b"2"]]


def test_every_event_is_also_published_on_the_channel_of_its_symbol() -> None:
    """With symbol channels, each event is published twice, on the shared channel first, before it is added."""
    one = queue_of(("A", b"1"), ("B:X", b"2"))
    one.symbol_channels = True
    one.load()
    names = [(command[0], command[1], command[-1]) for command in commands(one)]
    assert names == [
        (b"PUBLISH", b"md:ticks", b"1"),
        (b"PUBLISH", b"md:ticks:A", b"1"),
        (b"XADD", b"md:stream:ticks", b"1"),
        (b"PUBLISH", b"md:ticks", b"2"),
        (b"PUBLISH", b"md:ticks:B:X", b"2"),
        (b"XADD", b"md:stream:ticks", b"2"),
        (b"HSET", b"md:last:ticks", b"2"),
    ]


def test_on_a_cluster_symbol_channels_are_sharded() -> None:
    """The channel of a symbol is in the slot of the prefix; the shared channel reaches subscribers at every node."""
    one = ChannelQueue(Channel.TICKS, "{md}", 10, 0, symbol_channels=True, sharded=True)
    one.events = [("A", bulk(b"1"))]
    one.load()
    assert [command[:2] for command in commands(one)][:2] == [
        [b"PUBLISH", b"{md}:ticks"],
        [b"SPUBLISH", b"{md}:ticks:A"],
    ]


@pytest.mark.parametrize("symbol_channels", [False, True])
@pytest.mark.parametrize("maxlen", [0, 10])
@pytest.mark.parametrize("channel", list(Channel))
def test_each_command_has_the_name_it_writes_to(channel: Channel, maxlen: int, *, symbol_channels: bool) -> None:
    """A refusal is attributed to the name in its command, or to one name for all symbols; streams may be off."""
    one = queue_of(("A", b"1"), ("B", b"2"), channel=channel, maxlen=maxlen)
    one.symbol_channels = symbol_channels
    one.load()
    all_symbols = {f"md:{channel}:{symbol}": f"md:{channel}:*" for symbol in "AB"}
    written = [command[1].decode() for command in commands(one)]
    assert [all_symbols.get(name, name) for name in written] == [name for name, _ in one.writes()]
    assert len(written) == 2 * one.commands_per_event + (one.last_key is not None)
    assert any(command[0] == b"XADD" for command in commands(one)) is (maxlen > 0)


def test_the_memory_for_symbols_is_bounded() -> None:
    """Above the limit the queue forgets symbols, those with the oldest events first: streamed ones keep their chain."""
    one = queue_of(("A", b"1"))
    one.newest = {"A": MOST_SYMBOLS, **{str(number): number for number in range(MOST_SYMBOLS)}}
    one.load()
    assert len(one.newest) == MOST_SYMBOLS // 2 + 1
    assert one.newest["A"] == MOST_SYMBOLS
    assert min(one.newest.values()) == MOST_SYMBOLS // 2
    assert len(commands(one)) == 3


@pytest.mark.parametrize("size", [10, 10_000])
def test_a_batch_is_bounded_and_what_comes_back_goes_first(size: int) -> None:
    """No batch exceeds its bound in events or, by much, in bytes; unloading restores the order."""
    one = queue_of(*(("A", b"%d " % n + b"x" * size) for n in range(MAX_BATCH_EVENTS + 1)))
    before = list(one.events)
    count = one.load()
    assert 0 < count <= MAX_BATCH_EVENTS
    assert weight(one.in_flight) <= MAX_BATCH_BYTES + weight(before[:100])
    assert one.in_flight + one.events == before
    one.unload()
    assert (one.in_flight, one.events) == ([], before)


def test_the_oldest_go_but_never_the_newest_of_a_symbol() -> None:
    """Shedding gives up no more than is asked for, from the front, and leaves each symbol its last event."""
    one = queue_of(("Q", b"0"), *(("A", b"%d" % n) for n in range(1, 6)))
    each = weight(one.events[:1])
    assert one.shed(2, 0) == (2, 2 * each)
    assert [event for _, event in one.events] == [bulk(b"%d" % n) for n in (0, 3, 4, 5)]
    assert one.shed(100, 0) == (2, 2 * each)
    assert [event for _, event in one.events] == [bulk(b"0"), bulk(b"5")]


def test_one_key_is_written_again_with_the_newest_event_alone() -> None:
    """A key that refused gets the command of the newest event; a channel, which keeps nothing, gets none."""
    one = queue_of(("A", b"1"), ("B", b"2"))
    one.load()
    reader = hiredis.Reader()
    newest = dict(one.writes())
    reader.feed((newest["md:stream:ticks"] or b"") + (newest["md:last:ticks"] or b""))
    assert reader.gets()[5:] == [b"*", b"symbol", b"B", b"event", b"2"]
    assert reader.gets() == [b"HSET", b"md:last:ticks", b"B", b"2"]
    assert newest["md:ticks"] is None
