"""What is written again after a connect, what is not, and what is reported as lost."""

from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest

from schwabstream.clock import LIVE_CLOCK
from schwabstream.events import Channel, StatusEvent, parse_event
from schwabstream.publishing.packing import bulk
from schwabstream.publishing.queue.channel import ChannelQueue, number_of, weight
from schwabstream.publishing.resume import LEAP, Newest, Resume, read_newest

FIRST = 1_000_000_000
MAXLEN = 1_000


def payload(number: int) -> bytes:
    """An event with this number, whose frame arrived that many milliseconds after the epoch."""
    return orjson.dumps({"v": 1, "type": "tick", "symbol": "A", "seq": number, "received_us": number * 1000})


def reply(*numbers: int) -> list[Any]:
    """Redis's reply to the question for the newest entry of a stream with these numbers."""
    newest = numbers[-1:]
    return [[b"1-0", [b"symbol", b"A", b"event", payload(number)]] for number in newest]


class Desk:
    """The queue of ticks and its resume; ``now`` and ``wall`` move as told."""

    def __init__(self, *, maxlen: int = MAXLEN, maxage_s: float = 0.0) -> None:
        self.now, self.wall = 100.0, FIRST / 1000
        self.queue = ChannelQueue(Channel.TICKS, "md", maxlen, FIRST)
        self.counts: Counter[str] = Counter()
        self.statuses: list[StatusEvent] = []
        self.losses: list[int] = []
        self.resume = Resume(
            [self.queue],
            self.counts,
            self.take_status,
            self.losses.append,
            maxage_s=maxage_s,
            clock=replace(LIVE_CLOCK, wall=lambda: self.wall, monotonic=lambda: self.now),
        )

    def take_status(self, channel: Channel, event: dict[str, Any]) -> None:
        """Take in a StatusEvent as the publisher would."""
        assert channel is Channel.STATUS
        status = parse_event(orjson.dumps(event))
        assert isinstance(status, StatusEvent)
        self.statuses.append(status)

    def publish(self, count: int) -> None:
        """Queue events."""
        for _ in range(count):
            self.queue.seq += 1
            self.queue.events.append(("A", bulk(payload(self.queue.seq))))

    def acknowledge(self) -> None:
        """Write all that is queued."""
        while self.queue.load():
            written, self.queue.in_flight = self.queue.in_flight, []
            self.queue.published += len(written)
            self.queue.written_at = self.now
            self.resume.kept.add(self.now, Channel.TICKS, written, weight(written))

    def connect(self, *replies: Any) -> list[int]:
        """Connect, with these replies, and return the numbers in the queue, counted from the first of the run."""
        self.resume.take(replies)
        return [number_of(event) - FIRST for event in self.queue.events]

    def counted(self) -> tuple[int, int, int]:
        """Sent again, already there, lost."""
        return self.counts["sent again"], self.counts["already there"], self.counts["lost"]


def desk(**options: Any) -> Desk:
    """A desk that has connected once, to an empty Redis."""
    made = Desk(**options)
    assert made.connect([]) == []
    return made


def test_acknowledged_events_that_redis_lacks_go_before_the_queued_ones() -> None:
    """A promoted replica that lacks the last three of ten gets these three, then what was queued in the meantime."""
    one = desk()
    one.publish(10)
    one.acknowledge()
    one.publish(2)
    assert one.connect(reply(FIRST + 7)) == [8, 9, 10, 11, 12]
    assert one.counted() == (3, 0, 0)
    assert one.losses == [0]
    assert one.queue.published == 7
    one.acknowledge()
    assert one.connect(reply(FIRST + 12)) == []
    assert one.queue.published == 12


def test_events_whose_acknowledgement_was_lost_are_not_written_twice() -> None:
    """A batch whose EXEC ran without a reply is there: it counts as written, and is kept like any other."""
    one = desk()
    one.publish(5)
    assert one.connect(reply(FIRST + 3)) == [4, 5]
    assert one.counted() == (0, 3, 0)
    assert one.queue.published == 3
    assert one.losses == []
    assert one.connect(reply(FIRST + 1)) == [2, 3, 4, 5]
    assert one.counted() == (2, 3, 0)


def test_lost_events_that_are_no_longer_kept_are_counted_exactly() -> None:
    """A gap names their number without the dropped ones, and the times of the events around them."""
    one = desk()
    one.publish(10)
    one.acknowledge()
    one.publish(10)
    assert one.queue.shed(4, 0)[0] == 4  # 11 to 14 never reached Redis
    one.acknowledge()
    one.now += 20
    one.resume.kept.forget(one.now - 15)
    one.publish(5)
    one.acknowledge()
    assert one.connect(reply(FIRST + 6)) == [21, 22, 23, 24, 25]
    assert one.counted() == (5, 0, 10)
    (status,) = one.statuses
    assert (status.state, status.detail, status.count) == ("gap", "redis-failover", 10)
    assert (status.lost_at, status.restored_at) == (FIRST + 6, FIRST + 21)
    assert one.losses == [10]


def test_a_loss_is_reported_once() -> None:
    """When the connection breaks again before the rest was written, the same events are not counted again."""
    one = desk()
    one.publish(10)
    one.acknowledge()
    one.resume.kept.forget(one.now + 1)
    one.publish(2)
    for _ in range(2):
        assert one.connect(reply(FIRST + 6)) == [11, 12]
    assert one.counted() == (0, 0, 4)
    assert len(one.statuses) == 1


@pytest.mark.parametrize("left", [[], reply(FIRST - 5)])
def test_of_a_redis_that_lost_the_whole_run_no_more_counts_than_its_stream_held(left: list[Any]) -> None:
    """Without an entry of this run the kept events are written again; the loss is bounded by the stream's length."""
    one = desk()
    one.publish(MAXLEN + 500)
    one.acknowledge()
    one.resume.kept.forget(one.now + 1)
    one.publish(10)
    one.acknowledge()
    assert one.connect(left) == list(range(MAXLEN + 501, MAXLEN + 511))
    assert one.counted() == (10, 0, MAXLEN)
    (status,) = one.statuses
    assert (status.lost_at, status.restored_at) == (FIRST, FIRST + MAXLEN + 501)


@pytest.mark.parametrize(
    "answer",
    [
        ValueError("NOPERM"),
        [[b"1-0", [b"name", b"value"]]],
        [[b"1-0", [b"symbol", b"A", b"event", b"{"]]],
        [[b"1-0", [b"symbol", b"A", b"event", b"[1]"]]],
        [[b"1-0", [b"symbol", b"A", b"event", b'{"seq":"7"}']]],
        [[b"1-0", [b"symbol", b"A", b"event", b'{"seq":99999999999999999}']]],
        [[b"1-0", [b"symbol"]]],
        [[b"1-0", None]],
        None,
    ],
)
def test_a_stream_whose_newest_entry_is_unusable_changes_nothing(answer: Any) -> None:
    """What is in the stream is unknown: queued events are written, and nothing is repeated or reported."""
    one = desk()
    one.publish(3)
    one.acknowledge()
    one.publish(2)
    assert read_newest(answer) is None
    assert one.connect(answer) == [4, 5]
    assert one.counted() == (0, 0, 0)


def test_a_run_numbers_above_the_newest_in_redis() -> None:
    """Whatever the clock of this host shows, the numbers of a run are above those of the one before (figure 17)."""
    one = Desk()
    assert one.connect(reply(FIRST + 30_000_000)) == []
    one.publish(1)
    assert number_of(one.queue.events[0]) == FIRST + 30_000_000 + LEAP + 1
    ahead = Desk()
    assert ahead.connect(reply(FIRST - 2 * LEAP)) == []
    ahead.publish(1)
    assert number_of(ahead.queue.events[0]) == FIRST + 1


def test_without_streams_a_run_numbers_above_the_last_values_and_asks_once() -> None:
    """The hashes of last values are read at the first connect alone; nothing is kept or compared."""
    one = Desk(maxlen=0)
    assert b"HVALS" in one.resume.questions[0]
    one.connect([payload(FIRST + 7), payload(FIRST + 9), b"rubbish"])
    assert one.queue.seq == FIRST + 9 + LEAP
    assert one.resume.questions == []
    one.publish(3)
    one.acknowledge()
    one.resume.take([])
    assert one.counted() == (0, 0, 0)


def test_entries_of_another_run_are_neither_lost_nor_repeated() -> None:
    """A newest entry above all numbers of this run is another's: later events are numbered above it."""
    one = desk()
    one.publish(3)
    one.acknowledge()
    one.publish(1)
    assert one.connect(reply(FIRST + 50)) == [4]
    assert one.queue.seq == FIRST + 50 + LEAP
    assert one.counted() == (0, 0, 0)


def test_entries_removed_for_their_age_are_not_lost() -> None:
    """An empty stream lacks nothing when its newest entry was older than the age that entries are kept."""
    one = desk(maxage_s=60)
    one.publish(3)
    one.acknowledge()
    one.now += 61
    assert one.connect([]) == []
    assert one.counted() == (0, 0, 0)
    one.publish(1)
    one.acknowledge()
    one.now += 5
    assert one.connect([])[-1:] == [4]


def test_the_newest_entry_is_read_from_the_reply() -> None:
    """Number and time of an event; an empty stream has number 0."""
    assert read_newest(reply(FIRST)) == Newest(FIRST, FIRST)
    assert read_newest([[b"1-0", [b"symbol", b"A", b"event", b'{"seq":5,"received_us":"x"}']]]) == Newest(5)
    assert read_newest([]) == Newest(0)
