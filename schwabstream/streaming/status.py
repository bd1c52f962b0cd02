"""Says what the streamer is going through: one log line, one count and one StatusEvent for each occasion."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

import structlog

from schwabstream.events import Channel, status_event

log = structlog.get_logger(__name__)

Publish = Callable[[Channel, dict[str, Any]], None]
StatusListener = Callable[[dict[str, Any]], None]


class Publisher(Protocol):
    """What a streamer needs of ``TradingEventPublisher``."""

    @property
    def publish(self) -> Publish:
        """Takes one event; its dictionary is lent for the length of the call."""


class StreamState(StrEnum):
    """Where the streamer is in its life; the states of ``StatusEvent`` that last."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"
    LOGIN_REQUIRED = "login_required"
    EVICTED = "evicted"
    STOPPED = "stopped"


_TROUBLE = frozenset({StreamState.WAITING, StreamState.LOGIN_REQUIRED, StreamState.EVICTED})


class Announcer:
    """The streamer's present state, told to everyone concerned whenever it changes.

    ``since`` is when the state began, in seconds since the epoch; ``listeners`` receive each StatusEvent as a
    dictionary, after it was published.
    """

    def __init__(self, publish: Publish, wall: Callable[[], float]) -> None:
        self._publish, self._wall = publish, wall
        self.state = StreamState.CONNECTING
        self.reason = "starting"
        self.since = wall()
        self.counts: Counter[str] = Counter()
        self.listeners: list[StatusListener] = []

    def enter(self, state: StreamState, reason: str, **more: Any) -> None:  # noqa: ANN401 - fields of StatusEvent
        """Change the lasting state."""
        if state is not self.state:
            self.since = self._wall()
        self.state, self.reason = state, reason
        self.counts[f"entered {state}"] += 1
        self._say(state, reason, trouble=state in _TROUBLE, more=more)

    def tell(self, occasion: str, reason: str, **more: Any) -> None:  # noqa: ANN401 - fields of StatusEvent
        """Announce something that passes while the lasting state stays: ``stale``, ``gap`` or ``dropped``."""
        self.counts[occasion] += 1
        self._say(occasion, reason, trouble=True, more=more)

    def remind(self, reason: str, detail: str) -> None:
        """Announce something to act on in time, under the present state; ``detail`` is a word programs can look for."""
        self.counts[detail] += 1
        self._say(self.state, reason, trouble=True, more={"detail": detail})

    def _say(self, state: str, reason: str, *, trouble: bool, more: dict[str, Any]) -> None:
        given = {name: value for name, value in more.items() if value is not None}
        (log.warning if trouble else log.info)(state, reason=reason, **given)
        event = status_event(state, reason, int(self._wall() * 1000) * 1000, since=int(self.since * 1000), **given)
        self._publish(Channel.STATUS, event)
        for listener in self.listeners:
            listener(event)
