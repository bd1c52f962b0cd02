"""What outlives a session: all that is known of one stream, in one object that each new session is given."""

from collections.abc import Callable, Sequence
from typing import Any

from schwabstream.clock import LIVE_CLOCK, Clock
from schwabstream.market.last_values import LastValues, Publish
from schwabstream.market.trading_hours import Schedule
from schwabstream.protocol.symbols import Symbol
from schwabstream.streaming.gaps import OpenGaps
from schwabstream.streaming.liveness import LivenessHistory, Silence
from schwabstream.streaming.meter import Meter
from schwabstream.streaming.status import Announcer


class StreamState:
    """The wanted symbols, what arrived of them, and what is missing and why.

    ``market`` holds the last values, ``schedule`` the trading hours, ``meter`` the flow of each service; ``announcer``
    publishes what happens. ``silence``: how long a session may be silent; ``liveness_history``: what silence has cost
    so far; ``listings``: exchange code by equity key, None until asked; ``unavailable``: services Schwab does not have;
    ``refused`` and ``stale``: why there is no data, by service and key; ``delayed``: keys reported as delayed.
    """

    def __init__(
        self,
        symbols: Sequence[Symbol],
        publish: Publish,
        *,
        heartbeat_timeout_s: float = 30.0,
        schedule: Schedule | None = None,
        clock: Clock = LIVE_CLOCK,
        on_status: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self.symbols, self.clock = tuple(symbols), clock
        self.announcer = Announcer(publish, clock.wall, on_status)
        self.market = LastValues(symbols, publish)
        self.schedule = schedule or Schedule()
        self.meter = Meter()
        self.silence = Silence(heartbeat_timeout_s)
        self.liveness_history = LivenessHistory()
        self.gaps = OpenGaps()
        self.listings: dict[str, str] | None = None
        self.unavailable: set[str] = set()
        self.refused: dict[tuple[str, str], str] = {}
        self.stale: dict[tuple[str, str], str] = {}
        self.delayed: set[str] = set()

    def troubles(self) -> dict[str, list[str]]:
        """Why data is missing, for each key of which it is."""
        found: dict[str, list[str]] = {}
        for troubles in (self.refused, self.stale):
            for (_, key), why in troubles.items():
                found.setdefault(key, []).append(why)
        return found
