"""The session of a product at a time."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.market.sessions import MarketSession, SessionState, session_at
from schwabstream.market.trading_hours import CHICAGO, NEW_YORK, Holidays, Schedule
from schwabstream.protocol.futures import Hours

THANKSGIVING, CHRISTMAS, DAY_AFTER = date(2026, 11, 26), date(2026, 12, 25), date(2026, 11, 27)
HOLIDAYS = Holidays(frozenset({THANKSGIVING, CHRISTMAS}), frozenset({DAY_AFTER}))
CALENDAR = Schedule(HOLIDAYS, HOLIDAYS)


@pytest.mark.parametrize(
    ("hours", "at", "state", "opens"),
    [
        (Hours.GLOBEX, "2026-11-23 10:00", "open", None),
        (Hours.GLOBEX, "2026-11-23 16:00", "break", "2026-11-23 17:00"),
        (Hours.GLOBEX, "2026-11-23 16:59:59", "break", "2026-11-23 17:00"),
        (Hours.GLOBEX, "2026-11-20 16:00", "closed", "2026-11-22 17:00"),
        (Hours.GLOBEX, "2026-11-22 16:30", "closed", "2026-11-22 17:00"),
        (Hours.GLOBEX, "2026-11-26 12:30", "closed", "2026-11-26 17:00"),
        (Hours.GLOBEX, "2026-12-24 18:00", "closed", "2026-12-27 17:00"),
        (Hours.GRAINS, "2026-11-23 08:00", "break", "2026-11-23 08:30"),
        (Hours.GRAINS, "2026-11-23 14:00", "closed", "2026-11-23 19:00"),
        (Hours.GRAINS, "2026-11-25 20:00", "closed", "2026-11-27 08:30"),
        (Hours.LIVESTOCK, "2026-11-23 20:00", "closed", "2026-11-24 08:30"),
        (Hours.VOLATILITY, "2026-11-23 08:00", "closed", "2026-11-23 08:30"),
        (Hours.EQUITIES, "2026-11-23 08:00", "closed", "2026-11-23 09:30"),
        (Hours.EQUITIES, "2026-11-23 12:00", "open", None),
        (Hours.EQUITIES, "2026-11-25 17:00", "closed", "2026-11-27 09:30"),
        (Hours.CURRENCIES, "2026-11-20 17:00", "closed", "2026-11-22 17:00"),
    ],
)
def test_the_session_and_its_next_opening(hours: Hours, at: str, state: str, opens: str | None) -> None:
    """A closed session opens at the next opening that is no holiday; a break is short."""
    zone = NEW_YORK if hours in (Hours.EQUITIES, Hours.CURRENCIES) else CHICAGO
    opens_at = datetime.fromisoformat(opens).replace(tzinfo=zone) if opens else None
    found = session_at(CALENDAR, hours, datetime.fromisoformat(at).replace(tzinfo=zone))
    assert found == MarketSession(SessionState(state), opens_at)


def test_unknown_hours_have_no_session() -> None:
    """A product outside the table is neither open nor closed."""
    assert session_at(CALENDAR, Hours.OTHER_FUTURES, datetime(2026, 11, 23, tzinfo=UTC)) is None


def test_a_market_that_does_not_open_again_has_no_time() -> None:
    """Beyond ten days the calendar is not searched."""
    closed = Schedule(Holidays(frozenset(date(2026, 11, 23) + timedelta(days=days) for days in range(20))))
    found = session_at(closed, Hours.EQUITIES, datetime(2026, 11, 23, 18, tzinfo=UTC))
    assert found == MarketSession(SessionState.CLOSED)


@given(
    st.integers(1_704_067_200, 1_893_456_000),
    st.sampled_from([hours for hours in Hours if hours is not Hours.OTHER_FUTURES]),
)
def test_no_session_opens_before_its_next_opening(seconds: int, hours: Hours) -> None:
    """Between now and the next opening the market is closed; from then on it is open."""
    at = datetime.fromtimestamp(seconds, UTC)
    found = session_at(CALENDAR, hours, at)
    assert found is not None
    assert (found.state is SessionState.OPEN) == CALENDAR.is_open(hours, at)
    if found.opens_at is not None:
        assert CALENDAR.is_open(hours, found.opens_at)
        steps = int((found.opens_at - at) / timedelta(minutes=30))
        assert not any(CALENDAR.is_open(hours, at + timedelta(minutes=30 * step)) for step in range(steps))
