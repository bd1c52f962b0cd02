"""Market hours as the markets endpoint gives them (protocol 2.3): weekends, holidays, and days that the switches name.

Holidays follow the rules that the exchanges publish. New York's list is exact for the years since Juneteenth became a
holiday. What Schwab's endpoint answers for futures and forex on a holiday is unknown (protocol 2.3): here they are
closed on the three days without a session.
"""

import datetime as dt
from typing import Any

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.rest.query import bad, date
from schwabstream.simulator.statics import EASTERN
from schwabstream.simulator.web import Query

_DAY = dt.timedelta(days=1)
_MONDAY, _THURSDAY, _FRIDAY, _SATURDAY = 0, 3, 4, 5
_EQUITY_LIKE = {
    "equity": (("EQ", "equity", "16:00"),),
    "option": (("EQO", "equity option", "16:00"), ("IND", "index option", "16:15")),
    "bond": (("BON", "bond", "16:00"),),
}
# The keys of futures are roots without the slash; the shape is TD Ameritrade's (protocol 2.3).
_FUTURES = ("ES", "MES", "NQ", "MNQ", "RTY", "M2K", "YM", "MYM", "CL", "GC")


_MARKETS = ("equity", "option", "bond", "future", "forex")


def markets(today: dt.date, faults: Faults, names: list[str], query: Query) -> dict[str, Any]:
    """The hours of the named markets, today or on the date that the query names."""
    day = date(query, "date", today)
    if not set(names) <= set(_MARKETS):
        raise bad("markets", f"markets should be any of {','.join(_MARKETS)}")
    return {name: market_hours(name, day, faults) for name in names}


def _at(day: dt.date, time: str) -> str:
    return dt.datetime.combine(day, dt.time.fromisoformat(time), EASTERN).isoformat()


def _span(day: dt.date, start: str, end: str, first_day: dt.date | None = None) -> list[dict[str, str]]:
    return [{"start": _at(first_day or day, start), "end": _at(day, end)}]


def _closed(name: str, day: dt.date) -> dict[str, Any]:
    """A closed day has no hours, and its inner key is the product's name (protocol 2.3)."""
    return {name: {"date": day.isoformat(), "marketType": name.upper(), "product": name, "isOpen": False}}


def _entry(name: str, product: str, full_name: str, day: dt.date, hours: dict[str, Any]) -> dict[str, Any]:
    return {
        "date": day.isoformat(),
        "marketType": name.upper(),
        "product": product,
        "productName": full_name,
        "isOpen": True,
        "sessionHours": hours,
    }


def _future_hours(day: dt.date) -> dict[str, Any]:
    return {"regularMarket": _span(day, "18:00", "17:00", day - _DAY)}


def market_hours(name: str, day: dt.date, faults: Faults) -> dict[str, Any]:
    """The inner object of one market on one day, by product."""
    is_closed = futures_are_closed if name in ("future", "forex") else new_york_is_closed
    # A Sunday's evening session belongs to Monday: the recorded answer of a Sunday has every market closed.
    if day.weekday() >= _SATURDAY or is_closed(day) or day.isoformat() in faults.holidays:
        return _closed(name, day)
    if name == "future":
        return {root: _entry(name, root, f"/{root}", day, _future_hours(day)) for root in _FUTURES}
    if name == "forex":
        return {"forex": _entry(name, "forex", "forex", day, _future_hours(day))}
    half = closes_early(day) or day.isoformat() in faults.half_days
    answer = {}
    for product, full_name, close in _EQUITY_LIKE[name]:
        end = "13:00" if half else close
        hours = {"regularMarket": _span(day, "09:30", end)}
        if name == "equity":
            hours = {"preMarket": _span(day, "07:00", "09:30"), **hours, "postMarket": _span(day, end, "20:00")}
        answer[product] = _entry(name, product, full_name, day, hours)
    return answer


def new_york_is_closed(day: dt.date) -> bool:
    """Whether the day is a holiday of the New York exchanges."""
    return futures_are_closed(day) or day in {
        _weekday_of(day.year, 1, _MONDAY, 3),  # Martin Luther King Jr.
        _weekday_of(day.year, 2, _MONDAY, 3),  # Washington's birthday
        _weekday_of(day.year, 6, _MONDAY, 1) - 7 * _DAY,  # Memorial Day, the last Monday of May
        _observed(dt.date(day.year, 6, 19)),
        _observed(dt.date(day.year, 7, 4)),
        _weekday_of(day.year, 9, _MONDAY, 1),  # Labor Day
        _thanksgiving(day.year),
    }


def futures_are_closed(day: dt.date) -> bool:
    """Whether the day has no session even for futures: New Year's Day, Good Friday, Christmas."""
    new_year = dt.date(day.year, 1, 1)
    return day in {
        # A New Year's Day on a Saturday is not observed: its Friday ends the accounting year.
        new_year if new_year.weekday() == _SATURDAY else _observed(new_year),
        _easter(day.year) - 2 * _DAY,
        _observed(dt.date(day.year, 12, 25)),
    }


def closes_early(day: dt.date) -> bool:
    """Whether New York closes at 13:00: before Independence Day, after Thanksgiving, on Christmas Eve."""
    eves = (dt.date(day.year, 7, 3), dt.date(day.year, 12, 24))
    if day in eves:
        return day.weekday() < _FRIDAY  # on a Friday the holiday itself is observed
    return day == _thanksgiving(day.year) + _DAY


def _observed(day: dt.date) -> dt.date:
    """The weekday on which a holiday is kept: Friday for Saturday, Monday for Sunday."""
    return day + {_SATURDAY: -_DAY, _SATURDAY + 1: _DAY}.get(day.weekday(), 0 * _DAY)


def _weekday_of(year: int, month: int, weekday: int, number: int) -> dt.date:
    """The first, second, … such weekday of a month."""
    first = dt.date(year, month, 1)
    return first + _DAY * ((weekday - first.weekday()) % 7 + 7 * (number - 1))


def _thanksgiving(year: int) -> dt.date:
    return _weekday_of(year, 11, _THURSDAY, 4)


def _easter(year: int) -> dt.date:
    """Easter Sunday of the Gregorian calendar, by the anonymous algorithm of 1876."""
    golden, century, rest = year % 19, year // 100, year % 100
    correction = century - century // 4 - (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + correction + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - epact - rest % 4) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return dt.date(year, month, day + 1)
