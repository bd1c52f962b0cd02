"""Tests for ScreenerEvents."""

from collections import Counter
from typing import Any

import orjson
import pytest

from schwabstream.events import ScreenerEvent, parse_event
from schwabstream.market.screeners import screener_event

NOW_MS = 1_765_307_298_000
ROW = {
    "symbol": "NVDA",
    "description": "NVIDIA CORP",
    "lastPrice": 184.97,
    "netChange": 1.2,
    "netPercentChange": 0.0065,
    "marketShare": 3.1,
    "totalVolume": 9_000,
    "volume": 280,
    "trades": 12,
}


def entry(*rows: object, **more: Any) -> dict[str, Any]:
    """One entry of a screener service."""
    return {"key": "NASDAQ_VOLUME_30", "1": NOW_MS - 5, "2": "VOLUME", "3": 30, "4": list(rows)} | more


def event_of(given: object) -> tuple[ScreenerEvent | None, dict[str, int]]:
    """The event of an entry as a consumer gets it, and what was counted."""
    counts: Counter[str] = Counter()
    made = screener_event(given, NOW_MS, NOW_MS * 1000, counts)
    event = None if made is None else parse_event(orjson.dumps(made))
    assert event is None or isinstance(event, ScreenerEvent)
    return event, dict(counts)


def test_an_entry_becomes_an_event_with_typed_rows() -> None:
    """The event has the screener's name, its sort and period, and every field of its rows."""
    event, counts = event_of(entry(ROW, ROW | {"symbol": "AAPL"}))
    assert event is not None
    assert (event.symbol, event.key, event.sort, event.frequency) == ("NASDAQ_VOLUME_30",) * 2 + ("VOLUME", 30)
    assert event.timestamp == NOW_MS - 5
    assert [item.symbol for item in event.items] == ["NVDA", "AAPL"]
    assert event.items[0].model_dump() == {
        "symbol": "NVDA",
        "description": "NVIDIA CORP",
        "last_price": 184.97,
        "net_change": 1.2,
        "net_percent_change": 0.0065,
        "market_share": 3.1,
        "total_volume": 9_000,
        "volume": 280,
        "trades": 12,
    }
    assert counts == {}


def test_a_list_without_a_time_has_the_time_of_its_frame() -> None:
    """Until Schwab sends a time, the frame's own counts."""
    event, _ = event_of(entry(**{"1": None}))
    assert event is not None
    assert event.timestamp == NOW_MS


def test_wrong_values_are_counted_and_the_rest_stays() -> None:
    """A value of the wrong type is null, a row without a symbol is left out, and both are counted."""
    event, counts = event_of(entry(ROW | {"volume": "many", "trades": 12.0}, {"description": "x"}, 7, **{"3": "x"}))
    assert event is not None
    assert [(item.volume, item.trades) for item in event.items] == [(None, 12)]
    assert event.frequency is None
    assert counts == {"bad values": 4}


@pytest.mark.parametrize("given", [None, 7, [], {}, {"key": 7, "4": []}, {"key": "NYSE_VOLUME_5", "4": None}])
def test_what_is_no_list_is_counted(given: object) -> None:
    """An entry without a name or without rows gives no event."""
    assert event_of(given) == (None, {"unknown entries": 1})
