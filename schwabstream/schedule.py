"""When which market is open: pure rules over the calendar, the clock comes in as an argument.

Made to answer one question, "must data be flowing now?", so where sources differ it says closed: a market wrongly
taken for open looks like a dead stream. Equities follow the hours Schwab's markets endpoint gave for the day (protocol
2.3), else New York's regular session; futures the CME Globex week, whose daily break is trap T19.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schwabstream.symbols import Asset

NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
_FUTURES = frozenset({Asset.FUTURE, Asset.FUTURE_OPTION})
EQUITY_HOURS = frozenset({Asset.EQUITY, Asset.INDEX, Asset.OPTION})
"""What trades while New York's regular session lasts."""
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
# A Globex session begins at 17:00 Chicago on the evening before; shifted by this, it lies within its own date.
_EVENING_START = timedelta(hours=7)
_GLOBEX_HOURS = time(0), time(23)
_GLOBEX_HALF_DAY_END = time(19)  # noon in Chicago
_REGULAR_HOURS = time(9, 30), time(16)
_HALF_DAY_END = time(13)
_FOREX_BREAK = time(17)


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days on which an exchange stays closed, and days on which it closes early."""

    closed: frozenset[date] = frozenset()
    half: frozenset[date] = frozenset()


@dataclass(slots=True)
class Schedule:
    """What is known of the calendar; learns holidays and a day's equity hours as they become known."""

    new_york: Holidays = field(default_factory=Holidays)
    chicago: Holidays = field(default_factory=Holidays)
    _equity_hours: dict[date, list[tuple[datetime, datetime]]] = field(default_factory=dict)

    def is_open(self, asset: Asset, at: datetime) -> bool:
        """Whether data must be flowing for this asset at this moment (an aware datetime)."""
        if asset in _FUTURES:
            return self._globex_is_open(at.astimezone(CHICAGO).replace(tzinfo=None) + _EVENING_START)
        if asset is Asset.FOREX:
            return _forex_is_open(at.astimezone(NEW_YORK))
        return self._equities_are_open(at.astimezone(NEW_YORK))

    def knows_equity_hours(self, day: date) -> bool:
        """Whether the endpoint's hours of this day (New York) were learned."""
        return day in self._equity_hours

    def learn_equity_hours(self, day: date, answer: Mapping[str, Any]) -> None:
        """Take the markets endpoint's answer for one day; raises ``ValueError`` when it is not one."""
        try:
            (product,) = answer["equity"].values()
            spans = product.get("sessionHours", {}).get("regularMarket", []) if product["isOpen"] else []
            hours = [(datetime.fromisoformat(span["start"]), datetime.fromisoformat(span["end"])) for span in spans]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not the hours of the equity market") from error
        if any(moment.tzinfo is None for span in hours for moment in span):
            raise ValueError("hours without a time zone")
        self._equity_hours = {day: hours}

    def _globex_is_open(self, shifted: datetime) -> bool:
        day = shifted.date()
        if day.weekday() >= _SATURDAY or day in self.chicago.closed:
            return False
        opens, closes = _GLOBEX_HOURS
        return opens <= shifted.time() < (_GLOBEX_HALF_DAY_END if day in self.chicago.half else closes)

    def _equities_are_open(self, local: datetime) -> bool:
        day = local.date()
        if day in self._equity_hours:
            return any(start <= local < end for start, end in self._equity_hours[day])
        if day.weekday() >= _SATURDAY or day in self.new_york.closed:
            return False
        opens, closes = _REGULAR_HOURS
        return opens <= local.time() < (_HALF_DAY_END if day in self.new_york.half else closes)


def _forex_is_open(local: datetime) -> bool:
    """The currency week: Sunday 17:00 to Friday 17:00 in New York."""
    if local.weekday() == _SUNDAY:
        return local.time() >= _FOREX_BREAK
    if local.weekday() == _FRIDAY:
        return local.time() < _FOREX_BREAK
    return local.weekday() != _SATURDAY
