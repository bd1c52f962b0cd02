"""The state of a stream that outlives its sessions, in one object that each new session gets."""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from schwabstream.clock import LIVE_CLOCK, Clock
from schwabstream.market.last_values import LastValues, Publish
from schwabstream.market.trading_hours import Schedule
from schwabstream.protocol.subscriptions import Wanted
from schwabstream.protocol.symbols import Symbol
from schwabstream.streaming.gaps import OpenGaps
from schwabstream.streaming.liveness import LivenessHistory, Silence
from schwabstream.streaming.meter import Meter
from schwabstream.streaming.status import Announcer
from schwabstream.streaming.wanted_symbols import Change, WantedSymbols, Wishes


class StreamState:
    """The wanted symbols, their last values, and what is missing and why.

    ``wanted`` decides on the symbols, and ``wishes`` are the newest ones for it; ``services`` are subscribed beside
    those of the symbols; ``subscribed`` has the services of each key that is subscribed. ``market`` has the last
    values, ``schedule`` the trading hours, ``meter`` the counts of each service; ``announcer`` publishes status events.
    ``silence``: how long a session may be silent; ``liveness_history``: the sessions that silence has cost;
    ``listings``: exchange code by equity key, None until loaded; ``unavailable``: services that Schwab does not have;
    ``refused`` and ``stale``: the reason for missing data, by service and key; ``delayed``: keys reported as delayed.
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
        max_symbols: int = sys.maxsize,
    ) -> None:
        self.wanted, self.clock = WantedSymbols(symbols, max_symbols), clock
        self.services: Wanted = {}
        self.wishes: Wishes = {}
        self.subscribed: dict[str, tuple[str, ...]] = {}
        self.announcer = Announcer(publish, clock.wall, on_status)
        self.market = LastValues(self.symbols, publish)
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

    def also_subscribe(self, services: Wanted) -> None:
        """Subscribe these services, with their keys, beside those of the symbols; call it before the run."""
        self.services = services

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The wanted symbols, the configured ones first."""
        return self.wanted.symbols

    def follow_wishes(self) -> Change:
        """Add the symbols that are newly wished, release those whose wish has ended, and announce refusals."""
        today = datetime.fromtimestamp(self.clock.wall()).astimezone().date()
        change = self.wanted.follow(self.wishes, self.clock.monotonic(), today)
        for symbol in change.released:
            self._release(symbol)
        for symbol in change.added:
            self.market.add(symbol)
        for refusal in change.refused:
            self.announcer.announce(
                "refused", refusal.reason, symbol=refusal.symbol, key=refusal.key, detail=refusal.detail
            )
        return change

    def announce_accepted(self, keys: Iterable[str]) -> None:
        """Announce the wished symbols of these keys, whose level 1 Schwab has accepted, once each."""
        for key in keys:
            for alias in self.market.instruments[key].aliases:
                if self.wanted.needs_announcement(alias):
                    self.announcer.announce("subscribed", f"{alias} is subscribed", symbol=alias, key=key)

    def _release(self, symbol: Symbol) -> None:
        """Forget what is kept of this symbol, and announce that."""
        key = symbol.key
        self.market.remove(symbol)
        if key not in self.market.instruments:
            self.gaps.forget(key)
            self.liveness_history.forget(key)
            self.delayed.discard(key)
            for troubles in (self.refused, self.stale):
                for each in [each for each in troubles if each[1] == key]:
                    del troubles[each]
        self.announcer.announce("released", f"{symbol.alias} is no longer wanted", symbol=symbol.alias, key=key)

    def troubles(self) -> dict[str, list[str]]:
        """The reasons for missing data, by key."""
        found: dict[str, list[str]] = {}
        for troubles in (self.refused, self.stale):
            for (_, key), why in troubles.items():
                found.setdefault(key, []).append(why)
        return found
