"""When data must be flowing: the equity session, the Globex week, currencies; holidays, half days, daylight saving."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.market.trading_hours import CHICAGO, NEW_YORK, Holidays, Schedule, hours_of
from schwabstream.protocol.futures import Hours
from schwabstream.protocol.symbols import parse_symbol

HOLIDAYS = Holidays(
    closed=frozenset({date(2026, 4, 3), date(2026, 11, 26), date(2026, 12, 25)}), half=frozenset({date(2026, 11, 27)})
)
LABOR_DAY = frozenset({date(2026, 9, 7)})
CALENDAR = Schedule(
    new_york=Holidays(HOLIDAYS.closed | LABOR_DAY, HOLIDAYS.half),
    chicago=Holidays(HOLIDAYS.closed, HOLIDAYS.half | LABOR_DAY),
)


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
        ("2026-11-25 17:00", True),  # Thanksgiving's session, which ends at noon
        ("2026-11-26 11:59:59", True),
        ("2026-11-26 12:00", False),
        ("2026-11-26 17:00", True),
        ("2026-09-06 17:00", True),  # Labor Day
        ("2026-09-07 11:59:59", True),
        ("2026-09-07 12:00", False),
        ("2026-09-07 17:00", True),
        ("2026-04-02 17:00", False),  # Good Friday: open on some, for hours; never counted on
        ("2026-04-03 08:00", False),
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
    assert CALENDAR.is_open(Hours.GLOBEX, chicago(at)) is is_open


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-22 18:59:59", False),  # Sunday: the week begins at 19:00
        ("2026-11-22 19:00", True),
        ("2026-11-23 03:00", True),
        ("2026-11-23 07:44:59", True),
        ("2026-11-23 07:45", False),
        ("2026-11-23 08:29:59", False),
        ("2026-11-23 08:30", True),
        ("2026-11-23 13:19:59", True),
        ("2026-11-23 13:20", False),
        ("2026-11-23 17:30", False),
        ("2026-11-23 19:00", True),
        ("2026-11-20 13:20", False),  # Friday ends the week
        ("2026-11-20 19:00", False),
        ("2026-11-21 12:00", False),
        ("2026-11-25 19:00", False),  # Thanksgiving: closed, its evening included
        ("2026-11-26 10:00", False),
        ("2026-11-26 19:00", False),
        ("2026-11-27 03:00", False),
        ("2026-11-27 08:30", True),
        ("2026-11-27 11:59:59", True),
        ("2026-11-27 12:00", False),
        ("2026-09-06 19:00", False),  # Labor Day: Globex stops at noon, grains rest
        ("2026-09-07 10:00", False),
        ("2026-09-08 08:30", True),
        ("2026-12-24 10:00", True),
        ("2026-12-24 19:00", False),
    ],
)
def test_the_grains_week(at: str, is_open: bool) -> None:
    """Grains trade from 19:00 to 7:45 and from 8:30 to 13:20 in Chicago, and not in the night after a holiday."""
    assert CALENDAR.is_open(Hours.GRAINS, chicago(at)) is is_open


@pytest.mark.parametrize(
    ("hours", "opens", "closes"),
    [
        (Hours.LIVESTOCK, "08:30", "13:05"),
        (Hours.VOLATILITY, "08:30", "15:00"),
        (Hours.OTHER_FUTURES, "09:00", "12:00"),
    ],
)
def test_what_trades_by_day_only_is_closed_at_night_and_on_every_holiday(hours: Hours, opens: str, closes: str) -> None:
    """Counted minute by minute, a week with Thanksgiving has its three full days and the morning of the fourth."""
    start = chicago("2026-11-22 00:00")
    moments = [datetime.fromtimestamp(start.timestamp() + 60 * minute, CHICAGO) for minute in range(7 * 24 * 60)]
    opened = [moment for moment in moments if CALENDAR.is_open(hours, moment)]
    days = {day: [f"{each:%H:%M}" for each in opened if each.day == day] for day in (23, 24, 25, 27)}
    assert len(opened) == sum(map(len, days.values()))
    for day, minutes in days.items():
        end = min(closes, "12:00") if day == 27 else closes
        assert minutes == [each for each in (f"{m // 60:02}:{m % 60:02}" for m in range(1440)) if opens <= each < end]


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("/MNQ:XCME", Hours.GLOBEX),
        ("/6EH27", Hours.GLOBEX),
        ("/CL", Hours.GLOBEX),
        ("/GCG27", Hours.GLOBEX),
        ("/ZC", Hours.GRAINS),
        ("/ZSF27", Hours.GRAINS),
        ("/LE", Hours.LIVESTOCK),
        ("/HEG27", Hours.LIVESTOCK),
        ("/VX", Hours.VOLATILITY),
        ("/KC:IFUS", Hours.OTHER_FUTURES),
        ("/LBR", Hours.OTHER_FUTURES),
        ("./ESZ26C6900", Hours.GLOBEX),
        ("./LEZ26C200", Hours.LIVESTOCK),
        ("./OGG26C4240", Hours.OTHER_FUTURES),
        ("AAPL", Hours.EQUITIES),
        ("$SPX", Hours.EQUITIES),
        (".SPXW261219C5000", Hours.EQUITIES),
        ("EUR/USD", Hours.CURRENCIES),
    ],
)
def test_a_symbol_follows_the_hours_of_its_product(text: str, hours: Hours) -> None:
    """The product decides; a future that is not in the table is expected only while every market trades."""
    assert hours_of(parse_symbol(text, date(2026, 11, 24))) is hours


def test_a_future_nobody_knows_is_never_open_where_another_is_closed() -> None:
    """The hours of unknown products lie within all others."""
    start = chicago("2026-11-22 00:00")
    known = (Hours.GLOBEX, Hours.GRAINS, Hours.LIVESTOCK, Hours.VOLATILITY)
    for quarter in range(7 * 24 * 4):
        at = datetime.fromtimestamp(start.timestamp() + 900 * quarter, CHICAGO)
        if CALENDAR.is_open(Hours.OTHER_FUTURES, at):
            assert all(CALENDAR.is_open(hours, at) for hours in known)


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
    assert CALENDAR.is_open(Hours.EQUITIES, new_york(at)) is is_open


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
    assert Schedule().is_open(Hours.CURRENCIES, new_york(at)) is is_open


def hours(day: str, *spans: tuple[str, str], is_open: bool = True) -> dict[str, Any]:
    """An answer of the markets endpoint (protocol 2.3)."""
    if not is_open:
        return {"equity": {"equity": {"date": day, "marketType": "EQUITY", "product": "equity", "isOpen": False}}}
    regular = [{"start": f"{day}T{start}:00-05:00", "end": f"{day}T{end}:00-05:00"} for start, end in spans]
    return {"equity": {"EQ": {"date": day, "isOpen": True, "sessionHours": {"regularMarket": regular}}}}


def test_schwabs_hours_go_before_the_built_in_ones() -> None:
    """A day's learned hours hold for that day, an unexpected closure included, and for no other."""
    schedule = Schedule()
    day = date(2026, 11, 24)
    assert not schedule.knows_equity_hours(day)
    schedule.learn_equity_hours(day, hours("2026-11-24", ("09:30", "11:00")))
    assert schedule.knows_equity_hours(day)
    assert schedule.is_open(Hours.EQUITIES, new_york("2026-11-24 10:59:59"))
    assert not schedule.is_open(Hours.EQUITIES, new_york("2026-11-24 11:00"))
    assert schedule.is_open(Hours.EQUITIES, new_york("2026-11-25 12:00"))
    schedule.learn_equity_hours(date(2026, 11, 25), hours("2026-11-25", is_open=False))
    assert not schedule.is_open(Hours.EQUITIES, new_york("2026-11-25 12:00"))
    assert schedule.is_open(Hours.GLOBEX, new_york("2026-11-25 12:00")), "futures follow the Globex week alone"


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
    """An answer of another form is a ValueError; the built-in hours stay in force."""
    schedule = Schedule()
    with pytest.raises(ValueError):
        schedule.learn_equity_hours(date(2026, 11, 24), answer)
    assert not schedule.knows_equity_hours(date(2026, 11, 24))
    assert schedule.is_open(Hours.EQUITIES, new_york("2026-11-24 12:00"))


@given(st.integers(1_704_067_200, 1_893_456_000), st.sampled_from(Hours))
def test_the_answer_depends_on_the_moment_not_on_its_zone(seconds: int, hours: Hours) -> None:
    """The same moment in another zone gets the same answer, on every day of the year."""
    zones = (UTC, CHICAGO, NEW_YORK)
    answers = {CALENDAR.is_open(hours, datetime.fromtimestamp(seconds, zone)) for zone in zones}
    assert len(answers) == 1


@pytest.mark.parametrize("sunday", ["2026-03-08", "2026-11-01"])
def test_a_week_with_a_clock_change_has_its_23_hours_each_day(sunday: str) -> None:
    """Counted minute by minute, the five Globex days after a change of clocks last 23 hours each."""
    start = chicago(f"{sunday} 12:00")
    minutes = sum(
        CALENDAR.is_open(Hours.GLOBEX, datetime.fromtimestamp(start.timestamp() + 60 * minute, CHICAGO))
        for minute in range(7 * 24 * 60)
    )
    assert minutes == 5 * 23 * 60
