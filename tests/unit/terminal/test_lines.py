"""One update as a plain line."""

from datetime import date
from typing import Any

import pytest

from schwabstream.events import TickEvent
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.terminal.lines import quote_line
from schwabstream.terminal.watchlist import Watchlist

NOW = 1_790_000_000.0
NOW_MS = 1_790_000_000_000


def tick(key: str, last: float | None, **changes: Any) -> TickEvent:
    """A tick that arrived just now."""
    known = {"symbol": key, "key": key, "seq": 1, "timestamp": NOW_MS, "received_us": NOW_MS * 1000}
    return TickEvent.model_validate({**known, "asset": "FUTURE", "last_price": last, "is_trade": True, **changes})


@pytest.mark.usefixtures("utc")
def test_lines_for_pipes() -> None:
    """One update is one line without escape codes; a symbol without data has a line that states it."""
    shown = Watchlist(parse_symbols(["/MNQ:XCME", "NVDA", "EUR/USD"], date(2026, 11, 21)))
    nasdaq, nvidia, euro = shown.quotes
    touch = {"bid_price": 25211.25, "bid_size": 3, "ask_price": 25211.75, "ask_size": 15}
    shown.apply(tick("/MNQ", 25211.75, close_price=25150.0, total_volume=812_345, **touch), NOW)
    shown.apply(tick("NVDA", 178.7, delayed=True), NOW)
    assert quote_line(nasdaq, NOW) == (
        "14:13:20  /MNQ:XCME  25,211.75  +61.75  +0.25%  3 × 25,211.25  25,211.75 × 15  vol 812,345"
    )
    assert quote_line(nvidia, NOW).endswith("delayed")
    assert quote_line(euro, NOW) == "EUR/USD  no data yet"
    shown.apply(tick("EUR/USD", None, bid_price=1.1, ask_price=1.2, security_status="Halted"), NOW)
    assert quote_line(euro, NOW) == "14:13:20  EUR/USD  –  –  –  – × 1.10000  1.20000 × –  vol –  halted"
