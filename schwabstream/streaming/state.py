"""The state of a stream that outlives its sessions, in one object that each new session gets."""

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
    """The wanted symbols, their last values, and what is missing and why.

    ``market`` has the last values, ``schedule`` the trading hours, ``meter`` the counts of each service; ``announcer``
    publishes status events. ``silence``: how long a session may be silent; ``liveness_history``: the sessions that
    silence has cost; ``listings``: exchange code by equity key, None until loaded; ``unavailable``: services that
    Schwab does not have; ``refused`` and ``stale``: the reason for missing data, by service and key; ``delayed``: keys
    reported as delayed.
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
        """The reasons for missing data, by key."""
        found: dict[str, list[str]] = {}
        for troubles in (self.refused, self.stale):
            for (_, key), why in troubles.items():
                found.setdefault(key, []).append(why)
        return found
