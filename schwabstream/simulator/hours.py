"""Market hours as the markets endpoint gives them (protocol 2.3): weekends, holidays, and days the switches name."""

import datetime as dt
from typing import Any

from schwabstream.simulator.closures import closes_early, futures_are_closed, new_york_is_closed
from schwabstream.simulator.faults import Faults
from schwabstream.simulator.statics import EASTERN

_DAY = dt.timedelta(days=1)
_SATURDAY = 5
_EQUITY_LIKE = {
    "equity": (("EQ", "equity", "16:00"),),
    "option": (("EQO", "equity option", "16:00"), ("IND", "index option", "16:15")),
    "bond": (("BON", "bond", "16:00"),),
}
# The keys of futures are roots without the slash; the shape is TD Ameritrade's (protocol 2.3).
_FUTURES = ("ES", "MES", "NQ", "MNQ", "RTY", "M2K", "YM", "MYM", "CL", "GC")


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
    # A Sunday's evening session belongs to Monday: the recorded answer of a Sunday says closed for every market.
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
