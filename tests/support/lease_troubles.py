"""What happens to Redis and to the streamers in the lease's model: the troubles, how they end, and replication."""

from collections.abc import Iterator

from tests.support.lease_state import (
    ALIVE,
    ASIDE,
    CUT,
    MASTER,
    NAMES,
    NOTICE,
    OLD,
    PAUSED,
    REPLICA,
    WATCH,
    Copy,
    State,
    Streamer,
    forgotten,
    put,
    with_streamer,
)


def course(state: State) -> Iterator[tuple[str, State]]:
    """What may happen at any time, and is no trouble: replication, and the end of each trouble."""
    master, replica, old = state.copies
    if state.lag and master and replica:
        yield "replicate", put(state, REPLICA, master)._replace(lag=0)
    if not master:
        if replica:
            yield "promote", state._replace(copies=(replica, (), ()), lag=0)
        yield "return empty", state._replace(copies=(Copy(), (), ()), lag=0)
    if state.refusing:
        yield "writes are accepted", state._replace(refusing=False)
    if old:
        demoted = put(state, OLD, ())._replace(left_behind=False)
        yield "demote", put(demoted, REPLICA, master)._replace(lag=0) if master else demoted
    for who, streamer in enumerate(state.streamers):
        if streamer.trouble != ALIVE:
            yield f"{NAMES[who]} recovers", with_streamer(state, who, streamer._replace(trouble=ALIVE, untroubled=0))
        if streamer.role == "dead":
            copies = tuple(each and forgotten(Copy(*each), who) for each in state.copies)
            yield f"{NAMES[who]} starts", with_streamer(state._replace(copies=copies), who, Streamer(untroubled=0))


def troubles(state: State) -> Iterator[tuple[str, State]]:
    """Each trouble that may begin now, except for the deletion of the lease, which ends a path."""
    master, replica, _old = state.copies
    if master:
        yield "master dies", put(_cut_links(state, "m"), MASTER, ())._replace(refusing=False)
        if not state.refusing:
            yield "writes are refused", state._replace(refusing=True)
    if master and replica:
        streamers = tuple(
            each._replace(link="o", timer=WATCH) if each.link == "m" else each for each in state.streamers
        )
        moved_on = state._replace(streamers=streamers, copies=(replica, (), master), lag=0, old_age=0, refusing=False)
        yield "failover", moved_on
        for who in (0, 1):
            moved = list(streamers)
            if moved[who].role != "dead":
                moved[who] = moved[who]._replace(trouble=ASIDE, untroubled=0)
                led = any(each.role == "leader" and each.link == "m" for each in state.streamers)
                aside = state._replace(streamers=tuple(moved), copies=(replica, (), master), lag=0, old_age=0)
                aside = aside._replace(refusing=False, left_behind=led)
                yield f"failover, {NAMES[who]} left aside", aside
    for who, streamer in enumerate(state.streamers):
        if streamer.role != "dead" and streamer.trouble == ALIVE:
            for label, trouble in (("is paused", PAUSED), ("is cut off", CUT)):
                yield (
                    f"{NAMES[who]} {label}",
                    with_streamer(state, who, streamer._replace(trouble=trouble, untroubled=0)),
                )
            yield f"{NAMES[who]} dies", with_streamer(state, who, Streamer(role="dead"))


def _cut_links(state: State, link: str) -> State:
    a, b = (each._replace(link="", timer=NOTICE) if each.link == link else each for each in state.streamers)
    return state._replace(streamers=(a, b))
