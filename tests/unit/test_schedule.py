"""When data must be flowing: the equity session, the Globex week, currencies; holidays, half days, daylight saving."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.schedule import CHICAGO, EQUITY_HOURS, NEW_YORK, Holidays, Schedule
from schwabstream.symbols import Asset

HOLIDAYS = Holidays(closed=frozenset({date(2026, 12, 25)}), half=frozenset({date(2026, 11, 27)}))
CALENDAR = Schedule(new_york=HOLIDAYS, chicago=HOLIDAYS)


def chicago(text: str) -> datetime:
    """A time in Chicago."""
    return datetime.fromisoformat(text).replace(tzinfo=CHICAGO)


def new_york(text: str) -> datetime:
    """A time in New York."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-22 16:59:59", False),  # Sunday: the week begins at 17:00
        ("2026-11-22 17:00", True),
        ("2026-11-23 15:59:59", True),
        ("2026-11-23 16:00", False),  # the daily break (trap T19)
        ("2026-11-23 16:59:59", False),
        ("2026-11-23 17:00", True),
        ("2026-11-24 03:00", True),
        ("2026-11-20 15:59:59", True),
        ("2026-11-20 16:00", False),  # Friday ends the week
        ("2026-11-20 17:30", False),
        ("2026-11-21 12:00", False),
        ("2026-11-22 03:00", False),
        ("2026-11-27 11:59:59", True),  # half day: noon
        ("2026-11-27 12:00", False),
        ("2026-12-24 17:00", False),  # the session of the 25th would begin here
        ("2026-12-25 12:00", False),
        ("2026-12-25 17:00", False),  # a Friday: what follows is the weekend
        ("2026-12-27 17:00", True),
        ("2026-03-08 16:59:59", False),  # both Sundays on which the clocks change
        ("2026-03-08 17:00", True),
        ("2026-03-09 15:59:59", True),
        ("2026-03-09 16:00", False),
        ("2026-11-01 16:59:59", False),
        ("2026-11-01 17:00", True),
        ("2026-11-02 15:59:59", True),
        ("2026-11-02 16:00", False),
    ],
)
def test_the_globex_week(at: str, is_open: bool) -> None:
    """Futures trade from Sunday 17:00 to Friday 16:00 in Chicago but for the break from 16:00 to 17:00."""
    for asset in (Asset.FUTURE, Asset.FUTURE_OPTION):
        assert CALENDAR.is_open(asset, chicago(at)) is is_open


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-24 09:29:59", False),
        ("2026-11-24 09:30", True),
        ("2026-11-24 15:59:59", True),
        ("2026-11-24 16:00", False),
        ("2026-11-21 12:00", False),
        ("2026-11-22 12:00", False),
        ("2026-11-27 12:59:59", True),  # half day
        ("2026-11-27 13:00", False),
        ("2026-12-25 12:00", False),
        ("2026-03-09 09:30", True),  # the Mondays after the clocks changed
        ("2026-03-09 09:29:59", False),
        ("2026-11-02 15:59:59", True),
        ("2026-11-02 16:00", False),
    ],
)
def test_the_equity_day(at: str, is_open: bool) -> None:
    """Without Schwab's hours the regular session counts, 9:30 to 16:00 in New York, 13:00 on half days."""
    for asset in EQUITY_HOURS:
        assert CALENDAR.is_open(asset, new_york(at)) is is_open


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-22 16:59:59", False),
        ("2026-11-22 17:00", True),
        ("2026-11-25 03:00", True),
        ("2026-11-20 16:59:59", True),
        ("2026-11-20 17:00", False),
        ("2026-11-21 12:00", False),
    ],
)
def test_the_currency_week(at: str, is_open: bool) -> None:
    """Currencies trade from Sunday 17:00 to Friday 17:00 in New York."""
    assert Schedule().is_open(Asset.FOREX, new_york(at)) is is_open


def hours(day: str, *spans: tuple[str, str], is_open: bool = True) -> dict[str, Any]:
    """An answer of the markets endpoint (protocol 2.3)."""
    if not is_open:
        return {"equity": {"equity": {"date": day, "marketType": "EQUITY", "product": "equity", "isOpen": False}}}
    regular = [{"start": f"{day}T{start}:00-05:00", "end": f"{day}T{end}:00-05:00"} for start, end in spans]
    return {"equity": {"EQ": {"date": day, "isOpen": True, "sessionHours": {"regularMarket": regular}}}}


def test_the_hours_schwab_told_go_before_the_built_in_ones() -> None:
    """A day's learned hours hold for that day, an unexpected closure included, and for no other."""
    schedule = Schedule()
    day = date(2026, 11, 24)
    assert not schedule.knows_equity_hours(day)
    schedule.learn_equity_hours(day, hours("2026-11-24", ("09:30", "11:00")))
    assert schedule.knows_equity_hours(day)
    assert schedule.is_open(Asset.EQUITY, new_york("2026-11-24 10:59:59"))
    assert not schedule.is_open(Asset.EQUITY, new_york("2026-11-24 11:00"))
    assert schedule.is_open(Asset.EQUITY, new_york("2026-11-25 12:00"))
    schedule.learn_equity_hours(date(2026, 11, 25), hours("2026-11-25", is_open=False))
    assert not schedule.is_open(Asset.EQUITY, new_york("2026-11-25 12:00"))
    assert schedule.is_open(Asset.FUTURE, new_york("2026-11-25 12:00")), "futures follow the Globex week alone"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"equity": {}},
        {"equity": None},
        {"equity": {"EQ": {}}},
        {"equity": {"EQ": None}},
        {"equity": {"EQ": {"isOpen": True}, "OTHER": {"isOpen": True}}},
        {"equity": {"EQ": {"isOpen": True, "sessionHours": None}}},
        {"equity": {"EQ": {"isOpen": True, "sessionHours": {"regularMarket": [{"start": "soon", "end": "late"}]}}}},
        {"equity": {"EQ": {"isOpen": True, "sessionHours": {"regularMarket": [{"start": "2026-11-24T09:30:00"}]}}}},
        {
            "equity": {
                "EQ": {
                    "isOpen": True,
                    "sessionHours": {"regularMarket": [{"start": "2026-11-24T09:30:00", "end": "2026-11-24T16:00:00"}]},
                }
            }
        },
    ],
)
def test_nonsense_is_refused_and_changes_nothing(answer: dict[str, Any]) -> None:
    """What is not an answer of the markets endpoint is a ValueError; the built-in hours go on to hold."""
    schedule = Schedule()
    with pytest.raises(ValueError):
        schedule.learn_equity_hours(date(2026, 11, 24), answer)
    assert not schedule.knows_equity_hours(date(2026, 11, 24))
    assert schedule.is_open(Asset.EQUITY, new_york("2026-11-24 12:00"))


@given(st.integers(1_704_067_200, 1_893_456_000), st.sampled_from(Asset))
def test_the_answer_depends_on_the_moment_not_on_its_zone(seconds: int, asset: Asset) -> None:
    """The same moment told in another zone gets the same answer, on every day of the year."""
    zones = (UTC, CHICAGO, NEW_YORK)
    answers = {CALENDAR.is_open(asset, datetime.fromtimestamp(seconds, zone)) for zone in zones}
    assert len(answers) == 1


@pytest.mark.parametrize("sunday", ["2026-03-08", "2026-11-01"])
def test_a_week_with_a_clock_change_has_its_23_hours_each_day(sunday: str) -> None:
    """Counted minute by minute, the five Globex days after a change of clocks last 23 hours each."""
    start = chicago(f"{sunday} 12:00")
    minutes = sum(
        CALENDAR.is_open(Asset.FUTURE, datetime.fromtimestamp(start.timestamp() + 60 * minute, CHICAGO))
        for minute in range(7 * 24 * 60)
    )
    assert minutes == 5 * 23 * 60
