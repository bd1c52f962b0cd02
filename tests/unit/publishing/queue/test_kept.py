"""What is kept of the acknowledged events: the newest, within bounds of age, number and size, and by channel."""

from schwabstream.events import Channel
from schwabstream.publishing.packing import bulk
from schwabstream.publishing.queue.channel import Event, number_of, weight
from schwabstream.publishing.queue.kept import KEPT_BYTES, KEPT_EVENTS, Kept

TICKS, LEVEL2 = Channel.TICKS, Channel.LEVEL2


def events(*numbers: int, pad: int = 0) -> list[Event]:
    """Events with these numbers."""
    return [("A", bulk(b'{"symbol":"A","seq":%d,"pad":"%b"}' % (number, b"x" * pad))) for number in numbers]


def add(kept: Kept, now: float, channel: Channel, batch: list[Event]) -> None:
    """Keep one batch."""
    kept.add(now, channel, batch, weight(batch))


def numbers(taken: list[Event]) -> list[int]:
    """Their numbers."""
    return [number_of(event) for event in taken]


def test_the_events_above_a_number_are_taken_out_and_the_others_stay() -> None:
    """A batch may be split; other channels keep theirs; what was taken is no longer kept."""
    kept = Kept()
    for at, channel, batch in ((1, TICKS, (1, 2)), (2, LEVEL2, (7, 9)), (3, TICKS, (4, 5, 6)), (4, TICKS, (8,))):
        add(kept, at, channel, events(*batch))
    assert numbers(kept.take_newer(TICKS, 4)) == [5, 6, 8]
    assert numbers(kept.take_newer(TICKS, 4)) == []
    assert kept.events == 5
    assert numbers(kept.take_newer(TICKS, 0)) == [1, 2, 4]
    assert numbers(kept.take_newer(LEVEL2, 7)) == [9]
    assert (kept.events, kept.bytes) == (1, weight(events(7)))


def test_batches_of_an_earlier_time_are_forgotten() -> None:
    """Forgetting goes by the time of the acknowledgement."""
    kept = Kept()
    for at in range(5):
        add(kept, at, TICKS, events(at))
    kept.forget(3)
    assert numbers(kept.take_newer(TICKS, -1)) == [3, 4]


def test_the_bounds_hold_over_all_channels_and_the_oldest_go_first() -> None:
    """Neither the number of events nor their bytes exceed the bounds."""
    kept = Kept()
    for number in range(0, KEPT_EVENTS + 3_000, 1_000):
        add(kept, 0, TICKS if number % 2_000 else LEVEL2, events(*range(number, number + 1_000)))
    assert kept.events == KEPT_EVENTS
    assert numbers(kept.take_newer(LEVEL2, -1))[0] == 4_000
    for number in range(40):
        add(kept, 0, TICKS, events(10**6 + number, pad=2**19))
    assert kept.bytes <= KEPT_BYTES
    assert numbers(kept.take_newer(TICKS, -1)) == list(range(10**6 + 9, 10**6 + 40))


def test_without_streams_nothing_is_kept() -> None:
    """With a bound of 0 each batch is forgotten at once."""
    kept = Kept(0)
    add(kept, 0, TICKS, events(1, 2))
    assert (kept.events, kept.bytes) == (0, 0)
