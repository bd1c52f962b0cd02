"""Quotes as REST gives them: the shapes of equities, futures and options on futures (protocol 2.2)."""

from typing import Any

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.market import Market, Quote
from schwabstream.simulator.rest.query import RefusalError, bad, not_found
from schwabstream.simulator.web import Query

_BLOCKS = frozenset({"all", "fundamental", "reference", "extended", "quote", "regular"})


def _names(regular: str, **others: str) -> dict[str, str]:
    """Our field names and those of REST: the same words in camel case, but for ``others``."""
    return {name: _camel_case(name) for name in regular.split()} | others


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


_EVERYWHERE = (
    "ask_price ask_size bid_price bid_size close_price high_price last_price last_size low_price mark net_change "
    "open_interest open_price quote_time security_status total_volume trade_time "
)
# Shares, indices, options and currencies differ in what they have; absent values are left out, as Schwab does.
_EQUITY = _names(
    _EVERYWHERE + "ask_time bid_time mark_change mark_percent_change post_market_percent_change "
    "implied_yield money_intrinsic_value time_value underlying_price delta gamma theta vega rho",
    high_price_52_week="52WeekHigh",
    low_price_52_week="52WeekLow",
    ask_mic_id="askMICId",
    bid_mic_id="bidMICId",
    last_mic_id="lastMICId",
    percent_change="netPercentChange",
    post_market_net_change="postMarketChange",
    indicative_ask_price="indAskPrice",
    indicative_bid_price="indBidPrice",
    indicative_quote_time="indQuoteTime",
    implied_volatility="volatility",
    theoretical_value="theoreticalOptionValue",
)
_OPTION_REFERENCE = _names(
    "contract_type days_to_expiration deliverables exercise_type expiration_day expiration_month expiration_year "
    "is_penny_pilot last_trading_day multiplier settlement_type strike_price uv_expiration_type",
    underlying_symbol="underlying",
)
_FUTURE = _names(
    _EVERYWHERE + "ask_time bid_time tick tick_amount",
    percent_change="futurePercentChange",
    is_quoted_in_session="quotedInSession",
    settlement_date="settleTime",
)
_FUTURE_REFERENCE = _names(
    "product",
    active_contract="futureActiveSymbol",
    expiration_date="futureExpirationDate",
    is_active="futureIsActive",
    multiplier="futureMultiplier",
    price_format="futurePriceFormat",
    settlement_price="futureSettlementPrice",
    trading_hours="futureTradingHours",
)
_FUTURE_OPTION = _names(
    _EVERYWHERE + "tick tick_amount",
    percent_change="netPercentChange",
    settlement_price="settlemetPrice",  # as Schwab spells it
)
_FUTURE_OPTION_REFERENCE = _names(
    "contract_type expiration_date expiration_style multiplier strike_price", underlying_symbol="underlying"
)


def quotes(market: Market, faults: Faults, query: Query) -> dict[str, Any]:
    """The entries of all symbols by key; the unknown ones are listed under ``errors``."""
    symbols = list(dict.fromkeys(filter(None, query.get("symbols", "").split(","))))
    blocks = _blocks(query)
    if not symbols:
        raise bad("symbols", "Missing parameter")
    if len(symbols) > 500:
        raise RefusalError(400, "Bad Request", "Search combination should not exceed 500.")
    answer: dict[str, Any] = {}
    unknown = []
    for symbol in symbols:
        if (found := find(market, faults, symbol)) is None:
            unknown.append(symbol)
            continue
        key = _answer_key(symbol, found, faults)
        answer[key] = quote_entry(key, found, blocks, realtime=not faults.delayed)
    if unknown:
        answer["errors"] = {"invalidSymbols": unknown}
    return answer


def quote(market: Market, faults: Faults, symbol: str, query: Query) -> dict[str, Any]:
    """The entry of one symbol; this path cannot hold the slash of a future (protocol 2.2)."""
    blocks = _blocks(query)
    found = None if symbol.startswith("/") else find(market, faults, symbol)
    if found is None:
        raise not_found()
    return {symbol: quote_entry(symbol, found, blocks, realtime=not faults.delayed)}


def _blocks(query: Query) -> frozenset[str]:
    asked = frozenset(filter(None, query.get("fields", "").split(",")))
    if not asked <= _BLOCKS:
        raise bad(
            "fields", "valid fields should be any of all,fundamental,reference,extended,quote,regular or empty value"
        )
    return _BLOCKS if not asked or "all" in asked else asked


def find(market: Market, faults: Faults, symbol: str) -> Quote | None:
    """The quote of a symbol that Schwab knows."""
    listed = faults.listed(symbol)
    return None if listed is None else market.quote(listed)


def _answer_key(symbol: str, found: Quote, faults: Faults) -> str:
    """The key under which a quote is answered; for a futures root a switch decides (protocol 2.2)."""
    if found.instrument.asset != "FUTURE" or symbol != found.instrument.product:
        return symbol
    return found.instrument.contract if faults.root_quote_key == "contract" else symbol


def _named(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {rest: values[ours] for ours, rest in names.items() if values.get(ours) is not None}


def quote_entry(key: str, quote: Quote, blocks: frozenset[str], *, realtime: bool) -> dict[str, Any]:
    """One entry of the quotes answer under ``key``, with the blocks asked for."""
    it, values = quote.instrument, quote.values
    entry: dict[str, Any] = {"assetMainType": it.asset, "symbol": key, "realtime": realtime, "ssid": 0}
    reference: dict[str, Any] = {"description": it.description, "exchange": it.exchange_id, "exchangeName": it.exchange}
    if it.asset == "FUTURE":
        # Schwab's own example of REST says tradable, the recorded stream does not.
        reference |= {"futureIsTradable": True, **_named(values, _FUTURE_REFERENCE)}
        parts = {"quote": _named(values, _FUTURE), "reference": reference}
    elif it.asset == "FUTURE_OPTION":
        reference |= _named(values, _FUTURE_OPTION_REFERENCE)
        parts = {"quote": _named(values, _FUTURE_OPTION), "reference": reference}
    else:
        entry["ssid"] = sum(map(ord, it.key)) * 7919
        parts = {"quote": _named(values, _EQUITY), "reference": reference}
        if it.asset == "OPTION":
            reference |= _named(values, _OPTION_REFERENCE)
        elif it.asset == "EQUITY":
            entry |= {"assetSubType": it.sub_type, "quoteType": "NBBO"}
            parts |= _share_blocks(quote)
            reference |= {"cusip": it.cusip, "isHardToBorrow": False, "isShortable": True, "htbRate": 0.0}
    return entry | {name: block for name, block in parts.items() if name in blocks}


def _share_blocks(quote: Quote) -> dict[str, Any]:
    """The blocks that only shares have."""
    values = quote.values
    return {
        "regular": {
            "regularMarketLastPrice": values["last_price"],
            "regularMarketLastSize": values["last_size"],
            "regularMarketNetChange": values["net_change"],
            "regularMarketPercentChange": values["percent_change"],
            "regularMarketTradeTime": values["trade_time"],
        },
        "extended": {
            "lastPrice": values["last_price"],
            "lastSize": values["last_size"],
            "tradeTime": values["trade_time"],
            **dict.fromkeys(("askPrice", "bidPrice"), 0.0),
            **dict.fromkeys(("askSize", "bidSize", "totalVolume"), 0),
        },
        "fundamental": {
            "avg10DaysVolume": float(quote.instrument.volume),
            "divAmount": values["dividend_amount"],
            "divYield": values["dividend_yield"],
            "peRatio": values["pe_ratio"],
            "fundLeverageFactor": 0.0,
        },
    }
