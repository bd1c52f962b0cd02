"""Reads the answer of the quotes endpoint as TickEvents, for quotes without a streamer; pure (protocol 2.2)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from schwabstream.events import TickEvent
from schwabstream.market.instruments import MODEL_FIELDS, TICK_FIELDS, UNKNOWN
from schwabstream.protocol.symbols import Asset, Symbol

_OTHER_NAMES: Final = {
    "percent_change": ("netPercentChange", "futurePercentChange"),
    "implied_volatility": ("volatility",),
    "theoretical_value": ("theoreticalOptionValue",),
}
# The endpoint writes lastPrice where a TickEvent has last_price.
_NAMES: Final = {
    name: _OTHER_NAMES.get(name, (re.sub("_(.)", lambda match: match[1].upper(), name),))
    for name in TICK_FIELDS
    if name != "security_status"
}
_WHOLE: Final = frozenset(name for name in TICK_FIELDS if int in get_args(TickEvent.model_fields[name].annotation))


def tick_of(symbol: Symbol, quotes: Mapping[str, Any], now_us: int) -> TickEvent | None:
    """The symbol's quote with ``seq`` 0; None when the answer has neither a last price nor a bid and an ask for it."""
    entry = next(_entries(symbol, quotes), None)
    quote = entry.get("quote") if entry else None
    if entry is None or not isinstance(quote, dict):
        return None
    values = {name: _value(name, quote) for name in _NAMES}
    if values["last_price"] is None and None in (values["bid_price"], values["ask_price"]):
        return None
    status = quote.get("securityStatus")
    times = [int(values[name] or 0) for name in ("trade_time", "quote_time")]
    realtime = entry.get("realtime")
    return TickEvent.model_validate(
        {
            **values,
            "symbol": symbol.alias,
            "key": symbol.key,
            "seq": 0,
            "prev": 0,
            "timestamp": max(times) or now_us // 1000,
            "received_us": now_us,
            "asset": str(symbol.asset),
            "contract": _contract(symbol, entry),
            "security_status": status if isinstance(status, str) else None,
            "is_trade": False,
            "delayed": not realtime if isinstance(realtime, bool) else None,
        }
    )


def _entries(symbol: Symbol, quotes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Entries that may be the symbol's, the likeliest first: it is unknown under which key Schwab returns a root."""
    entries = [(key, entry) for key, entry in quotes.items() if isinstance(entry, dict)]
    yield from (entry for key, entry in entries if key == symbol.key)
    yield from (entry for _, entry in entries if entry.get("symbol") == symbol.key)
    for name in ("product", "futureActiveSymbol"):
        yield from (entry for _, entry in entries if _reference(entry).get(name) == symbol.key)


def _reference(entry: dict[str, Any]) -> dict[str, Any]:
    reference = entry.get("reference")
    return reference if isinstance(reference, dict) else {}


def _contract(symbol: Symbol, entry: dict[str, Any]) -> str | None:
    if symbol.asset is not Asset.FUTURE:
        return None
    named = _reference(entry).get("futureActiveSymbol") if symbol.key == symbol.root else symbol.key
    return named if isinstance(named, str) else None


def _value(name: str, quote: Mapping[str, Any]) -> float | None:
    """A field of a tick; None when the quote does not have it, or has -999 for a value of the option model."""
    value = next((quote[wire_name] for wire_name in _NAMES[name] if wire_name in quote), None)
    number = _number(value, whole=name in _WHOLE)
    return None if name in MODEL_FIELDS and number == UNKNOWN else number


def _number(value: object, *, whole: bool = False) -> float | None:
    """The value when it is a number, an integer if ``whole``; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if whole and value == int(value) else None if whole else value
