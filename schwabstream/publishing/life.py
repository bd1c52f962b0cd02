"""The life of a publisher as a transition table: whether Redis is connected, and whether a batch is being written.

A request to stop is not a state: it can come in every state, and takes effect when the queue is written. No I/O.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """The state of a publisher; events are queued in every state."""

    AWAY = "away"
    CONNECTING = "connecting"
    CONNECTED = "connected, nobody writes"
    WRITING = "writing"
    BEHIND = "writing, behind"
    IDLE = "idle"
    FENCED = "fenced off"
    CLOSED = "closed"


class Trigger(StrEnum):
    """What moves a publisher from one state to the next."""

    CONNECT = "connect"
    CONNECTED = "redis answers"
    RUN = "run"
    ALL_WRITTEN = "all written"
    QUEUED = "something queued"
    FELL_BEHIND = "redis falls behind"
    CAUGHT_UP = "redis has caught up"
    LOST = "connection lost"
    LEASE_LOST = "lease lost"
    RUN_ENDED = "run ended"
    CLOSE = "close"


TRANSITIONS: Mapping[State, Mapping[Trigger, State]] = {
    State.AWAY: {Trigger.CONNECT: State.CONNECTING, Trigger.CLOSE: State.CLOSED},
    State.CONNECTING: {
        Trigger.CONNECTED: State.CONNECTED,
        Trigger.LOST: State.AWAY,
        Trigger.LEASE_LOST: State.FENCED,
        Trigger.CLOSE: State.CLOSED,
    },
    State.CONNECTED: {
        Trigger.RUN: State.WRITING,
        Trigger.LOST: State.AWAY,
        Trigger.LEASE_LOST: State.FENCED,  # a cancelled run can leave a batch in flight
        Trigger.CLOSE: State.CLOSED,
    },
    State.WRITING: {
        Trigger.ALL_WRITTEN: State.IDLE,
        Trigger.FELL_BEHIND: State.BEHIND,
        Trigger.LOST: State.AWAY,
        Trigger.LEASE_LOST: State.FENCED,
        Trigger.RUN_ENDED: State.CONNECTED,
        Trigger.CLOSE: State.CLOSED,
    },
    State.BEHIND: {
        Trigger.CAUGHT_UP: State.WRITING,
        Trigger.LOST: State.AWAY,
        Trigger.LEASE_LOST: State.FENCED,
        Trigger.RUN_ENDED: State.CONNECTED,
        Trigger.CLOSE: State.CLOSED,
    },
    State.IDLE: {
        Trigger.QUEUED: State.WRITING,
        Trigger.LOST: State.AWAY,
        Trigger.RUN_ENDED: State.CONNECTED,
        Trigger.CLOSE: State.CLOSED,
    },
    State.FENCED: {Trigger.CLOSE: State.CLOSED},
    State.CLOSED: {},
}
UNREACHED = frozenset({State.AWAY, State.CONNECTING, State.CLOSED})
