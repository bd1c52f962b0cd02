"""From when to when each key's data is missing: every outage is one gap."""

from hypothesis import given
from hypothesis import strategies as st

from schwabstream.outages import Gap, Outages


def test_an_outage_is_one_gap_however_many_sessions_fail() -> None:
    """A key is lost once: later failures before it is back neither move its loss nor add a gap."""
    outages = Outages()
    outages.lose("/MNQ", 100.0)
    outages.lose("/MNQ", 160.0)
    assert outages.restore(["/MNQ"], 200.0) == [Gap(100.0, 200.0, ("/MNQ",))]
    assert outages.restore(["/MNQ"], 300.0) == []


def test_keys_that_went_together_share_a_gap_and_others_have_their_own() -> None:
    """Gaps are told by loss, oldest first, with the keys in the order of restoring."""
    outages = Outages()
    for key, at in (("A", 2.0), ("B", 1.0), ("C", 2.0), ("D", 2.0)):
        outages.lose(key, at)
    assert outages.restore(["C", "B", "A"], 5.0) == [Gap(1.0, 5.0, ("B",)), Gap(2.0, 5.0, ("C", "A"))]
    assert outages.restore(["D"], 9.0) == [Gap(2.0, 9.0, ("D",))]


def test_a_loss_before_the_last_gap_ended_is_part_of_that_gap() -> None:
    """A session that dies as soon as it is complete was last heard before: its gap begins where the other ended."""
    outages = Outages()
    outages.lose("A", 1.0)
    outages.restore(["A"], 5.0)
    outages.lose("A", 4.0)
    assert outages.restore(["A"], 9.0) == [Gap(5.0, 9.0, ("A",))]


def test_what_was_never_lost_has_no_gap() -> None:
    """The first subscription of a run restores nothing."""
    assert Outages().restore(["/MNQ"], 1.0) == []


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ABC")), max_size=60))
def test_gaps_of_a_key_never_overlap(story: list[tuple[bool, str]]) -> None:
    """Whatever happens in whatever order, each key's gaps lie one behind the other."""
    outages = Outages()
    ends: dict[str, float] = {}
    for at, (is_loss, key) in enumerate(story):
        if is_loss:
            outages.lose(key, float(at))
            continue
        for gap in outages.restore([key], float(at)):
            assert ends.get(key, -1.0) <= gap.lost_at <= gap.restored_at == at
            ends[key] = gap.restored_at
