"""Candles of the past (protocol 2.5): invented, the same in every run, and joined to what the streamer has sent.

Yesterday ends at the close of level 1, today's candles lie between the open and the last price of level 1, and a
minute whose trades were streamed is the streamed bar.
"""

import datetime as dt
import functools
import math
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.market import Market, Quote
from schwabstream.simulator.rest.hours import new_york_is_closed
from schwabstream.simulator.rest.query import bad, choice, flag, required, whole
from schwabstream.simulator.rest.quotes import find
from schwabstream.simulator.statics import EASTERN
from schwabstream.simulator.web import Query

_PERIODS = {
    "day": ("1", "2", "3", "4", "5", "10"),
    "month": ("1", "2", "3", "6"),
    "year": ("1", "2", "3", "5", "10", "15", "20"),
    "ytd": ("1",),
}
_DEFAULT_PERIODS = {"day": "10", "month": "1", "year": "1", "ytd": "1"}
_TYPES = {
    "day": ("minute",),
    "month": ("weekly", "daily"),
    "year": ("monthly", "weekly", "daily"),
    "ytd": ("weekly", "daily"),
}
"""The kinds of candle that a period can have, the default first."""
_FREQUENCIES = {"minute": ("1", "5", "10", "15", "30"), **dict.fromkeys(("daily", "weekly", "monthly"), ("1",))}
_MOST_DAYS = {"minute": 48, "daily": 366 * 40, "weekly": 366 * 40, "monthly": 366 * 40}
"""How far back candles exist, in days."""
# Schwab dates a day's candle with midnight where it keeps its clocks.
_CENTRAL = ZoneInfo("America/Chicago")
_DAY = dt.timedelta(days=1)
_DAY_MS = 86_400_000
_SATURDAY = 5
_SESSIONS = {True: (dt.time(7), 780), False: (dt.time(9, 30), 390)}
"""With and without extended hours: the first minute, and how many there are."""

Candle = dict[str, Any]


def price_history(market: Market, faults: Faults, query: Query) -> dict[str, Any]:
    """The candles of a symbol; none for an unknown one, and for what is not a share or an index."""
    symbol = required(query, "symbol")
    period_type = choice(query, "periodType", tuple(_PERIODS), "day")
    kind = choice(query, "frequencyType", _TYPES[period_type], _TYPES[period_type][0])
    frequency = int(choice(query, "frequency", _FREQUENCIES[kind], "1"))
    period = int(choice(query, "period", _PERIODS[period_type], _DEFAULT_PERIODS[period_type]))
    extended = flag(query, "needExtendedHoursData", default=True)
    previous_too = flag(query, "needPreviousClose", default=False)
    now_ms = market.now_ms()
    end_ms = whole(query, "endDate", now_ms)
    start_ms = whole(query, "startDate", _start_of_period(period_type, period, min(end_ms, now_ms)))
    if start_ms > end_ms:
        raise bad("startDate", "startDate must not be after endDate")
    start_ms, end_ms = max(start_ms, now_ms - _MOST_DAYS[kind] * _DAY_MS), min(end_ms, now_ms)
    quote = find(market, faults, symbol)
    if quote is None or quote.instrument.asset not in ("EQUITY", "INDEX") or start_ms > now_ms:
        return {"candles": [], "symbol": symbol, "empty": True}
    past = _Past(market, quote)
    if kind == "minute":
        made = past.minutes(start_ms, end_ms, frequency, extended=extended)
    else:
        made = past.days(kind, start_ms)
    candles = [each for each in made if start_ms <= each["datetime"] <= end_ms]
    answer = {"candles": candles, "symbol": symbol, "empty": not candles}
    if previous_too:
        day = _trading_day_before(market.today())
        answer |= {"previousClose": past.close(day), "previousCloseDate": _central_ms(day)}
    return answer


def _start_of_period(period_type: str, period: int, end_ms: int) -> int:
    end = dt.datetime.fromtimestamp(end_ms / 1000, EASTERN).date()
    if period_type == "ytd":
        return _central_ms(dt.date(end.year, 1, 1))
    if period_type == "day":
        for _ in range(period - 1):
            end = _trading_day_before(end)
        return int(dt.datetime.combine(end, dt.time(), EASTERN).timestamp() * 1000)
    days = {"month": 30.44, "year": 365.25}[period_type] * period
    return max(0, end_ms - int(days * _DAY_MS))


@functools.lru_cache(maxsize=20_000)
def _is_closed(day: dt.date) -> bool:
    return day.weekday() >= _SATURDAY or new_york_is_closed(day)


def _trading_day_before(day: dt.date) -> dt.date:
    day -= _DAY
    while _is_closed(day):
        day -= _DAY
    return day


def _central_ms(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), _CENTRAL).timestamp() * 1000)


class _Past:
    """What a quote was before now."""

    def __init__(self, market: Market, quote: Quote) -> None:
        self._market, self._quote, self._today = market, quote, market.today()
        self._tick, self._decimals = quote.instrument.tick, quote.instrument.decimals
        self._phases = [sum(map(ord, quote.instrument.key)) * share for share in (0.7, 1.3, 2.1)]
        self._level = 1 + self._wave(_trading_day_before(self._today).toordinal())

    def _wave(self, day: float) -> float:
        """How far a day's price is from the average of the years, as a fraction."""
        slow, middle, fast = self._phases
        months, weeks = 0.2 * math.sin(day / 211 + slow), 0.06 * math.sin(day / 23 + middle)
        return months + weeks + 0.015 * math.sin(day * 2.7 + fast)

    def _price(self, value: float) -> float:
        return round(max(1, round(value / self._tick)) * self._tick, self._decimals)

    def close(self, day: dt.date) -> float:
        """The close of a trading day; yesterday's is that of level 1, today's the last price."""
        values = self._quote.values
        if day >= self._today:
            return float(values["last_price"])
        return self._price(values["close_price"] * (1 + self._wave(day.toordinal())) / self._level)

    def _day(self, day: dt.date) -> Candle:
        values = self._quote.values
        if day == self._today:
            names = {"open": "open_price", "high": "high_price", "low": "low_price", "close": "last_price"}
            today = {name: values[ours] for name, ours in names.items()}
            return {**today, "volume": values["total_volume"], "datetime": _central_ms(day)}
        number = day.toordinal()
        before, close = self.close(_trading_day_before(day)), self.close(day)
        opened = self._price(before * (1 + 0.004 * math.sin(number * 1.9)))
        reach = close * (0.004 + 0.003 * math.sin(number * 5.3) ** 2)
        volume = int(self._quote.instrument.volume * (1 + 0.4 * math.sin(number * 3.1)))
        high, low = self._price(max(opened, close) + reach), self._price(min(opened, close) - reach)
        return {
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
            "datetime": _central_ms(day),
        }

    def days(self, kind: str, start_ms: int) -> list[Candle]:
        """Daily candles from a time on, joined to weeks or months on request; each has the date of its first day."""
        day = dt.datetime.fromtimestamp(start_ms / 1000, EASTERN).date()
        joined: dict[Any, Candle] = {}
        while day <= self._today:
            if not _is_closed(day):
                key = day if kind == "daily" else day.isocalendar()[:2] if kind == "weekly" else (day.year, day.month)
                _join(joined, key, self._day(day))
            day += _DAY
        return list(joined.values())

    def minutes(self, start_ms: int, end_ms: int, frequency: int, *, extended: bool) -> list[Candle]:
        """Candles of ``frequency`` minutes each, between two times."""
        streamed = {bar.start_ms: bar for bar in self._quote.bars}
        joined: dict[int, Candle] = {}
        span_ms = frequency * 60_000
        day = dt.datetime.fromtimestamp(start_ms / 1000, EASTERN).date()
        while day <= self._today:
            for candle in () if _is_closed(day) else self._minutes_of(day, extended=extended):
                at_ms = candle["datetime"]
                if at_ms > end_ms:
                    break
                if (bar := streamed.get(at_ms)) is not None:
                    candle.update((name, getattr(bar, name)) for name in ("open", "high", "low", "close", "volume"))
                if at_ms >= start_ms:
                    start = candle["datetime"] = at_ms - at_ms % span_ms
                    _join(joined, start, candle)
            day += _DAY
        return list(joined.values())

    def _minutes_of(self, day: dt.date, *, extended: bool) -> Iterator[Candle]:
        """A day's minutes from its open to its close, in order; today ends with the current minute."""
        whole = self._day(day)
        first, count = _SESSIONS[extended]
        start_ms = int(dt.datetime.combine(day, first, EASTERN).timestamp() * 1000)
        begun = count if day < self._today else min(count, (self._market.now_ms() - start_ms) // 60_000 + 1)
        volume = whole["volume"] // max(1, begun)
        previous = whole["open"]
        for minute in range(begun):
            share = (minute + 1) / begun
            bend = math.sin(math.pi * share) * math.sin(minute / 9 + day.toordinal()) * 0.3
            middle = whole["open"] + (whole["close"] - whole["open"]) * share
            room = whole["high"] - middle if bend > 0 else middle - whole["low"]
            close = whole["close"] if minute == begun - 1 else self._price(middle + bend * room)
            yield {
                "open": previous,
                "high": max(previous, close),
                "low": min(previous, close),
                "close": close,
                "volume": volume,
                "datetime": start_ms + minute * 60_000,
            }
            previous = close


def _join(joined: dict[Any, Candle], key: Any, candle: Candle) -> None:
    """Add a candle to the one that it is part of."""
    whole = joined.setdefault(key, candle)
    if whole is not candle:
        whole["high"], whole["low"] = max(whole["high"], candle["high"]), min(whole["low"], candle["low"])
        whole["close"] = candle["close"]
        whole["volume"] += candle["volume"]
