"""A model of two streamers, their lease and a Redis that fails over: visits every state within a budget of troubles.

The model is discrete: a tick is a second. The decisions are those of ``schwabstream.publishing.election``, called as
the program calls them. Everything else is explicit state: two streamers, each leader, candidate or dead, and up to
three copies of the data: the master, its replica, which lacks the last ``LAG`` writes, and the former master, which
stays writable until it is demoted. ``explore`` visits all states breadth first, with the two streamers interchangeable.

Troubles, of which each path has at most ``budget``: the master dies and the replica is promoted, or Redis returns
empty; a failover while the master lives; the master refuses writes for some time; a streamer is paused, killed, cut off
from Redis, or left on the side of the former master; the answer to a transaction is lost; the lease is deleted, as the
last trouble of a path, because a key that is deleted again and again protects nothing.

What holds in every state:

1. In no copy of the data does a write of one tenure follow one of a later tenure: of two writers only one survives.
2. No candidate takes the lease at the master from a living leader that had no trouble of its own in the last 11 s,
   not counting seconds in which Redis refuses writes.
   Trouble of its own: it was paused, could not reach a Redis that the candidate reached, or its lease was deleted while
   it was not connected or before the candidate had seen that it holds it. A streamer that is *started* and finds the
   lease free at its first look takes it at once, and so may depose a leader that is on its way back.
3. Such a leader is not deposed either by the lease of a streamer that is dead, or that a failover brought back.
4. With a living streamer that reaches Redis, somebody leads 30 s after the last trouble.
5. On a former master no candidate takes the lease while such a leader writes to the master, if that leader was
   connected when the master changed (it may still be on its way back from an earlier failover). This needs
   ``min-replicas-to-write`` with a ``min-replicas-max-lag`` of at most 9 s. Without it, the candidate logs in at Schwab
   and ends the leader's session; what it writes is discarded with the former master, so rule 1 holds all the same.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from schwabstream.publishing.election import VANISHED_GRACE_S, Candidate, Found, Rival, Step, Verdict, judge
from schwabstream.publishing.fence import Fence
from tests.support.lease_state import (
    ALIVE,
    ASIDE,
    CLOSED,
    CONNECT,
    CUT,
    LAST,
    LIFE,
    MASTER,
    NAMES,
    NOTICE,
    OLD,
    PAUSED,
    REFUSED,
    RETRY,
    SETTLED,
    UNTROUBLED,
    WATCH,
    Copy,
    State,
    Streamer,
    canonical,
    forgotten,
    start,
    with_streamer,
    write,
)
from tests.support.lease_troubles import course, troubles

FENCES = (Fence("key", "A", "owner", "account"), Fence("key", "B", "owner", "account"))


class Violation(Exception):
    """A rule of the model is broken."""


@dataclass(frozen=True)
class Rules:
    """The decisions under test; a test replaces one of them by a wrong one."""

    look: Callable[[Candidate, str | None, int], tuple[Candidate, Step]] = Candidate.look
    judge: Callable[..., tuple[Verdict, Rival | None]] = judge
    fenced: bool = True
    numbered: bool = True
    atomic: bool = True
    follows: bool = True
    probes: bool = True
    """Each look also writes."""
    max_lag: int = 9
    """Seconds after which a former master refuses writes."""


@dataclass
class Explored:
    """The result: how many states and transitions, how deep, and the shortest path to a broken rule, if any."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = True
    violation: str = ""
    path: list[str] = field(default_factory=list)


def explore(budget: int, rules: Rules, most: int = 10**9) -> Explored:
    """Visit every state that ``budget`` troubles can reach, at most ``most``, until a rule is broken.

    In the path, A and B change places where the order of the two streamers does.
    """
    first = canonical(start(budget))
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    queue: deque[tuple[State, int]] = deque([(first, 0)])
    result = Explored()
    while queue:
        state, result.depth = queue.popleft()
        try:
            for label, reached in _successors(state, rules):
                result.transitions += 1
                following = canonical(reached)
                if following not in came_from:
                    came_from[following] = (state, label)
                    queue.append((following, result.depth + 1))
        except Violation as violation:
            result.violation, result.path = str(violation), [*_path(came_from, state), repr(state)]
            break
        if len(came_from) >= most:
            result.complete = False
            break
    result.states = len(came_from)
    return result


def _path(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    steps = []
    found = came_from[state]
    while found is not None:
        state, label = found
        steps.append(label)
        found = came_from[state]
    return steps[::-1]


def _successors(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    for who in (0, 1):
        streamer = state.streamers[who]
        if streamer.due and streamer.trouble != PAUSED:
            act = _lead if streamer.role == "leader" else _stand_by
            state_without = with_streamer(state, who, streamer._replace(due=False))
            yield from act(state_without, who, rules)
    if not any(each.due and each.trouble != PAUSED for each in state.streamers):
        yield "tick", _tick(state)
    yield from course(state)
    if state.budget:
        for label, following in troubles(state):
            yield label, following._replace(budget=state.budget - 1, leaderless=0)
        if state.copies[MASTER] and not state.refusing:
            deleted = Copy("", 0, *state.copies[MASTER][2:])
            # The moment after it was taken is no better: a candidate has not seen it held.
            unseen = any(each.role == "candidate" and each.candidate[2] < VANISHED_GRACE_S for each in state.streamers)
            streamers = tuple(
                each._replace(untroubled=0) if unseen or not each.link else each for each in state.streamers
            )
            without = state._replace(streamers=streamers, budget=0, leaderless=0)
            yield "lease deleted", write(without, MASTER, deleted)


def _tick(state: State) -> State:
    """A second passes."""
    copies = tuple(_aged(each) for each in state.copies)
    streamers = tuple(
        each._replace(
            due=each.role != "dead",
            timer=max(0, each.timer - 1),
            rival=each.rival and (each.rival[0], max(-1.0, each.rival[1] - 1)),
            untroubled=min(UNTROUBLED, each.untroubled + (not state.refusing)) if each.trouble == ALIVE else 0,
        )
        for each in state.streamers
    )
    state = state._replace(copies=copies, streamers=streamers, old_age=min(12, state.old_age + 1) if copies[OLD] else 0)
    able = [each for each in streamers if each.role != "dead" and each.trouble == ALIVE]
    master = copies[MASTER]
    led = any(each.role == "leader" and each.link == "m" and each.trouble == ALIVE for each in streamers)
    if not master or state.refusing or not able or led or any(each.trouble != ALIVE for each in streamers):
        return state._replace(leaderless=0)
    if state.leaderless >= SETTLED:
        raise Violation("4: nobody leads, although a streamer lives and reaches Redis")
    return state._replace(leaderless=state.leaderless + 1)


def _aged(copy: tuple[Any, ...]) -> tuple[Any, ...]:
    if not copy or not copy[0]:
        return copy
    return Copy(copy[0], copy[1] - 1, *copy[2:]) if copy[1] > 1 else Copy("", 0, *copy[2:])


def _reaches(state: State, streamer: Streamer) -> int | None:
    """The copy that a new connection of this streamer leads to: the one that its route names."""
    if streamer.trouble == CUT:
        return None
    if streamer.trouble == ASIDE:
        return OLD if state.copies[OLD] else None
    return MASTER if state.copies[MASTER] else None


def _open(state: State, streamer: Streamer) -> int | None:
    """The copy behind the open connection, if there is one and it still serves."""
    where = {"m": MASTER, "o": OLD}.get(streamer.link)
    if where is None or streamer.trouble == CUT or not state.copies[where]:
        return None
    return None if where == MASTER and streamer.trouble == ASIDE else where


def _writable(state: State, where: int, rules: Rules) -> bool:
    return not state.refusing if where == MASTER else state.old_age < rules.max_lag


def _lead(state: State, who: int, rules: Rules) -> Iterator[tuple[str, State]]:
    """A leader writes each second, or reconnects: at any moment, but at last when its timer has run out."""
    streamer, name = state.streamers[who], NAMES[who]
    where = _open(state, streamer)
    if streamer.link and where is None:
        within = CONNECT if streamer.link == "o" else NOTICE  # Redis closes the connections to a demoted master
        yield (
            f"{name} loses its connection",
            with_streamer(state, who, streamer._replace(link="", timer=within, due=True)),
        )
        return
    if where is not None:
        if where == OLD and streamer.trouble == ALIVE:
            yield (
                f"{name} leaves the former master",
                with_streamer(state, who, streamer._replace(link="", timer=CONNECT)),
            )
            if streamer.timer == 0:
                return
        yield from _transact(state, who, where, rules)
        return
    if streamer.timer > 0:
        yield f"{name} waits", state
    target = _reaches(state, streamer)
    if target is None:
        yield f"{name} fails to connect", with_streamer(state, who, streamer._replace(timer=RETRY))
        return
    yield from _claim(state, who, target, rules, reconnected=streamer.led)


def _transact(state: State, who: int, where: int, rules: Rules) -> Iterator[tuple[str, State]]:
    """A transaction on the open connection: discarded unless the lease is held, and sent again if it is free."""
    name, copy = NAMES[who], Copy(*state.copies[where])
    if not _writable(state, where, rules):
        streamer = state.streamers[who]
        yield f"{name} is refused", with_streamer(state, who, streamer._replace(link="", timer=REFUSED))
    elif (copy.holder == name and not _is_superseded(state, who, copy, rules)) or not rules.fenced:
        written = write(state, where, _wrote(copy, who))
        yield f"{name} writes to {'mro'[where]}", written
        if state.budget:
            lost = state.streamers[who]._replace(link="", timer=CONNECT, untroubled=0)
            yield f"{name} writes, answer lost", with_streamer(written, who, lost)._replace(budget=state.budget - 1)
    else:
        yield from _claim(state, who, where, rules, reconnected=False)


def _wrote(copy: Copy, who: int) -> Copy:
    """The copy after a transaction of this streamer, which also renews the lease."""
    own, other = copy.wrote[who], copy.wrote[1 - who]
    if own == CLOSED:
        raise Violation(f"1: {NAMES[who]} writes after its successor")
    places = (LAST, CLOSED if other == LAST else other)
    left = LIFE if copy.holder == NAMES[who] else copy.left
    return Copy(copy.holder, left, places if who == 0 else (places[1], places[0]), copy.newest)


def _claim(state: State, who: int, where: int, rules: Rules, *, reconnected: bool) -> Iterator[tuple[str, State]]:
    """SET NX, then what the rules make of the answer."""
    streamer, name, copy = state.streamers[who], NAMES[who], Copy(*state.copies[where])
    if not _writable(state, where, rules):
        yield f"{name} is refused", with_streamer(state, who, streamer._replace(link="", timer=REFUSED))
        return
    number = state.numbers[who]
    if copy.newest < number:
        copy = copy._replace(newest=number)
        state = write(state, where, copy)
    if not copy.holder and (copy.newest == number or not rules.numbered):
        copy = Copy(name, LIFE, *copy[2:])
        state = write(state, where, copy)
    superseded = _is_superseded(state, who, copy, rules)
    found = Found(copy.holder or None, "account", float(copy.left), 0.0, superseded=superseded)
    rival = Rival(*streamer.rival) if streamer.rival else None
    verdict, rival = rules.judge(FENCES[who], found, rival, reconnected=reconnected)
    if verdict is Verdict.OURS:
        streamer = streamer._replace(link="mro"[where], timer=WATCH if where == OLD else 0, led=True, rival=())
        yield f"{name} connects to {'mro'[where]}", with_streamer(write(state, where, _wrote(copy, who)), who, streamer)
    elif verdict is Verdict.UNDECIDED:
        yield (
            f"{name} waits for a rival",
            with_streamer(state, who, streamer._replace(link="", timer=1, rival=tuple(rival or ()))),
        )
    else:
        _fair(state, who, where, copy)
        deposed = streamer._replace(
            role="candidate", link="", timer=0, led=False, rival=(), candidate=Candidate(-1, 0.0, 0.0)
        )
        # The next tenure has another name, so that a lease of this one is somebody else's.
        copies = tuple(Copy(*each)._replace(holder="x") if each and each[0] == name else each for each in state.copies)
        yield f"{name} is deposed at {'mro'[where]}", with_streamer(state._replace(copies=copies), who, deposed)


def _is_superseded(state: State, who: int, copy: Copy, rules: Rules) -> bool:
    """Whether a later tenure is known there: a transaction watches its number."""
    return rules.numbered and copy.newest > state.numbers[who]


def _fair(state: State, who: int, where: int, copy: Copy) -> None:
    """Rule 3."""
    streamer, other = state.streamers[who], state.streamers[1 - who]
    lives = other.role == "leader" and (copy.holder == NAMES[1 - who] or copy.newest == state.numbers[1 - who])
    if where == MASTER and streamer.untroubled >= UNTROUBLED and not lives:
        raise Violation(f"3: {NAMES[who]} gives way to a lease that nobody renews")


def _stand_by(state: State, who: int, rules: Rules) -> Iterator[tuple[str, State]]:
    """A candidate looks once a second, over the connection that its route allows."""
    streamer, name = state.streamers[who], NAMES[who]
    candidate = Candidate(streamer.candidate[0] or None, *streamer.candidate[1:])
    where = _open(state, streamer)
    if rules.follows or where is None:
        where = _reaches(state, streamer)
    if where is None:
        yield (
            f"{name} gets no answer",
            with_streamer(state, who, streamer._replace(link="", candidate=_kept(candidate.away()))),
        )
        return
    link, copy = "mro"[where], Copy(*state.copies[where])
    if not rules.atomic and streamer.timer:
        yield from _take(state, who, where, rules, candidate)
        return
    if rules.probes and not _writable(state, where, rules):
        refused = streamer._replace(link="", candidate=_kept(candidate.away()))
        yield f"{name} looks and is refused", with_streamer(state, who, refused)
        return
    after, step = rules.look(candidate, copy.holder or None, 1 if streamer.link == link else 2)
    state = with_streamer(state, who, streamer._replace(link=link, candidate=_kept(after)))
    if copy.holder == name:
        yield f"{name} finds that it has taken the lease", with_streamer(state, who, _elected(state.streamers[who]))
    elif step is Step.WAIT:
        yield f"{name} looks", state
    elif not _writable(state, where, rules):
        away = streamer._replace(link="", candidate=_kept(candidate.away()))
        yield f"{name} is refused", with_streamer(state, who, away)
    elif not rules.atomic:
        yield f"{name} decides", with_streamer(state, who, state.streamers[who]._replace(timer=2))
    else:
        yield from _take(state, who, where, rules, candidate)


def _kept(candidate: Candidate) -> tuple[Any, ...]:
    """A candidate as it is remembered: any connection is number 1, none before the first answer is 0."""
    number = {None: 0, -1: -1}.get(candidate.connection, 1)
    return (number, candidate.return_grace_s, candidate.vanished_grace_s)


def _elected(streamer: Streamer) -> Streamer:
    return streamer._replace(role="leader", link="", timer=RETRY, led=False, rival=(), candidate=(0, 0.0, 0.0))


def _take(state: State, who: int, where: int, rules: Rules, candidate: Candidate) -> Iterator[tuple[str, State]]:
    """The lease gets a new holder, whose former tenures are over."""
    name, other = NAMES[who], state.streamers[1 - who]
    copies = [each and forgotten(Copy(*each), who) for each in state.copies]
    state = state._replace(copies=tuple(copies))
    lives = other.role == "leader" and other.trouble == ALIVE
    started = candidate.connection is None
    if where == MASTER and lives and not started and other.untroubled >= UNTROUBLED:
        raise Violation(f"2: {name} deposes {NAMES[1 - who]}")
    writes = other.link == "m" and state.left_behind
    if where == OLD and lives and not started and writes and other.untroubled >= UNTROUBLED:
        raise Violation(f"5: {name} takes the lease of a former master")
    copy = Copy(*state.copies[where])
    number = 1 + max(*state.numbers, *(each[3] for each in state.copies if each))
    state = state._replace(numbers=(number, state.numbers[1]) if who == 0 else (state.numbers[0], number))
    state = write(state, where, Copy(name, LIFE, copy.wrote, number))
    yield f"{name} takes the lease at {'mro'[where]}", with_streamer(state, who, _elected(state.streamers[who]))
    if state.budget:
        unanswered = state.streamers[who]._replace(link="", candidate=(-1, 0.0, 0.0))
        yield f"{name} takes, answer lost", with_streamer(state, who, unanswered)._replace(budget=state.budget - 1)
