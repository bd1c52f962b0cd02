"""From when to when each key's data is missing: every outage is one gap."""

from hypothesis import given
from hypothesis import strategies as st

from schwabstream.streaming.gaps import Gap, OpenGaps


def test_an_outage_is_one_gap_however_many_sessions_fail() -> None:
    """A key is lost once: later failures before it is back neither move its loss nor add a gap."""
    gaps = OpenGaps()
    gaps.lose("/MNQ", 100.0)
    gaps.lose("/MNQ", 160.0)
    assert gaps.restore({"/MNQ": 200.0}) == [Gap(100.0, 200.0, ("/MNQ",))]
    assert gaps.restore({"/MNQ": 300.0}) == []


def test_keys_that_went_together_share_a_gap_and_others_have_their_own() -> None:
    """Gaps are reported by loss, oldest first, with the keys in the order of restoring; each ends with its last key."""
    gaps = OpenGaps()
    for key, at in (("A", 2.0), ("B", 1.0), ("C", 2.0), ("D", 2.0)):
        gaps.lose(key, at)
    assert list(gaps.lost) == ["A", "B", "C", "D"]
    assert gaps.restore({"C": 5.0, "B": 5.5, "A": 4.0}) == [Gap(1.0, 5.5, ("B",)), Gap(2.0, 5.0, ("C", "A"))]
    assert list(gaps.lost) == ["D"]
    assert gaps.restore({"D": 9.0}) == [Gap(2.0, 9.0, ("D",))]


def test_a_loss_before_the_last_gap_ended_is_part_of_that_gap() -> None:
    """A session that dies as soon as it is complete begins its gap where the previous session ended."""
    gaps = OpenGaps()
    gaps.lose("A", 1.0)
    gaps.restore({"A": 5.0})
    gaps.lose("A", 4.0)
    assert gaps.restore({"A": 9.0}) == [Gap(5.0, 9.0, ("A",))]


def test_what_was_never_lost_has_no_gap() -> None:
    """The first entries of a run restore nothing."""
    assert OpenGaps().restore({"/MNQ": 1.0}) == []


def test_a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_begins() -> None:
    """A gap lasts no time at least, whatever the clock did."""
    gaps = OpenGaps()
    gaps.lose("A", 5.0)
    assert gaps.restore({"A": 3.0}) == [Gap(5.0, 5.0, ("A",))]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ABC")), max_size=60))
def test_gaps_of_a_key_never_overlap(story: list[tuple[bool, str]]) -> None:
    """In any order of losses and returns the gaps of a key never overlap."""
    gaps = OpenGaps()
    ends: dict[str, float] = {}
    for at, (is_loss, key) in enumerate(story):
        if is_loss:
            gaps.lose(key, float(at))
            continue
        for gap in gaps.restore({key: float(at)}):
            assert ends.get(key, -1.0) <= gap.lost_at <= gap.restored_at == at
            ends[key] = gap.restored_at
