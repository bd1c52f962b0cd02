"""Announces the streamer's status: one log line, one count and one StatusEvent for each change or incident."""

from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import structlog

from schwabstream.events import Channel, status_event
from schwabstream.market.last_values import Publish

log = structlog.get_logger(__name__)


class Status(StrEnum):
    """The state of the streamer: the states of a ``StatusEvent`` that last."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"
    LOGIN_REQUIRED = "login_required"
    EVICTED = "evicted"
    STOPPED = "stopped"


TRANSITIONS: Mapping[Status, Mapping[str, Status]] = {
    Status.CONNECTING: {
        "subscribed": Status.STREAMING,
        "no session": Status.WAITING,
        "login refused": Status.LOGIN_REQUIRED,
        "evicted": Status.EVICTED,
        "asked to stop": Status.STOPPED,
    },
    # Never directly to LOGIN_REQUIRED: after a denial, a new access token is tried first.
    Status.STREAMING: {
        "session lost": Status.WAITING,
        "evicted": Status.EVICTED,
        "asked to stop": Status.STOPPED,
    },
    Status.WAITING: {"pause over": Status.CONNECTING, "asked to stop": Status.STOPPED},
    Status.LOGIN_REQUIRED: {"somebody logged in": Status.CONNECTING, "asked to stop": Status.STOPPED},
    Status.EVICTED: {"pause over": Status.CONNECTING, "asked to stop": Status.STOPPED},
    Status.STOPPED: {},
}
"""The states that each state may lead to, and why. Every pause ends in a new attempt; only a stop is final."""
_TROUBLE = frozenset({Status.WAITING, Status.LOGIN_REQUIRED, Status.EVICTED})
_GOOD_NEWS = frozenset({"subscribed", "released"})


class Announcer:
    """The streamer's current state; each change is logged, counted and published.

    ``since`` is when the state began, in seconds since the epoch; ``on_status`` gets each StatusEvent as a dictionary
    after it was published.
    """

    def __init__(
        self, publish: Publish, wall: Callable[[], float], on_status: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self._publish, self._wall, self._on_status = publish, wall, on_status
        self.state = Status.CONNECTING
        self.reason = "starting"
        self.since = wall()
        self.counts: Counter[str] = Counter()

    def begin(self) -> None:
        """Announce the first state."""
        self._announce_state({})

    def enter(self, state: Status, reason: str, **more: Any) -> None:
        """Change the lasting state, as ``TRANSITIONS`` allows."""
        if state not in TRANSITIONS[self.state].values():
            raise AssertionError(f"{self.state} does not lead to {state}")
        self.state, self.reason, self.since = state, reason, self._wall()
        self._announce_state(more)

    def announce(self, occasion: str, reason: str, **more: Any) -> None:
        """Announce an incident that leaves the state alone, such as ``stale``, ``gap`` or ``subscribed``."""
        self.counts[occasion] += 1
        self._publish_event(occasion, reason, trouble=occasion not in _GOOD_NEWS, more=more)

    def remind(self, reason: str, detail: str) -> None:
        """Announce something to act on, under the current state; ``detail`` is a word for programs."""
        self.counts[detail] += 1
        self._publish_event(self.state, reason, trouble=True, more={"detail": detail})

    def _announce_state(self, more: dict[str, Any]) -> None:
        self.counts[f"entered {self.state}"] += 1
        self._publish_event(self.state, self.reason, trouble=self.state in _TROUBLE, more=more)

    def _publish_event(self, state: str, reason: str, *, trouble: bool, more: dict[str, Any]) -> None:
        given = {name: value for name, value in more.items() if value is not None}
        (log.warning if trouble else log.info)(state, reason=reason, **given)
        event = status_event(state, reason, int(self._wall() * 1000) * 1000, since=int(self.since * 1000), **given)
        self._publish(Channel.STATUS, event)
        self._on_status(event)
