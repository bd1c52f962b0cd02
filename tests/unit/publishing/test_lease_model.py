"""The rules of the lease in a model of Redis and two streamers; ``nox -s faults`` visits all states of two troubles."""

import dataclasses

import pytest

from schwabstream.publishing.election import POLL_S, Candidate, Found, Rival, Step, Verdict, judge
from schwabstream.publishing.fence import Fence
from tests.support.cases import only
from tests.support.lease_model import Rules, explore

IN_THE_GATE = 8_000
"""States; all 80,000 of one trouble take 5 s."""


def test_no_rule_is_broken_in_any_state_of_one_trouble() -> None:
    """Whatever trouble comes, one writer survives, no living streamer is deposed, and somebody leads again."""
    explored = explore(1, Rules(), IN_THE_GATE)
    assert explored.violation == "", explored.path


def test_without_trouble_the_leader_leads() -> None:
    """With no trouble there are only the states of a leader that writes and a candidate that looks."""
    explored = explore(0, Rules())
    assert explored.complete
    assert explored.states < 20
    assert explored.violation == ""


def takes_after_an_outage(candidate: Candidate, holder: str | None, connection: int) -> tuple[Candidate, Step]:
    """A candidate that does not notice that Redis was away."""
    return Candidate.look(candidate._replace(connection=connection), holder, connection)


def returns_for_too_short(candidate: Candidate, holder: str | None, connection: int) -> tuple[Candidate, Step]:
    """A candidate that leaves the leader five seconds to return."""
    after, step = Candidate.look(candidate, holder, connection)
    return after._replace(return_grace_s=min(after.return_grace_s, 5.0 - POLL_S)), step


def forgets_the_outage(candidate: Candidate, holder: str | None, connection: int) -> tuple[Candidate, Step]:
    """A candidate that ends the grace after an outage when it sees the lease held."""
    after, step = Candidate.look(candidate, holder, connection)
    held_as_before = holder is not None and candidate.connection == connection
    return (after._replace(return_grace_s=0.0) if held_as_before else after), step


def takes_what_vanishes(candidate: Candidate, holder: str | None, connection: int) -> tuple[Candidate, Step]:
    """A candidate that takes the lease as soon as it is free."""
    return Candidate.look(candidate._replace(vanished_grace_s=0.0), holder, connection)


def believes_every_rival(
    fence: Fence, found: Found, rival: Rival | None, *, reconnected: bool
) -> tuple[Verdict, Rival | None]:
    """A leader that gives way to a lease of the past."""
    return judge(fence, found, rival, reconnected=reconnected and found.holder is None)


MUTANTS = {
    "no grace after an outage": (1, "2", {"look": takes_after_an_outage}),
    "a grace of five seconds": (1, "2", {"look": returns_for_too_short}),
    "a grace that ends when the lease is held": (1, "2", {"look": forgets_the_outage}),
    "no grace for a lease that vanished": (1, "2", {"look": takes_what_vanishes}),
    "taking back without fencing numbers": (2, "1", {"numbered": False}),
    "writing without WATCH": (1, "", {"fenced": False}),
    "taking without NX": (1, "2", {"atomic": False}),
    "a look that only reads": (1, "2", {"probes": False}),
    "a former master that accepts writes for too long": (1, "5", {"max_lag": 12}),
}
FOUND_AT_ONCE = {*list(MUTANTS)[:1], "no grace for a lease that vanished", "writing without WATCH", "taking without NX"}


@pytest.mark.parametrize("name", only(FOUND_AT_ONCE, MUTANTS))
def test_the_model_finds(name: str) -> None:
    """A wrong decision breaks a rule within a few states: the model can fail."""
    troubles, rule, changes = MUTANTS[name]
    explored = explore(troubles, dataclasses.replace(Rules(), **changes), 60_000 if troubles == 1 else 4_000_000)  # type: ignore[arg-type]
    assert explored.violation.startswith(rule)
    assert explored.violation
    assert explored.path
