"""Turns the entries of the screener services into ScreenerEvents, as dictionaries; pure (protocol 4.9).

Each entry is a whole list. A value of the wrong type is counted and becomes None; no input raises an exception.
"""

from collections import Counter
from contextlib import suppress
from typing import Any

from schwabstream.market.instruments import event_head
from schwabstream.protocol.values import whole
from schwabstream.report import Count

_TEXT, _NUMBER, _INTEGER = (str,), (float, int), (int,)
_ITEM_FIELDS = {
    "description": ("description", _TEXT),
    "last_price": ("lastPrice", _NUMBER),
    "net_change": ("netChange", _NUMBER),
    "net_percent_change": ("netPercentChange", _NUMBER),
    "market_share": ("marketShare", _NUMBER),
    "total_volume": ("totalVolume", _INTEGER),
    "volume": ("volume", _INTEGER),
    "trades": ("trades", _INTEGER),
}


def screener_event(entry: object, timestamp: int, received_us: int, counts: Counter[str]) -> dict[str, Any] | None:
    """The event of one entry; None for an entry that is not a list of a screener, which is counted."""
    if type(entry) is not dict or type(key := entry.get("key")) is not str or type(entry.get("4")) is not list:
        counts[Count.UNKNOWN_ENTRIES] += 1
        return None
    at = entry.get("1")
    head = event_head("screener", key, at if type(at) is int and at > 0 else timestamp, received_us)
    return head | {
        "sort": _value(entry.get("2"), _TEXT, counts),
        "frequency": _value(entry.get("3"), _INTEGER, counts),
        "items": [item for each in entry["4"] if (item := _item(each, counts)) is not None],
    }


def _item(given: object, counts: Counter[str]) -> dict[str, Any] | None:
    if type(given) is not dict or type(given.get("symbol")) is not str:
        counts[Count.BAD_VALUES] += 1
        return None
    values = {name: _value(given.get(theirs), types, counts) for name, (theirs, types) in _ITEM_FIELDS.items()}
    return {"symbol": given["symbol"], **values}


def _value(value: object, types: tuple[type, ...], counts: Counter[str]) -> object:
    if value is None or type(value) in types:
        return value
    if types is _INTEGER:
        with suppress(TypeError):
            return whole(value)
    counts[Count.BAD_VALUES] += 1
    return None
