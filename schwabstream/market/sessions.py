"""The trading session of a product at a time: open, in a break, or closed, and when it opens next. Pure.

Follows ``trading_hours``: where the hours of a product are unknown, so is its session.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from schwabstream.market.trading_hours import CHICAGO, NEW_YORK, Schedule
from schwabstream.protocol.futures import Hours

_BREAK_AT_MOST = timedelta(hours=2)
_DAYS_AHEAD = 10
_NEW_YORK_OPENINGS = {Hours.EQUITIES: (time(9, 30),), Hours.CURRENCIES: (time(17),)}
_CHICAGO_OPENINGS = {
    Hours.GLOBEX: (time(17),),
    Hours.GRAINS: (time(8, 30), time(19)),
    Hours.LIVESTOCK: (time(8, 30),),
    Hours.VOLATILITY: (time(8, 30),),
}


class SessionState(StrEnum):
    """The state of a trading session; a break lasts two hours at most."""

    OPEN = "open"
    BREAK = "break"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class MarketSession:
    """``opens_at``: the next opening of a session that is not open; None where the calendar does not go that far."""

    state: SessionState
    opens_at: datetime | None = None


def session_at(schedule: Schedule, hours: Hours, at: datetime) -> MarketSession | None:
    """The session of these trading hours at ``at``, an aware datetime; None where they are unknown."""
    zone, openings = _openings(hours)
    if not openings:
        return None
    if schedule.is_open(hours, at):
        return MarketSession(SessionState.OPEN)
    local = at.astimezone(zone)
    for days in range(_DAYS_AHEAD):
        for opening in openings:
            opens_at = datetime.combine(local.date() + timedelta(days=days), opening, zone)
            if opens_at > at and schedule.is_open(hours, opens_at):
                is_break = schedule.is_open(hours, opens_at - _BREAK_AT_MOST)
                return MarketSession(SessionState.BREAK if is_break else SessionState.CLOSED, opens_at)
    return MarketSession(SessionState.CLOSED)


def _openings(hours: Hours) -> tuple[ZoneInfo, tuple[time, ...]]:
    if hours in _NEW_YORK_OPENINGS:
        return NEW_YORK, _NEW_YORK_OPENINGS[hours]
    return CHICAGO, _CHICAGO_OPENINGS.get(hours, ())
