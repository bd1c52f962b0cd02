"""The state of the lease's model: two streamers, up to three copies of the data, and the troubles still allowed."""

from typing import Any, NamedTuple

from schwabstream.publishing.fence import LIFE_MS

LIFE = LIFE_MS // 1000
LAG = 2
"""Writes that the replica may lack."""
NOTICE, RETRY, WATCH, CONNECT, REFUSED = 9, 7, 3, 4, 1
"""Seconds in which a leader has noticed and reconnected, reconnected after a failed attempt, left a former master,
reconnected after that, and tried again after a Redis that answers has refused."""
UNTROUBLED = NOTICE + REFUSED + 1
"""Seconds without trouble, in which Redis accepts writes, after which a leader must be connected."""
SETTLED = 30
ALIVE, PAUSED, CUT, ASIDE = range(4)
NAMES = ("A", "B")
NEVER, LAST, CLOSED = range(3)
MASTER, REPLICA, OLD = range(3)


class Copy(NamedTuple):
    """One copy of the data: the lease's holder and seconds left, the place of each tenure in the stream, the newest."""

    holder: str = ""
    left: int = 0
    wrote: tuple[int, int] = (NEVER, NEVER)
    newest: int = 0


class Streamer(NamedTuple):
    """One streamer. ``link``: m for the master, o for the former one; ``timer``: seconds until it must act."""

    role: str = "candidate"
    trouble: int = ALIVE
    due: bool = False
    link: str = ""
    timer: int = 0
    led: bool = False
    rival: tuple[Any, ...] = ()
    candidate: tuple[Any, ...] = (0, 0.0, 0.0)
    untroubled: int = UNTROUBLED


class State(NamedTuple):
    """Everything. ``copies``: the master, its replica and the former master, each empty when there is none.

    ``numbers``: the tenures of the two streamers. Only their order matters, so they count from 1 without a gap.
    ``refusing``: the master answers, and refuses every write.
    """

    streamers: tuple[Streamer, ...]
    copies: tuple[tuple[Any, ...], ...]
    lag: int
    old_age: int
    budget: int
    leaderless: int
    numbers: tuple[int, int]
    refusing: bool = False
    left_behind: bool = False
    """Whether a leader was connected to the master when that became a former one."""


def start(budget: int) -> State:
    """A leads, B waits."""
    data = Copy("A", LIFE, (LAST, NEVER), 1)
    a = Streamer(role="leader", link="m", led=True)
    b = Streamer(link="m", candidate=(1, 0.0, 2.0))
    return State((a, b), (data, data, ()), 0, 0, budget, 0, (1, 0))


_SWAP = {"": "", "A": "B", "B": "A", "x": "x"}


def canonical(state: State) -> State:
    """The state with the two streamers in a fixed order, and tenures that count without a gap."""
    used = sorted({0, *state.numbers, *(each[3] for each in state.copies if each)})
    if used[-1] >= len(used):
        rank = {number: n for n, number in enumerate(used)}
        state = state._replace(
            copies=tuple(each and Copy(each[0], each[1], each[2], rank[each[3]]) for each in state.copies),
            numbers=(rank[state.numbers[0]], rank[state.numbers[1]]),
        )
    a, b = state.streamers
    if a <= b:
        return state
    return state._replace(
        streamers=(_renamed(b), _renamed(a)),
        copies=tuple(c and Copy(_SWAP[c[0]], c[1], (c[2][1], c[2][0]), c[3]) for c in state.copies),
        numbers=(state.numbers[1], state.numbers[0]),
    )


def _renamed(streamer: Streamer) -> Streamer:
    if not streamer.rival:
        return streamer
    holder, *rest = streamer.rival
    return streamer._replace(rival=(_SWAP[holder], *rest))


def with_streamer(state: State, who: int, streamer: Streamer) -> State:
    """The state with another state of one streamer."""
    a, b = state.streamers
    return state._replace(streamers=(streamer, b) if who == 0 else (a, streamer))


def put(state: State, where: int, copy: tuple[Any, ...]) -> State:
    """The state with another copy of the data in that place."""
    copies = list(state.copies)
    copies[where] = copy
    return state._replace(copies=tuple(copies))


def write(state: State, where: int, copy: Copy) -> State:
    """Store the copy; the replica of a master falls behind, and is brought up to date before it lacks too much."""
    state = put(state, where, copy)
    if where == MASTER and state.copies[REPLICA]:
        if state.lag + 1 > LAG:
            return put(state, REPLICA, copy)._replace(lag=0)
        return state._replace(lag=state.lag + 1)
    return state


def forgotten(copy: Copy, who: int) -> Copy:
    """The copy with a former tenure of this streamer as that of nobody."""
    wrote = (NEVER, copy.wrote[1]) if who == 0 else (copy.wrote[0], NEVER)
    return Copy("x" if copy.holder == NAMES[who] else copy.holder, copy.left, wrote, copy.newest)
