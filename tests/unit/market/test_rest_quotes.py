"""Quotes over REST as ticks."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.events import TickEvent
from schwabstream.market.rest_quotes import tick_of
from schwabstream.protocol.symbols import Symbol, parse_symbol

TODAY = date(2026, 11, 21)
NOW_US = 1_790_000_000_000_000
QUOTE = {
    "lastPrice": 4694.5,
    "lastSize": 3,
    "bidPrice": 4694.25,
    "tradeTime": 1637168671399,
    "quoteTime": 1637168671400,
}


def symbol(text: str) -> Symbol:
    """The symbol of a text."""
    return parse_symbol(text, TODAY)


def entry(**reference: Any) -> dict[str, Any]:
    """A future's entry."""
    return {"symbol": "/ESZ26", "realtime": True, "reference": reference, "quote": QUOTE}


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("/ES", {"/ES": entry(futureActiveSymbol="/ESZ26")}),
        ("/ES:XCME", {"/ESZ26": entry(product="/ES", futureActiveSymbol="/ESZ26")}),
        ("/ESZ26", {"odd": entry()}),
        ("/ESZ26", {"/ES": {**entry(futureActiveSymbol="/ESZ26"), "symbol": "/ES"}}),
    ],
)
def test_a_root_is_found_under_whatever_key_schwab_answers(text: str, quotes: dict[str, Any]) -> None:
    """Exact key, then symbol, then product, then active contract (2.2)."""
    tick = tick_of(symbol(text), quotes, NOW_US)
    assert tick is not None
    assert (tick.symbol, tick.last_price, tick.contract) == (text, 4694.5, "/ESZ26")
    assert (tick.timestamp, tick.received_us, tick.seq) == (1637168671400, NOW_US, 0)
    assert tick.delayed is False


@pytest.mark.parametrize(
    "quotes",
    [
        {},
        {"AAPL": None},
        {"AAPL": {}},
        {"AAPL": {"quote": None}},
        {"AAPL": {"quote": {"lastPrice": None}}},
        {"AAPL": {"quote": {"bidPrice": 1.5}}},
        {"AAPL": {"quote": {"lastPrice": True}}},
        {"MSFT": {"quote": {"lastPrice": 1.0}}, "errors": {"invalidSymbols": ["AAPL"]}},
    ],
)
def test_no_quote_is_none(quotes: dict[str, Any]) -> None:
    """An invalid symbol, or an entry without a last price and one side of the quote, gives no tick."""
    assert tick_of(symbol("AAPL"), quotes, NOW_US) is None


def test_odd_values_are_unknown_and_delay_is_marked() -> None:
    """A text or a fraction where a whole number belongs is unknown; no times means now."""
    quotes = {
        "AAPL": {"realtime": False, "quote": {"lastPrice": 1, "bidSize": 1.5, "askSize": "3", "totalVolume": 7.0}}
    }
    tick = tick_of(symbol("AAPL"), quotes, NOW_US)
    assert tick is not None
    assert (tick.bid_size, tick.ask_size, tick.total_volume) == (None, None, 7)
    assert tick.delayed is True
    assert tick.timestamp == NOW_US // 1000
    assert tick.contract is None


def test_an_option_has_the_values_of_its_model() -> None:
    """Greeks, volatility and theoretical value are read under the endpoint's names; -999 is null (trap T14)."""
    text = "AAPL  271217C00200000"
    quote = {"lastPrice": 1.5, "delta": 0.5, "vega": -999, "rho": -999.0, "volatility": 31.5, "underlyingPrice": 270}
    tick = tick_of(symbol(text), {text: {"quote": quote | {"theoreticalOptionValue": 1.625}}}, NOW_US)
    assert tick is not None
    assert (tick.delta, tick.vega, tick.rho, tick.gamma) == (0.5, None, None, None)
    assert (tick.implied_volatility, tick.theoretical_value, tick.underlying_price) == (31.5, 1.625, 270)


@pytest.mark.parametrize("name", ["netPercentChange", "futurePercentChange"])
def test_the_percent_change_has_two_names(name: str) -> None:
    """Futures have a name of their own for it."""
    tick = tick_of(
        symbol("AAPL"), {"AAPL": {"quote": {"lastPrice": 1, name: -0.85, "securityStatus": "Halted"}}}, NOW_US
    )
    assert tick is not None
    assert (tick.percent_change, tick.security_status) == (-0.85, "Halted")


def test_a_bid_and_an_ask_are_a_quote() -> None:
    """A symbol that has not traded has a tick without a last price."""
    tick = tick_of(symbol("AAPL"), {"AAPL": {"quote": {"bidPrice": 0, "askPrice": 0.05}}}, NOW_US)
    assert tick is not None
    assert (tick.bid_price, tick.ask_price, tick.last_price) == (0, 0.05, None)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["/ES", "quote", "reference", "product", "lastPrice", "bidSize", "realtime", "symbol"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["/ES", "AAPL", "errors"]), json, max_size=3))
def test_any_answer_is_a_tick_or_none(quotes: dict[str, Any]) -> None:
    """Any JSON is read without an exception."""
    assert isinstance(tick_of(symbol("/ES"), quotes, NOW_US), TickEvent | None)
