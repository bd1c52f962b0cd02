"""How much of a stream its readers missed, from the counters that Redis keeps."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.consumer.streams.trimming import GroupInfo, GroupPosition, StreamInfo, gap, id_before, id_key


@dataclass
class Stream:
    """A stream and one group of it as Redis counts them; ``counts_lost``: as its newer versions do."""

    counts_lost: bool
    added: int = 0
    kept: list[int] = field(default_factory=list)
    delivered: int = 0
    read: int | None = None

    def add(self, count: int) -> None:
        """Add entries numbered on."""
        self.kept += range(self.added + 1, self.added + count + 1)
        self.added += count

    def trim(self, keep: int) -> None:
        """Keep the newest."""
        self.kept = self.kept[max(0, len(self.kept) - keep) :]

    def info(self) -> tuple[StreamInfo, GroupInfo]:
        """What Redis answers."""
        first = f"{self.kept[0]}-1" if self.kept else None
        return (
            StreamInfo(self.added, len(self.kept), first, f"{self.added}-1" if self.added else "0-0"),
            GroupInfo(f"{self.delivered}-1" if self.delivered else "0-0", self.read),
        )

    def deliver(self, count: int) -> tuple[list[str], int]:
        """Give the group its next entries; returns them, and how many were trimmed before the first."""
        given_out = [number for number in self.kept if number > self.delivered][:count]
        if not given_out:
            return [], 0
        lost = given_out[0] - self.delivered - 1
        self.read = (self.read or 0) + len(given_out) + (lost if self.counts_lost else 0)
        self.delivered = given_out[-1]
        return [f"{number}-1" for number in given_out], lost


def joined(stream: Stream) -> GroupPosition:
    """A consumer that comes to the group, new or not."""
    position = GroupPosition()
    position.start(*stream.info())
    return position


steps = st.lists(st.tuples(st.sampled_from(["add", "trim", "read", "restart"]), st.integers(0, 30)), max_size=60)


@given(steps=steps, consumers=st.integers(1, 3), start=st.integers(0, 20))
def test_each_loss_is_counted_exactly_by_the_consumer_that_meets_it(
    steps: list[tuple[str, int]], consumers: int, start: int
) -> None:
    """For any additions, trims and reads of any consumers, each read counts exactly the entries it passed over."""
    stream = Stream(counts_lost=True)
    stream.add(start)
    positions = [joined(stream) for _ in range(consumers)]
    for turn, (step, number) in enumerate(steps):
        reader = positions[turn % consumers]
        if step == "add":
            stream.add(number)
        elif step == "trim":
            stream.trim(number)
        elif step == "restart" and stream.delivered:
            positions[turn % consumers] = joined(stream)
        else:
            before = stream.info()
            ids, lost = stream.deliver(number + 1)
            assert reader.advance(*before, ids) == lost


@given(steps=steps, start=st.integers(0, 20))
def test_a_redis_that_does_not_count_what_was_trimmed_is_put_right(steps: list[tuple[str, int]], start: int) -> None:
    """With the counters of Redis 7.0 one consumer still counts each loss once."""
    stream = Stream(counts_lost=False)
    stream.add(start)
    position = joined(stream)
    for step, number in steps:
        if step == "add":
            stream.add(number)
        elif step == "trim":
            stream.trim(number)
        else:
            before = stream.info()
            ids, lost = stream.deliver(number + 1)
            assert position.advance(*before, ids) == lost


def test_what_was_trimmed_before_the_group_was_made_is_not_lost() -> None:
    """A group that starts with all that is kept has missed nothing of what went before."""
    stream = Stream(counts_lost=True)
    stream.add(1000)
    stream.trim(10)
    position = joined(stream)
    before = stream.info()
    ids, _ = stream.deliver(5)
    assert position.advance(*before, ids) == 0


def test_a_group_of_unknown_position_reports_a_gap_of_unknown_size() -> None:
    """Where Redis does not know how far a group had read, what it passed over is reported without a number."""
    stream = StreamInfo(100, 10, "91-1", "100-1")
    assert GroupPosition().advance(stream, GroupInfo("50-1", None), ["91-1"]) is None
    assert GroupPosition().advance(stream, GroupInfo("95-1", None), ["96-1"]) == 0


def test_redis_answers_are_read() -> None:
    """XINFO's answers as redis-py gives them; a group that is not there is None; an older Redis is a ``KeyError``."""
    answer = {"entries-added": 5, "length": 1, "last-generated-id": b"5-0", "first-entry": (b"5-0", {})}
    assert StreamInfo.of(answer) == StreamInfo(5, 1, "5-0", "5-0")
    assert StreamInfo.of(answer | {"first-entry": None}).first_id is None
    groups = [{"name": b"desk", "last-delivered-id": b"4-0", "entries-read": None}]
    assert GroupInfo.of(groups, "desk") == GroupInfo("4-0", None)
    assert GroupInfo.of(groups, "other") is None
    with pytest.raises(KeyError):
        StreamInfo.of({"length": 1, "first-entry": None})


@given(milliseconds=st.integers(1, 2**63), number=st.integers(0, 2**64 - 1))
def test_the_id_before_is_the_next_lower(milliseconds: int, number: int) -> None:
    """Nothing fits between an id and the one before it."""
    before = id_key(id_before(f"{milliseconds}-{number}"))
    assert before < (milliseconds, number)
    assert before == (milliseconds, number - 1) if number else before == (milliseconds - 1, 2**64 - 1)


def test_a_gap_names_its_times_and_belongs_to_no_channel() -> None:
    """The StatusEvent has the times of the ids around the loss, and ``seq`` 0."""
    status = gap("3 entries", 3, "1000-0", "9000-0", 10_000_000)
    assert (status.state, status.detail, status.count, status.seq) == ("gap", "trimmed", 3, 0)
    assert (status.lost_at, status.restored_at, status.timestamp) == (1000, 9000, 10_000)
    assert gap("3 entries", 3, "0-0", None, 10_000_000).lost_at == 10_000
