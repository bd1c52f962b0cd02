"""When each market is open: pure rules over the calendar; the time is an argument.

Answers one question: must data be flowing now? The answer is no where sources differ or a product's hours are unknown,
because a market wrongly taken for open looks like a dead stream. Equities follow the hours that Schwab's markets
endpoint gives for the day (protocol 2.3), else New York's regular session; futures follow the hours that their
exchanges publish for the product (protocol 6.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schwabstream.protocol.futures import FUTURE_ROOTS, Hours
from schwabstream.protocol.symbols import Asset, Symbol

NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
EQUITY_HOURS = frozenset({Asset.EQUITY, Asset.INDEX, Asset.OPTION})
"""Assets that trade in New York's regular session."""
_THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 3, 4, 5, 6
_REGULAR_HOURS = time(9, 30), time(16)
_HALF_DAY_END = time(13)
_FOREX_BREAK = time(17)

Spans = tuple[tuple[time, time], ...]
# Chicago time. A session that begins in the evening belongs to the next day.
_EVENINGS: Mapping[Hours, time] = {Hours.GLOBEX: time(17), Hours.GRAINS: time(19)}
_DAYS: Mapping[Hours, Spans] = {
    Hours.GLOBEX: ((time(0), time(16)),),
    Hours.GRAINS: ((time(0), time(7, 45)), (time(8, 30), time(13, 20))),
    Hours.LIVESTOCK: ((time(8, 30), time(13, 5)),),
    Hours.VOLATILITY: ((time(8, 30), time(15)),),
    Hours.OTHER_FUTURES: ((time(9), time(12)),),  # when all American markets trade
}
_CHICAGO_HALF_DAY_END = time(12)
_DAY = timedelta(days=1)


def hours_of(symbol: Symbol) -> Hours:
    """The group of trading hours of this symbol."""
    if symbol.asset in EQUITY_HOURS:
        return Hours.EQUITIES
    if symbol.asset is Asset.FOREX:
        return Hours.CURRENCIES
    root = FUTURE_ROOTS.get(symbol.root.lstrip("./"))
    return root.hours if root else Hours.OTHER_FUTURES


@dataclass(frozen=True, slots=True)
class Holidays:
    """The days on which an exchange is closed, and those on which it closes early."""

    closed: frozenset[date] = frozenset()
    half: frozenset[date] = frozenset()


@dataclass(slots=True)
class Schedule:
    """The trading calendar; holidays and the equity hours of a day are added when they are loaded."""

    new_york: Holidays = field(default_factory=Holidays)
    chicago: Holidays = field(default_factory=Holidays)
    _equity_hours: dict[date, list[tuple[datetime, datetime]]] = field(default_factory=dict)

    def is_open(self, hours: Hours, at: datetime) -> bool:
        """Whether data must be flowing for these trading hours at ``at``, an aware datetime."""
        if hours is Hours.EQUITIES:
            return self._equities_are_open(at.astimezone(NEW_YORK))
        if hours is Hours.CURRENCIES:
            return _forex_is_open(at.astimezone(NEW_YORK))
        return self._futures_are_open(hours, at.astimezone(CHICAGO))

    def knows_equity_hours(self, day: date) -> bool:
        """Whether the calendar has the endpoint's hours of this day (New York)."""
        return day in self._equity_hours

    def learn_equity_hours(self, day: date, answer: Mapping[str, Any]) -> None:
        """Set the hours of one day from the markets endpoint's answer; raises ``ValueError`` for an invalid answer."""
        try:
            (product,) = answer["equity"].values()
            spans = product.get("sessionHours", {}).get("regularMarket", []) if product["isOpen"] else []
            hours = [(datetime.fromisoformat(span["start"]), datetime.fromisoformat(span["end"])) for span in spans]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not the hours of the equity market") from error
        if any(moment.tzinfo is None for span in hours for moment in span):
            raise ValueError("hours without a time zone")
        self._equity_hours = {day: hours}

    def _futures_are_open(self, hours: Hours, local: datetime) -> bool:
        day, clock = local.date(), local.time()
        if (evening := _EVENINGS.get(hours)) is not None and clock >= evening:
            return self._futures_trade_on(hours, day + _DAY) and not self._skips_evening(hours, day)
        if not self._futures_trade_on(hours, day):
            return False
        if self._is_half_day(hours, day) and clock >= _CHICAGO_HALF_DAY_END:
            return False
        overnight = clock < time(8) and self._skips_evening(hours, day - _DAY)
        return not overnight and any(opens <= clock < closes for opens, closes in _DAYS[hours])

    def _futures_trade_on(self, hours: Hours, day: date) -> bool:
        """Whether this day has a session."""
        if day.weekday() >= _SATURDAY:
            return False
        if hours is Hours.GLOBEX:
            return day not in self.chicago.closed or _is_halted_at_noon(day)
        # All other groups are also closed on the holidays on which Globex only stops early.
        return day not in self.chicago.closed and day not in self.new_york.closed

    def _is_half_day(self, hours: Hours, day: date) -> bool:
        return day in self.chicago.half or (hours is Hours.GLOBEX and day in self.chicago.closed)

    def _skips_evening(self, hours: Hours, day: date) -> bool:
        """Whether this day has no evening session: after some holidays, grains start again in the morning."""
        return hours is Hours.GRAINS and day.weekday() < _SATURDAY and not self._futures_trade_on(hours, day)

    def _equities_are_open(self, local: datetime) -> bool:
        day = local.date()
        if day in self._equity_hours:
            return any(start <= local < end for start, end in self._equity_hours[day])
        if day.weekday() >= _SATURDAY or day in self.new_york.closed:
            return False
        opens, closes = _REGULAR_HOURS
        return opens <= local.time() < (_HALF_DAY_END if day in self.new_york.half else closes)


def _is_halted_at_noon(day: date) -> bool:
    """Whether a closed day is Independence Day or Thanksgiving, on which Globex trades until noon."""
    if day.month == 7:
        return 3 <= day.day <= 5
    return day.month == 11 and day.weekday() == _THURSDAY and 22 <= day.day <= 28


def _forex_is_open(local: datetime) -> bool:
    """The currency week: Sunday 17:00 to Friday 17:00 in New York."""
    if local.weekday() == _SUNDAY:
        return local.time() >= _FOREX_BREAK
    if local.weekday() == _FRIDAY:
        return local.time() < _FOREX_BREAK
    return local.weekday() != _SATURDAY
