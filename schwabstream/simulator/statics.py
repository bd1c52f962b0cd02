"""The level-1 fields of an instrument that no trade or quote changes, by field name, as recorded (protocol 4)."""

import datetime as dt
import random
from typing import Any
from zoneinfo import ZoneInfo

from schwabstream.simulator.instruments import Instrument

EASTERN = ZoneInfo("America/New_York")
TRADING_HOURS = "GLBX(de=1640;0=-17001600;1=r-17001600d-15551640;7=d-16401555)"
MICS = {"NASDAQ": "XNAS", "NYSE": "XNYS", "NYSE Arca": "ARCX"}
_DAY = dt.timedelta(days=1)


def static_fields(it: Instrument, close: float, now_ms: int, rng: random.Random) -> dict[str, Any]:
    """All static fields, for a previous close and a moment; ``rng`` is the instrument's own."""
    common = {"description": it.description, "exchange_name": it.exchange, "exchange_id": it.exchange_id}
    if it.asset == "FUTURE":
        ids = dict.fromkeys(("bid_id", "ask_id", "last_id"), "?")
        settled = now_ms - now_ms % 86_400_000
        return {**common, **ids, **contract_fields(it), "settlement_price": close, "settlement_date": settled}
    if it.asset == "FUTURE_OPTION":
        return {**common, **_future_option_fields(it, close)}
    year = {"high_price_52_week": round(close * 1.21, 2), "low_price_52_week": round(close * 0.74, 2)}
    if it.asset == "OPTION":
        return {**common, **year, **_option_fields(it, now_ms, rng)}
    if it.asset == "FOREX":
        return {**common, **year, **_FOREX}
    if it.asset == "EQUITY":
        return {**common, **year, **_equity_fields(it, close, now_ms, rng)}
    return {**common, **year}


def contract_fields(it: Instrument) -> dict[str, Any]:
    """The fields that depend on a future's contract; a root changes them at the roll (trap T18)."""
    return {
        "description": it.description,
        "open_interest": int(it.volume * 1.4),
        "tick": it.tick,
        "tick_amount": round(it.tick * it.multiplier, 4),
        "product": it.product,
        "price_format": "D,D",
        "trading_hours": TRADING_HOURS,
        "is_tradable": False,
        "multiplier": it.multiplier,
        "is_active": True,
        "active_contract": it.contract,
        "expiration_date": it.expiry and _midnight_ms(it.expiry, EASTERN),
        "expiration_style": "Unknown",
        "is_quoted_in_session": True,
    }


# Empty for forex (protocol 4.5).
_FOREX = {
    "digits": 2,
    "tick": 0,
    "tick_amount": 0,
    "product": "",
    "trading_hours": "",
    "is_tradable": False,
    "market_maker": "",
}


def _equity_fields(it: Instrument, close: float, now_ms: int, rng: random.Random) -> dict[str, Any]:
    today = dt.datetime.fromtimestamp(now_ms / 1000, EASTERN).date()
    return {
        "ask_id": "P",
        "bid_id": it.exchange_id,
        "last_id": "D",
        **dict.fromkeys(("ask_mic_id", "bid_mic_id", "last_mic_id"), MICS.get(it.exchange, "XNAS")),
        "is_marginable": True,
        "is_regular_market_quote": True,
        "is_regular_market_trade": True,
        "pe_ratio": round(rng.uniform(8, 45), 2),
        "dividend_amount": round(close * 0.012, 2),
        "dividend_yield": 1.2,
        "dividend_date": f"{today - 30 * _DAY} 00:00:00.0",
        "nav": 0,
        "hard_to_borrow_quantity": 9_188_513,
        "unknown_53": it.volume * 12,
        "hard_to_borrow_rate": 0,
        "is_hard_to_borrow": 0,
        "is_shortable": 1,
        "post_market_net_change": 0,
        "post_market_percent_change": 0,
    }


def _option_fields(it: Instrument, now_ms: int, rng: random.Random) -> dict[str, Any]:
    expiry = it.expiry or dt.date.min
    root = it.key[:6].rstrip()
    today = dt.datetime.fromtimestamp(now_ms / 1000, EASTERN).date()
    return {
        # REST describes the same contract in words (protocol 2.2).
        "description": f"{root} {expiry:%m/%d/%Y} {it.strike:.2f} {it.kind}",
        "exchange_id": "O",
        "open_interest": rng.randint(50, 20_000),
        "implied_volatility": round(rng.uniform(18, 60), 3),
        "expiration_year": expiry.year,
        "expiration_month": expiry.month,
        "expiration_day": expiry.day,
        "days_to_expiration": (expiry - today).days,
        "last_trading_day": _midnight_ms(expiry + _DAY, dt.UTC),
        "multiplier": it.multiplier,
        "digits": 2,
        "strike_price": it.strike,
        "contract_type": it.kind,
        "underlying_symbol": it.product,
        "deliverables": f"100 {it.product}",
        "uv_expiration_type": "S",
        "settlement_type": "P",
        "exercise_type": "A",
        "implied_yield": 0,
        "is_penny_pilot": True,
        "option_root": root,
        **dict.fromkeys(("indicative_ask_price", "indicative_bid_price", "indicative_quote_time"), 0),
    }


def _future_option_fields(it: Instrument, close: float) -> dict[str, Any]:
    return {
        # The code of a question mark (protocol 4.4).
        **dict.fromkeys(("bid_id", "ask_id", "last_id"), ord("?")),
        "open_interest": it.volume // 8,
        "tick": it.tick,
        "tick_amount": round(it.tick * it.multiplier, 4),
        "multiplier": it.multiplier,
        "settlement_price": close,
        "underlying_symbol": it.contract,
        "strike_price": it.strike,
        "expiration_date": it.expiry and _midnight_ms(it.expiry, EASTERN),
        "expiration_style": "Weeklys" if it.is_weekly else "Unknown",
        "contract_type": it.kind,
    }


def _midnight_ms(day: dt.date, zone: dt.tzinfo) -> int:
    """The start of a day in a zone, in milliseconds since the epoch."""
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp()) * 1000
