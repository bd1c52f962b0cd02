"""The rules of the lease: what a streamer does next after each answer of Redis. Pure (docs/adr/0007).

A candidate is a streamer without the lease, which looks at it once a second. A leader is a streamer that has taken it.
``tests/support/lease_model.py`` runs these rules in a model of Redis, its failovers and two streamers.
"""

from enum import Enum
from typing import NamedTuple, Self

from schwabstream.publishing.fence import LIFE_MS, Fence

POLL_S = 1.0
VANISHED_GRACE_S = 2.0
"""A leader takes a deleted lease back with its next report, which is due within a second."""
RETURN_GRACE_S = LIFE_MS / 1000 + VANISHED_GRACE_S
"""A Redis that returns may have lost a lease that was renewed a moment ago, so it counts as held for one more life.

Meanwhile a leader has noticed (6 s), paused (1 s) and connected (3 s)."""
_RENEWED_S = 0.25
"""Without a renewal the remaining time falls as fast as the clock runs, apart from the delay of the answers."""
_AWAY = -1


class Step(Enum):
    """What a candidate does after a look: look again in ``POLL_S``, or take the lease."""

    WAIT = "wait"
    TAKE = "take"


class Candidate(NamedTuple):
    """What a candidate remembers between two looks; the periods of grace count the looks of a Redis that answers.

    They do not count time, because a candidate that was paused has not watched anything meanwhile.
    """

    connection: int | None = None
    return_grace_s: float = 0.0
    vanished_grace_s: float = 0.0

    def look(self, holder: str | None, connection: int) -> tuple[Self, Step]:
        """The next step after Redis answered over ``connection``, a number that changes with each new connection.

        Redis must also have accepted a write: a Redis that refuses writes is away.
        """
        # A new connection, because Redis may have gone and returned, or another node may be master. The first one, too,
        # unless the lease is free: a streamer that starts does not wait for a leader that nobody has seen.
        returned = self.connection != connection and not (self.connection is None and holder is None)
        return_s = RETURN_GRACE_S if returned else self.return_grace_s
        vanished_s = self.vanished_grace_s if holder is None else VANISHED_GRACE_S
        if holder is None and return_s <= 0 and vanished_s <= 0:
            return self._replace(connection=connection), Step.TAKE
        if holder is None:
            vanished_s -= POLL_S
        return self._replace(
            connection=connection, return_grace_s=max(0.0, return_s - POLL_S), vanished_grace_s=max(0.0, vanished_s)
        ), Step.WAIT

    def away(self) -> Self:
        """After a look that failed or was refused: the next answer is that of a Redis that has returned."""
        return self if self.connection is None else self._replace(connection=_AWAY)


class Verdict(Enum):
    """What a leader concludes: the lease is its own, another streamer's, or not to be decided yet."""

    OURS = "ours"
    UNDECIDED = "undecided"
    LOST = "lost"


class Found(NamedTuple):
    """What Redis holds after a claim: the holder, the account, and in how many seconds the lease expires (-1: never).

    ``at`` is when the answer came, on any steady clock. ``superseded``: a later holder has taken the lease since.
    """

    holder: str | None
    account: str | None
    left_s: float
    at: float
    superseded: bool = False


class Rival(NamedTuple):
    """Another holder, and when its lease expires unless it is renewed."""

    holder: str
    ends_at: float


def judge(fence: Fence, found: Found, rival: Rival | None, *, reconnected: bool) -> tuple[Verdict, Rival | None]:
    """What the answer to a claim means for the leader with this fence, and the rival to remember until the next one.

    A node that has just become master may not know this leader yet and name an earlier one. Only a living holder
    renews its lease, so a leader that has ``reconnected`` waits until the other lease is renewed or expires.
    """
    if found.superseded or found.account not in (None, fence.account):
        return Verdict.LOST, None
    if found.holder == fence.holder:
        return Verdict.OURS, None
    if found.holder is None:  # Redis did not accept the claim
        return Verdict.UNDECIDED, None
    if not reconnected or found.left_s < 0:
        return Verdict.LOST, None
    ends_at = found.at + found.left_s
    if rival is not None and (rival.holder != found.holder or ends_at > rival.ends_at + _RENEWED_S):
        return Verdict.LOST, None
    return Verdict.UNDECIDED, Rival(found.holder, ends_at if rival is None else rival.ends_at)
