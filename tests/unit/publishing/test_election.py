"""The rules of the lease; tests/support/lease_model.py tries them in every order of events."""

import pytest

from schwabstream.publishing.election import (
    POLL_S,
    RETURN_GRACE_S,
    VANISHED_GRACE_S,
    Candidate,
    Found,
    Rival,
    Step,
    Verdict,
    judge,
)
from schwabstream.publishing.fence import Fence

FENCE = Fence("key", "7:box:1", "owner", "account")


def looks(candidate: Candidate, *seen: tuple[str | None, int]) -> list[Step]:
    """The steps of a candidate that sees these holders over these connections; without a connection, no answer."""
    steps = []
    for holder, connection in seen:
        if connection == 0:
            candidate = candidate.away()
            continue
        candidate, step = candidate.look(holder, connection)
        steps.append(step)
    return steps


def waits(*seen: tuple[str | None, int]) -> float:
    """For how long a candidate that has seen this finds the lease free before it takes it."""
    steps = looks(Candidate(), *seen, *[(None, seen[-1][1] or 1)] * 30)
    return steps[len([each for each in seen if each[1]]) :].index(Step.TAKE) * POLL_S


def test_free_at_the_first_look() -> None:
    """A streamer that starts takes a free lease at once."""
    assert looks(Candidate(), (None, 1)) == [Step.TAKE]


SETTLED = [("x", 1)] * 12


@pytest.mark.parametrize(
    ("seen", "wait_s"),
    [
        (SETTLED, VANISHED_GRACE_S),
        ([("x", 1)], RETURN_GRACE_S - POLL_S),
        ([*SETTLED, (None, 2)], RETURN_GRACE_S - POLL_S),
        ([*SETTLED, ("x", 0)], RETURN_GRACE_S),
        ([*SETTLED, ("x", 0), ("x", 0), ("x", 1)], RETURN_GRACE_S - POLL_S),
        ([*SETTLED, *[("x", 2)] * 11], VANISHED_GRACE_S),
        ([*SETTLED, *[("x", 2)] * 3], RETURN_GRACE_S - 3 * POLL_S),
    ],
    ids=[
        "vanished",
        "started",
        "another connection",
        "no answer",
        "the same connection after no answer",
        "long",
        "soon",
    ],
)
def test_a_candidate_leaves_the_leader_time(seen: list[tuple[str | None, int]], wait_s: float) -> None:
    """A lease that vanishes is reserved for a moment, and for a whole life after Redis returned, held or not."""
    assert waits(*seen) == wait_s


def judged(
    holder: str | None, left_s: float, at: float, rival: Rival | None = None, account: str = "account"
) -> Verdict:
    """The verdict of a leader that has reconnected."""
    return judge(FENCE, Found(holder, account, left_s, at), rival, reconnected=True)[0]


def test_a_leader_that_reconnects_gives_way_only_to_a_lease_that_is_renewed() -> None:
    """After a failover the lease of an earlier streamer may be back: it expires, that of a living one does not."""
    verdict, rival = judge(FENCE, Found("6:tower:1", "account", 8.0, 100.0), None, reconnected=True)
    assert verdict is Verdict.UNDECIDED
    assert judged("6:tower:1", 7.0, 101.0, rival) is Verdict.UNDECIDED
    assert judged("6:tower:1", 9.6, 101.0, rival) is Verdict.LOST
    assert judged("8:house:1", 7.0, 101.0, rival) is Verdict.LOST
    assert judged(FENCE.holder, 10.0, 108.0, rival) is Verdict.OURS


def test_a_rival_of_the_same_node_is_believed_at_once() -> None:
    """On the connection that the leader wrote over, no earlier lease can return; one without expiry never ends."""
    assert judge(FENCE, Found("6:tower:1", "account", 8.0, 0.0), None, reconnected=False)[0] is Verdict.LOST
    assert judged("6:tower:1", -0.001, 0.0) is Verdict.LOST
    assert judged("6:tower:1", 8.0, 0.0, account="another") is Verdict.LOST
    assert judged(None, -0.002, 0.0) is Verdict.UNDECIDED
