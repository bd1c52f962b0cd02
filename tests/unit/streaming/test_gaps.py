"""From when to when each key's data is missing: every outage is one gap."""

from hypothesis import given
from hypothesis import strategies as st

from schwabstream.streaming.gaps import Gap, Outages


def test_an_outage_is_one_gap_however_many_sessions_fail() -> None:
    """A key is lost once: later failures before it is back neither move its loss nor add a gap."""
    outages = Outages()
    outages.lose("/MNQ", 100.0)
    outages.lose("/MNQ", 160.0)
    assert outages.restore({"/MNQ": 200.0}) == [Gap(100.0, 200.0, ("/MNQ",))]
    assert outages.restore({"/MNQ": 300.0}) == []


def test_keys_that_went_together_share_a_gap_and_others_have_their_own() -> None:
    """Gaps are reported by loss, oldest first, with the keys in the order of restoring; each ends with its last key."""
    outages = Outages()
    for key, at in (("A", 2.0), ("B", 1.0), ("C", 2.0), ("D", 2.0)):
        outages.lose(key, at)
    assert list(outages.lost) == ["A", "B", "C", "D"]
    assert outages.restore({"C": 5.0, "B": 5.5, "A": 4.0}) == [Gap(1.0, 5.5, ("B",)), Gap(2.0, 5.0, ("C", "A"))]
    assert list(outages.lost) == ["D"]
    assert outages.restore({"D": 9.0}) == [Gap(2.0, 9.0, ("D",))]


def test_a_loss_before_the_last_gap_ended_is_part_of_that_gap() -> None:
    """A session that dies as soon as it is complete was last heard before: its gap begins where the other ended."""
    outages = Outages()
    outages.lose("A", 1.0)
    outages.restore({"A": 5.0})
    outages.lose("A", 4.0)
    assert outages.restore({"A": 9.0}) == [Gap(5.0, 9.0, ("A",))]


def test_what_was_never_lost_has_no_gap() -> None:
    """The first entries of a run restore nothing."""
    assert Outages().restore({"/MNQ": 1.0}) == []


def test_a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_begins() -> None:
    """A gap lasts no time at least, whatever the clock did."""
    outages = Outages()
    outages.lose("A", 5.0)
    assert outages.restore({"A": 3.0}) == [Gap(5.0, 5.0, ("A",))]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ABC")), max_size=60))
def test_gaps_of_a_key_never_overlap(story: list[tuple[bool, str]]) -> None:
    """Whatever happens in whatever order, each key's gaps lie one behind the other."""
    outages = Outages()
    ends: dict[str, float] = {}
    for at, (is_loss, key) in enumerate(story):
        if is_loss:
            outages.lose(key, float(at))
            continue
        for gap in outages.restore({key: float(at)}):
            assert ends.get(key, -1.0) <= gap.lost_at <= gap.restored_at == at
            ends[key] = gap.restored_at
