"""Events that a stream contains twice: recognized by their ``seq``, acknowledged together."""

import pytest

from schwabstream.consumer.repeats import RUN_APART, Delivered, Mark, Newest, is_repeat


@pytest.mark.parametrize(
    ("seq", "newest", "expected"),
    [
        (5, 5, True),
        (4, 5, True),
        (6, 5, False),
        (None, 5, False),
        (5, None, False),
        (5, 5 + RUN_APART, False),
        (6, 5 + RUN_APART, True),
    ],
)
def test_a_number_that_is_not_newer_is_a_repeat(seq: int | None, newest: int | None, *, expected: bool) -> None:
    """A ``seq`` is a repeat when it is not above the newest; far below it, it is of another run."""
    assert is_repeat(seq, newest) is expected


def test_two_runs_that_alternate_keep_their_newest_numbers() -> None:
    """Neither run's events are new a second time, whichever of the two began first."""
    newest, later = Newest[str](), 9 * RUN_APART
    for seq in (7, later, 8, later + 1):
        newest.note("A", Mark(seq, 1))
    assert newest.of_run("A", 5) == Mark(8, 1)
    assert newest.of_run("A", later) == Mark(later + 1, 1)
    assert newest.of_run("B", 5) is None


def test_an_event_received_before_is_a_repeat_under_any_id() -> None:
    """The ``seq`` decides and not the id; an event that only another consumer received is none, however old."""
    delivered = Delivered()
    assert not delivered.is_repeat(10, "1-0")
    assert not delivered.is_repeat(20, "3-0")
    assert delivered.is_repeat(10, "1-0")
    assert delivered.is_repeat(10, "9-0")
    assert not delivered.is_repeat(15, "2-0")
    assert not delivered.is_repeat(None, "4-0")


def test_acknowledging_an_entry_acknowledges_its_copies() -> None:
    """One acknowledgement covers every entry of the event; one received later is not open any more."""
    delivered = Delivered()
    for entry_id in ("1-0", "9-0"):
        delivered.is_repeat(10, entry_id)
    delivered.is_repeat(11, "2-0")
    assert delivered.is_open(10)
    assert delivered.acknowledge(["9-0", "8-0"]) == ["9-0", "1-0", "8-0"]
    assert not delivered.is_open(10)
    assert not delivered.has_open("1-0")
    assert delivered.has_open("2-0")
    assert delivered.is_repeat(10, "12-0")
    assert delivered.acknowledge(["12-0"]) == ["12-0"]
    assert delivered.is_open(11)


def test_an_entry_of_the_group_comes_again_unless_it_was_acknowledged() -> None:
    """What is handed out again is no repeat while it is open, also under the id of its copy."""
    delivered = Delivered()
    for seq, entry_id in ((10, "1-0"), (10, "9-0"), (11, "2-0")):
        delivered.is_repeat(seq, entry_id)
    delivered.acknowledge(["2-0"])
    delivered.deliver_again(["9-0", "2-0", "5-0"])
    assert not delivered.is_repeat(10, "9-0")
    assert delivered.is_repeat(11, "2-0")


def test_reading_again_begins_before_the_oldest_open_event() -> None:
    """A group that was lost is read again from its oldest open event on, or after the newest when none is open."""
    delivered = Delivered()
    assert delivered.resume_after() is None
    for seq in (10, 11, 12):
        delivered.is_repeat(seq, f"{seq}-0")
    delivered.acknowledge(["10-0"])
    assert delivered.resume_after() == 10
    delivered.acknowledge(["11-0", "12-0"])
    assert delivered.resume_after() == 12


def test_only_the_latest_events_are_remembered() -> None:
    """The oldest events are forgotten, with their ids, open or not."""
    delivered = Delivered(remembered=2)
    for seq in (1, 2, 3):
        delivered.is_repeat(seq, f"{seq}-0")
    assert not delivered.is_repeat(1, "7-0")
    assert delivered.acknowledge(["2-0"]) == ["2-0"]
    assert delivered.is_repeat(3, "8-0")
