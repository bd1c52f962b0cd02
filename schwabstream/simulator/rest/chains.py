"""The options of a share or an index: their expirations, and chains with the streamer's prices (protocol 2.5)."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.greeks import RATE, greeks
from schwabstream.simulator.instruments import third_friday
from schwabstream.simulator.market import Market, Quote
from schwabstream.simulator.rest.query import bad, choice, date, flag, number, required, whole
from schwabstream.simulator.rest.quotes import find, quote_entry
from schwabstream.simulator.web import Query

_WEEKS, _MONTHS, _STRIKES = 4, 6, 20
_STRATEGIES = (
    *("SINGLE", "ANALYTICAL", "COVERED", "VERTICAL", "CALENDAR", "STRANGLE", "STRADDLE", "BUTTERFLY", "CONDOR"),
    *("DIAGONAL", "COLLAR", "ROLL"),
)
_SIMULATED = ("SINGLE", "ANALYTICAL")
_RANGES = ("ALL", "ITM", "NTM", "OTM", "SAK", "SBK", "SNK")
_MONTH_NAMES = ("ALL", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NEAR = 0.02
"""How far from the underlying's price a strike near the money may be."""
_NAMES = {
    "bid": "bid_price",
    "ask": "ask_price",
    "last": "last_price",
    "mark": "mark",
    "bidSize": "bid_size",
    "askSize": "ask_size",
    "lastSize": "last_size",
    "highPrice": "high_price",
    "lowPrice": "low_price",
    "openPrice": "open_price",
    "closePrice": "close_price",
    "totalVolume": "total_volume",
    "tradeTimeInLong": "trade_time",
    "quoteTimeInLong": "quote_time",
    "netChange": "net_change",
    "volatility": "implied_volatility",
    "delta": "delta",
    "gamma": "gamma",
    "theta": "theta",
    "vega": "vega",
    "rho": "rho",
    "openInterest": "open_interest",
    "timeValue": "time_value",
    "theoreticalOptionValue": "theoretical_value",
    "lastTradingDay": "last_trading_day",
    "percentChange": "percent_change",
    "markChange": "mark_change",
    "markPercentChange": "mark_percent_change",
    "intrinsicValue": "money_intrinsic_value",
    "extrinsicValue": "time_value",
    "high52Week": "high_price_52_week",
    "low52Week": "low_price_52_week",
    "pennyPilot": "is_penny_pilot",
}


def expirations(market: Market, underlying: Quote) -> list[dt.date]:
    """The next Fridays, then the third Fridays of the months after, each once and in order."""
    today = market.today()
    friday = today + dt.timedelta(days=(4 - today.weekday()) % 7)
    weekly = [friday + dt.timedelta(weeks=week) for week in range(_WEEKS)]
    months = [divmod(today.year * 12 + today.month - 1 + ahead, 12) for ahead in range(_MONTHS)]
    monthly = [third_friday(year, month + 1) for year, month in months]
    listed = _root(underlying, friday) != ""
    return sorted({day for day in (*weekly, *monthly) if day >= today}) if listed else []


def expiration_chain(market: Market, faults: Faults, query: Query) -> dict[str, Any]:
    """Every expiration of a symbol's options; no list is empty for a symbol without options."""
    underlying = find(market, faults, required(query, "symbol"))
    days = [] if underlying is None else expirations(market, underlying)
    return {
        "expirationList": [
            {
                "expirationDate": day.isoformat(),
                "daysToExpiration": (day - market.today()).days,
                "expirationType": _type(day),
                "settlementType": "P",
                "optionRoots": "" if underlying is None else _root(underlying, day),
                "standard": True,
            }
            for day in days
        ]
    }


def chain(market: Market, faults: Faults, query: Query) -> dict[str, Any]:
    """The contracts that a query selects, by expiration and strike; FAILED without any."""
    asked = _Asked(market, query)
    underlying = find(market, faults, asked.symbol)
    head = _head(asked, underlying, delayed=faults.delayed)
    calls, puts = (_by_day(market, asked, underlying, kind) for kind in "CP")
    count = sum(len(strikes) for by_day in (calls, puts) for strikes in by_day.values())
    return {
        **head,
        "status": "SUCCESS" if count else "FAILED",
        "numberOfContracts": count,
        "callExpDateMap": calls,
        "putExpDateMap": puts,
    }


class _Asked:
    """The parameters of a chain."""

    def __init__(self, market: Market, query: Query) -> None:
        self.symbol = required(query, "symbol")
        self.contract_type = choice(query, "contractType", ("CALL", "PUT", "ALL"), "ALL")
        self.strategy = choice(query, "strategy", _STRATEGIES, "SINGLE")
        self.strikes = whole(query, "strikeCount", _STRIKES)
        self.quote_too = flag(query, "includeUnderlyingQuote", default=False)
        self.interval = number(query, "interval", 0.0)
        self.strike = number(query, "strike", 0.0)
        self.range = choice(query, "range", _RANGES, "ALL")
        self.first = date(query, "fromDate", market.today())
        self.last = date(query, "toDate", dt.date.max)
        self.month = _MONTH_NAMES.index(choice(query, "expMonth", _MONTH_NAMES, "ALL"))
        choice(query, "optionType", ("ALL", "S", "NS", "CALL", "PUT"), "ALL")
        choice(query, "entitlement", ("PN", "NP", "PP", "ALL", "AMERICAN", "EUROPEAN"), "NP")
        self.volatility = number(query, "volatility", 29.0)
        self.price = number(query, "underlyingPrice", 0.0)
        self.days = whole(query, "daysToExpiration", 0)
        self.rate = number(query, "interestRate", 100 * RATE)
        if self.first > self.last:
            raise bad("fromDate", "fromDate must not be after toDate")

    def has(self, kind: str, strike: float, price: float) -> bool:
        """Whether the range contains a strike, at a price of the underlying."""
        is_inside = strike < price if kind == "C" else strike > price
        is_near = abs(strike / price - 1) <= _NEAR
        match self.range:
            case "ITM":
                return is_inside
            case "OTM":
                return not is_inside
            case "NTM":
                return is_near
            case "SAK":
                return strike > price * (1 + _NEAR)
            case "SBK":
                return strike < price * (1 - _NEAR)
            case "SNK":
                return is_near
        return True


def _head(asked: _Asked, underlying: Quote | None, *, delayed: bool) -> dict[str, Any]:
    it = None if underlying is None else underlying.instrument
    quote = None
    if asked.quote_too and underlying is not None:
        quote = quote_entry(asked.symbol, underlying, frozenset({"quote"}), realtime=not delayed)["quote"]
    return {
        "symbol": asked.symbol,
        "status": "",
        "underlying": quote and {"symbol": asked.symbol, **quote},
        "strategy": asked.strategy,
        "interval": asked.interval,
        "isDelayed": delayed,
        "isIndex": it is not None and it.asset == "INDEX",
        "interestRate": asked.rate,
        "underlyingPrice": asked.price or (0.0 if underlying is None else underlying.values["last_price"]),
        "volatility": asked.volatility,
        "daysToExpiration": float(asked.days),
        "dividendYield": 0.0 if underlying is None else underlying.values.get("dividend_yield", 0.0),
        "assetMainType": "" if it is None else it.asset,
        "assetSubType": "" if it is None else it.sub_type,
        "isChainTruncated": False,
    }


def _by_day(market: Market, asked: _Asked, underlying: Quote | None, kind: str) -> dict[str, dict[str, list[Any]]]:
    name = {"C": "CALL", "P": "PUT"}[kind]
    if underlying is None or asked.strategy not in _SIMULATED or asked.contract_type not in ("ALL", name):
        return {}
    price = underlying.values["last_price"]
    by_day = {}
    for day in expirations(market, underlying):
        if not asked.first <= day <= asked.last or asked.month not in (0, day.month):
            continue
        strikes = [strike for strike in _strikes(asked, price) if asked.has(kind, strike, price)]
        root = _root(underlying, day)
        keys = {strike: f"{root:<6}{day:%y%m%d}{kind}{round(strike * 1000):08d}" for strike in strikes}
        found = {str(strike): quote for strike, key in keys.items() if (quote := market.quote(key)) is not None}
        if found:
            contracts = {strike: [_contract(quote, asked, day)] for strike, quote in found.items()}
            by_day[f"{day}:{(day - market.today()).days}"] = contracts
    return by_day


def _strikes(asked: _Asked, price: float) -> Iterable[float]:
    """As many strikes as asked for, around the price; a query may name one strike or their distance."""
    if asked.strike:
        return [asked.strike]
    step = 0.5 if price < 25 else 1 if price < 100 else 2.5 if price < 250 else 5 if price < 1000 else 25
    if asked.interval > 0:
        step *= max(1, round(asked.interval))
    # A chain without limits would be larger than what Schwab sends.
    count = min(asked.strikes, 200)
    first = round(price / step) - count // 2
    return [place * step * 1.0 for place in range(first, first + count) if place > 0]


def _root(underlying: Quote, day: dt.date) -> str:
    """The root of an underlying's options on a day; empty if it has none."""
    it = underlying.instrument
    if it.key == "$SPX":
        return "SPX" if _type(day) == "S" else "SPXW"
    return it.key if it.asset == "EQUITY" and it.key.isalpha() else ""


def _type(day: dt.date) -> str:
    """S for the standard expiration of a month, W for a weekly one."""
    return "S" if day == third_friday(day.year, day.month) else "W"


def _contract(quote: Quote, asked: _Asked, day: dt.date) -> dict[str, Any]:
    it, values = quote.instrument, quote.values
    if asked.strategy == "ANALYTICAL":
        price = asked.price or values["underlying_price"]
        days = asked.days or values["days_to_expiration"]
        values = values | greeks(it.kind, price, it.strike, days, asked.volatility)
    is_call = it.kind == "C"
    return {
        "putCall": "CALL" if is_call else "PUT",
        "symbol": it.key,
        "description": it.description,
        "exchangeName": it.exchange,
        **{name: values[ours] for name, ours in _NAMES.items()},
        "bidAskSize": f"{values['bid_size']}X{values['ask_size']}",
        "theoreticalVolatility": asked.volatility,
        "optionDeliverablesList": [{"symbol": it.product, "assetType": "STOCK", "deliverableUnits": 100.0}],
        "strikePrice": it.strike,
        "expirationDate": f"{day}T20:00:00.000+00:00",
        "daysToExpiration": values["days_to_expiration"],
        "expirationType": _type(day),
        "multiplier": it.multiplier,
        "settlementType": "P",
        "deliverableNote": values["deliverables"],
        "optionRoot": values["option_root"],
        "exerciseType": values["exercise_type"],
        "nonStandard": False,
        "inTheMoney": values["money_intrinsic_value"] > 0,
        "mini": False,
    }
