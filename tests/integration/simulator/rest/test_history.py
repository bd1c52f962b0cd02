"""Price history over HTTP, beside what level 1 and the charts have sent (protocol 2.5)."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schwabstream.simulator.statics import EASTERN
from tests.support.simulator_clients import Web

PATH = "/marketdata/v1/pricehistory"


async def candles(web: Web, **parameters: str) -> list[dict[str, Any]]:
    """The candles of AAPL, each with prices in order."""
    answer = await web.get(PATH, **{"symbol": "AAPL", **parameters})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["symbol"], found["empty"]) == ("AAPL", not found["candles"])
    for each in found["candles"]:
        assert set(each) == {"open", "high", "low", "close", "volume", "datetime"}
        assert each["low"] <= min(each["open"], each["close"]) <= max(each["open"], each["close"]) <= each["high"]
        assert each["volume"] > 0
    times = [each["datetime"] for each in found["candles"]]
    assert times == sorted(set(times))
    return list(found["candles"])


def at(candle: dict[str, Any], zone: dt.tzinfo = EASTERN) -> dt.datetime:
    """The time of a candle."""
    return dt.datetime.fromtimestamp(candle["datetime"] / 1000, zone)


async def test_minutes_lead_to_the_last_price(web: Web) -> None:
    """Without parameters: ten trading days of minutes with extended hours, the last of them at the price of level 1."""
    found = await candles(web)
    quote = (await web.get("/marketdata/v1/quotes", symbols="AAPL")).json()["AAPL"]["quote"]
    assert len({at(each).date() for each in found}) == 10
    assert (at(found[0]).hour, at(found[0]).minute) == (7, 0)
    assert at(found[-1]) == dt.datetime(2026, 11, 20, 10, 0, tzinfo=EASTERN)
    assert found[-1]["close"] == quote["lastPrice"]
    assert min(each["low"] for each in found if at(each).day == 20) >= quote["lowPrice"]


async def test_regular_hours_and_longer_candles(web: Web) -> None:
    """Without extended hours a day begins at 9:30; thirty minutes are one candle, which has their volume."""
    regular = await candles(web, periodType="day", period="2", needExtendedHoursData="false")
    assert {at(each).date().isoformat() for each in regular} == {"2026-11-19", "2026-11-20"}
    assert len([each for each in regular if at(each).day == 19]) == 390
    assert at(regular[0]).time() == dt.time(9, 30)
    joined = await candles(web, periodType="day", period="2", frequency="30", needExtendedHoursData="False")
    assert [at(each).time() for each in joined[:2]] == [dt.time(9, 30), dt.time(10)]
    assert joined[0]["volume"] == sum(each["volume"] for each in regular[:30])
    assert (joined[0]["open"], joined[0]["close"]) == (regular[0]["open"], regular[29]["close"])


async def test_days_end_at_the_close_of_level_1(web: Web) -> None:
    """Days skip weekends and have Central midnight; yesterday's close is that of level 1, on request also apart."""
    found = await candles(web, periodType="month", period="1", frequencyType="daily")
    quote = (await web.get("/marketdata/v1/quotes", symbols="AAPL")).json()["AAPL"]["quote"]
    assert all(at(each).weekday() < 5 for each in found)
    assert at(found[-1], ZoneInfo("America/Chicago")) == dt.datetime(2026, 11, 20, tzinfo=ZoneInfo("America/Chicago"))
    assert (found[-1]["close"], found[-1]["open"]) == (quote["lastPrice"], quote["openPrice"])
    assert found[-2]["close"] == quote["closePrice"]
    options = {"periodType": "year", "frequencyType": "daily", "needPreviousClose": "True"}
    answer = (await web.get(PATH, symbol="AAPL", **options)).json()
    assert (answer["previousClose"], answer["previousCloseDate"]) == (quote["closePrice"], found[-2]["datetime"])
    assert [each for each in answer["candles"] if each["datetime"] >= found[0]["datetime"]] == found


async def test_weeks_and_months_join_days(web: Web) -> None:
    """A weekly candle has the open, extremes, close and volume of its days; the defaults of year and ytd differ."""
    days = await candles(web, periodType="ytd", frequencyType="daily")
    weeks = await candles(web, periodType="ytd")
    months = await candles(web, periodType="year")
    assert at(days[0]).date() == dt.date(2026, 1, 2)
    week = [each for each in days if at(each).isocalendar()[1] == 20]
    joined = next(each for each in weeks if at(each).isocalendar()[1] == 20)
    assert (joined["open"], joined["close"]) == (week[0]["open"], week[-1]["close"])
    assert joined["high"] == max(each["high"] for each in week)
    assert joined["volume"] == sum(each["volume"] for each in week)
    assert len(months) in (12, 13)


async def test_a_streamed_minute_is_the_candle(web: Web) -> None:
    """A minute whose trades were streamed has exactly their prices and volume."""
    quote = web.simulator.market.quote("AAPL")
    assert quote is not None
    for _ in range(50):
        quote.advance(web.simulator.now_ms())
    bar = quote.bar
    assert bar is not None
    web.clock.now += 60
    found = next(each for each in await candles(web, period="1") if each["datetime"] == bar.start_ms)
    assert (found["open"], found["high"], found["low"], found["close"]) == (bar.open, bar.high, bar.low, bar.close)
    assert found["volume"] == bar.volume


async def test_a_span_of_time_has_precedence(web: Web) -> None:
    """With start and end only the candles between them; minutes exist for 48 days, and nothing is in the future."""
    end = int(web.clock.now * 1000)
    found = await candles(web, startDate=str(end - 600_000), endDate=str(end - 300_000))
    assert [at(each).minute for each in found] == [51, 52, 53, 54, 55]
    everything = await candles(web, frequency="30", startDate="31532400000", endDate=str(end + 604_800_000))
    assert at(everything[0]).date() == dt.date(2026, 10, 5)
    assert everything[-1]["datetime"] <= end


@pytest.mark.parametrize("kind", ["minute", "daily"])
@pytest.mark.parametrize("start", ["9" * 15, "1900000000000"])
async def test_a_start_in_the_future_has_no_candles(web: Web, kind: str, start: str) -> None:
    """However far away, nothing comes after now."""
    period_type = {"minute": "day", "daily": "year"}[kind]
    span = {"startDate": start, "endDate": "9" * 15}
    assert await candles(web, periodType=period_type, frequencyType=kind, **span) == []


@pytest.mark.parametrize("symbol", ["XYZZY", "nothing", "/NQ", "EUR/USD"])
async def test_no_candles(web: Web, symbol: str) -> None:
    """An unknown symbol, and what is not a share or an index, has an empty list."""
    answer = await web.get(PATH, symbol=symbol)
    assert (answer.status_code, answer.json()) == (200, {"candles": [], "symbol": symbol, "empty": True})


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ("symbol", {}),
        ("periodType", {"periodType": "decade"}),
        ("period", {"periodType": "day", "period": "6"}),
        ("frequencyType", {"periodType": "day", "frequencyType": "daily"}),
        ("frequency", {"frequency": "7"}),
        ("frequency", {"periodType": "year", "frequencyType": "daily", "frequency": "5"}),
        ("startDate", {"startDate": "yesterday"}),
        ("startDate", {"startDate": "2", "endDate": "1"}),
        ("endDate", {"endDate": "1e99"}),
        ("needExtendedHoursData", {"needExtendedHoursData": "maybe"}),
    ],
)
async def test_wrong_parameters_are_refused(web: Web, parameter: str, query: dict[str, str]) -> None:
    """400 with the parameter at fault."""
    answer = await web.get(PATH, **({"symbol": "AAPL", **query} if query else {}))
    assert answer.status_code == 400
    error = answer.json()["errors"][0]
    assert (error["status"], error["title"], error["source"]) == ("400", "Bad Request", {"parameter": parameter})
