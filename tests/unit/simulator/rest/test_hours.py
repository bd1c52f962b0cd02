"""The days on which the simulated markets stay closed."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from schwabstream.commands.run.holidays import compute_holidays
from schwabstream.simulator.faults import Faults
from schwabstream.simulator.rest.hours import closes_early, futures_are_closed, market_hours, new_york_is_closed

YEARS = range(2022, 2040)
MARKETS = ("equity", "option", "bond", "future", "forex")
SATURDAY = 5
DECREED = {dt.date(2025, 1, 9)}
"""A national day of mourning: no rule knows it, the switch ``holidays`` does."""


def weekdays() -> list[dt.date]:
    """Every weekday of the years compared."""
    first, last = dt.date(YEARS[0], 1, 1), dt.date(YEARS[-1], 12, 31)
    days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    return [day for day in days if day.weekday() < SATURDAY]


@pytest.mark.parametrize(("rule", "listed_as"), [(new_york_is_closed, "closed"), (closes_early, "half")])
def test_the_rules_give_the_exchanges_calendar(rule: Callable[[dt.date], bool], listed_as: str) -> None:
    """New York's holidays and half days by their rules equal those of a calendar package, for 18 years."""
    calendars = [compute_holidays(year)[0] for year in YEARS[1::3]]  # each with the years before and after
    listed = {day for calendar in calendars for day in getattr(calendar, listed_as)} - DECREED
    assert {day for day in weekdays() if rule(day)} == {day for day in listed if day.weekday() < SATURDAY}


def test_futures_rest_on_three_days_a_year() -> None:
    """New Year's Day, Good Friday and Christmas, or where they are observed; on other holidays futures trade."""
    closed = [day for day in weekdays() if futures_are_closed(day)]
    assert [f"{day:%m-%d}" for day in closed if day.year == 2026] == ["01-01", "04-03", "12-25"]
    assert [f"{day:%m-%d}" for day in closed if day.year == 2027] == ["01-01", "03-26", "12-24"]
    assert set(closed) <= {day for day in weekdays() if new_york_is_closed(day)}


def is_open(market: str, day: str) -> bool:
    """Whether the endpoint has every product of a market open."""
    products: list[dict[str, Any]] = list(market_hours(market, dt.date.fromisoformat(day), Faults()).values())
    (answer,) = {product["isOpen"] for product in products}
    return bool(answer)


@pytest.mark.parametrize("day", ["2026-11-21", "2026-11-22", "2026-12-25"])
def test_weekends_and_christmas_are_closed_everywhere(day: str) -> None:
    """On a Saturday, on a Sunday (as recorded, futures and forex included) and at Christmas no market is open."""
    assert [market for market in MARKETS if is_open(market, day)] == []


def test_on_thanksgiving_shares_rest_and_futures_trade() -> None:
    """A holiday of New York's closes shares, options and bonds; the day after it ends at 13:00."""
    assert [market for market in MARKETS if is_open(market, "2026-11-26")] == ["future", "forex"]
    hours = market_hours("equity", dt.date(2026, 11, 27), Faults())["EQ"]["sessionHours"]
    assert hours["regularMarket"] == [{"start": "2026-11-27T09:30:00-05:00", "end": "2026-11-27T13:00:00-05:00"}]
    assert hours["postMarket"][0]["start"] == "2026-11-27T13:00:00-05:00"
