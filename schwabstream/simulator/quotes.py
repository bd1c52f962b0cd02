"""A quote as REST gives it: the shapes of equities, futures and options on futures (protocol 2.2)."""

from typing import Any

from schwabstream.simulator.market import Quote

# Ours on the left, REST's on the right; absent values are left out, as Schwab does. Shares, indices, options and
# currencies differ in what they have.
_EQUITY = {
    "high_price_52_week": "52WeekHigh",
    "low_price_52_week": "52WeekLow",
    "ask_mic_id": "askMICId",
    "ask_price": "askPrice",
    "ask_size": "askSize",
    "ask_time": "askTime",
    "bid_mic_id": "bidMICId",
    "bid_price": "bidPrice",
    "bid_size": "bidSize",
    "bid_time": "bidTime",
    "close_price": "closePrice",
    "high_price": "highPrice",
    "last_mic_id": "lastMICId",
    "last_price": "lastPrice",
    "last_size": "lastSize",
    "low_price": "lowPrice",
    "mark": "mark",
    "mark_change": "markChange",
    "mark_percent_change": "markPercentChange",
    "net_change": "netChange",
    "percent_change": "netPercentChange",
    "open_interest": "openInterest",
    "open_price": "openPrice",
    "post_market_net_change": "postMarketChange",
    "post_market_percent_change": "postMarketPercentChange",
    "quote_time": "quoteTime",
    "security_status": "securityStatus",
    "total_volume": "totalVolume",
    "trade_time": "tradeTime",
    "volatility": "volatility",
    "implied_yield": "impliedYield",
    "indicative_ask_price": "indAskPrice",
    "indicative_bid_price": "indBidPrice",
    "indicative_quote_time": "indQuoteTime",
    "money_intrinsic_value": "moneyIntrinsicValue",
    "time_value": "timeValue",
    "underlying_price": "underlyingPrice",
}
_OPTION_REFERENCE = {
    "contract_type": "contractType",
    "days_to_expiration": "daysToExpiration",
    "deliverables": "deliverables",
    "exercise_type": "exerciseType",
    "expiration_day": "expirationDay",
    "expiration_month": "expirationMonth",
    "expiration_year": "expirationYear",
    "is_penny_pilot": "isPennyPilot",
    "last_trading_day": "lastTradingDay",
    "multiplier": "multiplier",
    "settlement_type": "settlementType",
    "strike_price": "strikePrice",
    "underlying_symbol": "underlying",
    "uv_expiration_type": "uvExpirationType",
}
_FUTURE = {
    "ask_price": "askPrice",
    "ask_size": "askSize",
    "ask_time": "askTime",
    "bid_price": "bidPrice",
    "bid_size": "bidSize",
    "bid_time": "bidTime",
    "close_price": "closePrice",
    "percent_change": "futurePercentChange",
    "high_price": "highPrice",
    "last_price": "lastPrice",
    "last_size": "lastSize",
    "low_price": "lowPrice",
    "mark": "mark",
    "net_change": "netChange",
    "open_interest": "openInterest",
    "open_price": "openPrice",
    "quote_time": "quoteTime",
    "is_quoted_in_session": "quotedInSession",
    "security_status": "securityStatus",
    "settlement_date": "settleTime",
    "tick": "tick",
    "tick_amount": "tickAmount",
    "total_volume": "totalVolume",
    "trade_time": "tradeTime",
}
_FUTURE_OPTION = {
    "ask_price": "askPrice",
    "ask_size": "askSize",
    "bid_price": "bidPrice",
    "bid_size": "bidSize",
    "close_price": "closePrice",
    "high_price": "highPrice",
    "last_price": "lastPrice",
    "last_size": "lastSize",
    "low_price": "lowPrice",
    "mark": "mark",
    "net_change": "netChange",
    "percent_change": "netPercentChange",
    "open_interest": "openInterest",
    "open_price": "openPrice",
    "quote_time": "quoteTime",
    "security_status": "securityStatus",
    "settlement_price": "settlemetPrice",  # as Schwab spells it
    "tick": "tick",
    "tick_amount": "tickAmount",
    "total_volume": "totalVolume",
    "trade_time": "tradeTime",
}
_FUTURE_OPTION_REFERENCE = {
    "contract_type": "contractType",
    "expiration_date": "expirationDate",
    "expiration_style": "expirationStyle",
    "multiplier": "multiplier",
    "strike_price": "strikePrice",
    "underlying_symbol": "underlying",
}
_FUTURE_REFERENCE = {
    "active_contract": "futureActiveSymbol",
    "expiration_date": "futureExpirationDate",
    "is_active": "futureIsActive",
    "multiplier": "futureMultiplier",
    "price_format": "futurePriceFormat",
    "settlement_price": "futureSettlementPrice",
    "trading_hours": "futureTradingHours",
    "product": "product",
}


def _named(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {rest: values[ours] for ours, rest in names.items() if values.get(ours) is not None}


def quote_entry(key: str, quote: Quote, blocks: frozenset[str], *, realtime: bool) -> dict[str, Any]:
    """One entry of the quotes answer under ``key``, with the blocks asked for."""
    it = quote.instrument
    entry: dict[str, Any] = {"assetMainType": it.asset, "symbol": key, "realtime": realtime}
    if it.asset == "FUTURE":
        entry["ssid"] = 0
        parts = _future_blocks(quote)
    elif it.asset == "FUTURE_OPTION":
        entry["ssid"] = 0
        parts = _future_option_blocks(quote)
    else:
        entry["ssid"] = sum(map(ord, it.key)) * 7919
        if it.asset == "EQUITY":
            entry |= {"assetSubType": it.sub_type, "quoteType": "NBBO"}
        parts = _equity_blocks(quote)
    return entry | {name: block for name, block in parts.items() if name in blocks}


def _future_blocks(quote: Quote) -> dict[str, Any]:
    it, values = quote.instrument, quote.values
    # Schwab's own example of REST says tradable, the recorded stream does not.
    reference = {
        "description": it.description,
        "exchange": it.exchange_id,
        "exchangeName": it.exchange,
        "futureIsTradable": True,
    }
    return {"quote": _named(values, _FUTURE), "reference": reference | _named(values, _FUTURE_REFERENCE)}


def _future_option_blocks(quote: Quote) -> dict[str, Any]:
    it, values = quote.instrument, quote.values
    reference = {"description": it.description, "exchange": it.exchange_id, "exchangeName": it.exchange}
    return {
        "quote": _named(values, _FUTURE_OPTION),
        "reference": reference | _named(values, _FUTURE_OPTION_REFERENCE),
    }


def _equity_blocks(quote: Quote) -> dict[str, Any]:
    it, values = quote.instrument, quote.values
    reference: dict[str, Any] = {
        "description": it.description,
        "exchange": it.exchange_id,
        "exchangeName": it.exchange,
    }
    blocks = {"quote": _named(values, _EQUITY), "reference": reference}
    if it.asset == "OPTION":
        reference |= _named(values, _OPTION_REFERENCE)
    if it.asset != "EQUITY":
        return blocks
    reference |= {"cusip": it.cusip, "isHardToBorrow": False, "isShortable": True, "htbRate": 0.0}
    traded = {"lastPrice": values["last_price"], "lastSize": values["last_size"], "tradeTime": values["trade_time"]}
    blocks["regular"] = {
        "regularMarketLastPrice": values["last_price"],
        "regularMarketLastSize": values["last_size"],
        "regularMarketNetChange": values["net_change"],
        "regularMarketPercentChange": values["percent_change"],
        "regularMarketTradeTime": values["trade_time"],
    }
    blocks["extended"] = {**traded, "askPrice": 0.0, "askSize": 0, "bidPrice": 0.0, "bidSize": 0, "totalVolume": 0}
    blocks["fundamental"] = {
        "avg10DaysVolume": float(it.volume),
        "divAmount": values["dividend_amount"],
        "divYield": values["dividend_yield"],
        "peRatio": values["pe_ratio"],
        "fundLeverageFactor": 0.0,
    }
    return blocks
