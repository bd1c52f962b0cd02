"""Instruments by symbol, description or CUSIP, with fundamentals on request (protocol 2.5)."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.instruments import CATALOGUE, Instrument
from schwabstream.simulator.market import Market, Quote
from schwabstream.simulator.rest.query import bad, choice, not_found, required
from schwabstream.simulator.rest.quotes import find
from schwabstream.simulator.web import Query

_PROJECTIONS = ("symbol-search", "symbol-regex", "desc-search", "desc-regex", "search", "fundamental")
_RATIOS = (
    *("pegRatio", "pbRatio", "prRatio", "pcfRatio", "grossMarginTTM", "grossMarginMRQ", "netProfitMarginTTM"),
    *("netProfitMarginMRQ", "operatingMarginTTM", "operatingMarginMRQ", "returnOnEquity", "returnOnAssets"),
    *("returnOnInvestment", "quickRatio", "currentRatio", "interestCoverage", "totalDebtToCapital", "ltDebtToEquity"),
    *("totalDebtToEquity", "epsTTM", "epsChangePercentTTM", "epsChangeYear", "epsChange", "revChangeYear"),
    *("revChangeTTM", "revChangeIn", "marketCapFloat", "bookValuePerShare", "shortIntToFloat", "shortIntDayToCover"),
    *("divGrowthRate3Year", "dividendPayAmount", "beta", "dtnVolume", "fundLeverageFactor"),
)
"""What a market without companies does not have: always 0."""


def instruments(market: Market, faults: Faults, query: Query) -> dict[str, Any]:
    """The instruments that a query finds; none is an empty list."""
    projection = choice(query, "projection", _PROJECTIONS)
    text = required(query, "symbol")
    if projection in ("symbol-search", "fundamental"):
        found = _named(market, faults, text.split(","))
    else:
        fits = _test(projection, text)
        found = [quote for each in CATALOGUE.values() if fits(each) if (quote := market.quote(each.key)) is not None]
    if projection == "fundamental":
        return {"instruments": [{"fundamental": _fundamental(quote), **_instrument(quote)} for quote in found]}
    return {"instruments": [_instrument(quote) for quote in found]}


def instrument_by_cusip(market: Market, cusip: str) -> dict[str, Any]:
    """The instrument of a CUSIP."""
    for each in CATALOGUE.values():
        if each.cusip == cusip and cusip and (quote := market.quote(each.key)) is not None:
            return _instrument(quote)
    raise not_found()


def _named(market: Market, faults: Faults, symbols: Iterable[str]) -> list[Quote]:
    quotes = (find(market, faults, symbol.strip()) for symbol in symbols)
    return list(dict.fromkeys(quote for quote in quotes if quote is not None))


def _test(projection: str, text: str) -> Callable[[Instrument], object]:
    """Whether an instrument fits; regular expressions must match a symbol whole, a description in part."""
    words = text.upper().split()
    if projection == "desc-search":
        return lambda each: all(word in each.description.upper() for word in words)
    if projection == "search":
        return lambda each: all(word in f"{each.key} {each.description}".upper() for word in words)
    try:
        pattern = re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise bad("symbol", f"not a regular expression: {error}") from None
    if projection == "symbol-regex":
        return lambda each: pattern.fullmatch(each.key)
    return lambda each: pattern.search(each.description)


def _instrument(quote: Quote) -> dict[str, Any]:
    it = quote.instrument
    named = {
        "symbol": it.key,
        "description": it.description,
        "exchange": it.exchange,
        "assetType": "ETF" if it.sub_type == "ETF" else it.asset,
    }
    return {"cusip": it.cusip, **named} if it.cusip else named


def _fundamental(quote: Quote) -> dict[str, Any]:
    it, values = quote.instrument, quote.values
    shares = it.volume * 250
    return {
        "symbol": it.key,
        "high52": values.get("high_price_52_week", 0.0),
        "low52": values.get("low_price_52_week", 0.0),
        "dividendAmount": values.get("dividend_amount", 0.0),
        "dividendYield": values.get("dividend_yield", 0.0),
        "dividendDate": values.get("dividend_date", ""),
        "peRatio": values.get("pe_ratio", 0.0),
        **dict.fromkeys(_RATIOS, 0.0),
        "sharesOutstanding": float(shares),
        "marketCap": round(shares * values["last_price"], 2),
        **dict.fromkeys(("vol1DayAvg", "vol10DayAvg", "vol3MonthAvg"), float(it.volume)),
        **dict.fromkeys(("avg10DaysVolume", "avg1DayVolume", "avg3MonthVolume"), it.volume),
        "dividendFreq": 4,
        "eps": round(values["last_price"] / values["pe_ratio"], 2) if values.get("pe_ratio") else 0.0,
    }
