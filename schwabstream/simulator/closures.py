"""Days on which markets stay closed or close early, by the rules that the exchanges publish; pure.

New York's list is exact for the years since Juneteenth became a holiday. What Schwab's endpoint says of futures and
forex on a holiday is not known (protocol 2.3): they are taken to rest on the three days without a session.
"""

import datetime as dt

_MONDAY, _THURSDAY, _FRIDAY, _SATURDAY = 0, 3, 4, 5
_DAY = dt.timedelta(days=1)


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
