"""The bounds of the queue: what is dropped, and when the next events are."""

from schwabstream.events import Channel
from schwabstream.publishing.packing import bulk
from schwabstream.publishing.queue.bounds import Bounds
from schwabstream.publishing.queue.channel import ChannelQueue, weight


def queue_of(channel: Channel, symbols: str) -> ChannelQueue:
    """A queue with one event for each letter, numbered from 1."""
    made = ChannelQueue(channel, "md", 10, 0)
    made.events = [(symbol, bulk(b'{"seq":%d}' % (n + 1))) for n, symbol in enumerate(symbols)]
    return made


def test_an_eighth_of_the_bounds_is_freed_from_the_largest_queue() -> None:
    """The oldest events go, and their numbers are known as dropped."""
    ticks, bars = queue_of(Channel.TICKS, "A" * 80), queue_of(Channel.BARS, "B" * 9)
    bounds = Bounds(80, 10**9)
    assert bounds.shed([bars, ticks], 89, weight(ticks.events + bars.events))[0] == 19
    assert (len(ticks.events), len(bars.events)) == (61, 9)
    assert ticks.dropped.between(0, 81) == ticks.dropped.between(0, 20) == 19
    assert (bounds.events, bounds.bytes) == (80, 10**9)


def test_where_little_can_be_dropped_the_next_attempt_waits() -> None:
    """The newest event of each symbol stays: the queue grows by an eighth before it is visited again."""
    ticks = queue_of(Channel.TICKS, "".join(chr(65 + n) for n in range(40)) + "A")
    bounds = Bounds(16, 10**9)
    assert bounds.shed([ticks], 41, weight(ticks.events))[0] == 1
    assert bounds.events == 45
    assert ticks.dropped.between(0, 42) == ticks.dropped.between(0, 2) == 1


def test_dropped_numbers_of_neighbours_are_one_range() -> None:
    """Events that stayed at first and go later close the hole between the ranges around them."""
    ticks = queue_of(Channel.TICKS, "AABAAAB")
    assert ticks.shed(4, 0)[0] == 4
    assert [number for number in range(1, 8) if ticks.dropped.between(number - 1, number + 1)] == [1, 2, 3, 4]
    assert ticks.shed(9, 0)[0] == 1
    assert ticks.dropped.between(0, 9) == 5


def test_filled_compares_with_a_part_of_either_bound() -> None:
    """More than a quarter of the events or of the bytes counts as filled."""
    bounds = Bounds(100, 1_000)
    assert not bounds.filled(1 / 4, 25, 250)
    assert bounds.filled(1 / 4, 26, 0)
    assert bounds.filled(1 / 4, 0, 251)
