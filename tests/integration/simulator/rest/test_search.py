"""Instruments over HTTP, by every projection (protocol 2.5)."""

import pytest

from tests.support.simulator_clients import Web

PATH = "/marketdata/v1/instruments"
APPLE = {
    "cusip": "037833100",
    "symbol": "AAPL",
    "description": "APPLE INC",
    "exchange": "NASDAQ",
    "assetType": "EQUITY",
}


@pytest.mark.parametrize(
    ("projection", "symbol", "found"),
    [
        ("symbol-search", "AAPL,XYZZY,SPY", ["AAPL", "SPY"]),
        ("symbol-search", "XYZZY", []),
        ("symbol-regex", "A.*L", ["AAPL"]),
        ("desc-search", "apple", ["AAPL"]),
        ("desc-regex", "^AMAZON.*INC$", ["AMZN"]),
        ("search", "nvda", ["NVDA"]),
        ("fundamental", "AAPL", ["AAPL"]),
    ],
)
async def test_projections(web: Web, projection: str, symbol: str, found: list[str]) -> None:
    """Exact symbols, expressions of symbol and description, words; what is not found is left out."""
    answer = await web.get(PATH, symbol=symbol, projection=projection)
    assert answer.status_code == 200
    assert [each["symbol"] for each in answer.json()["instruments"]] == found


async def test_an_instrument_by_symbol_and_by_cusip(web: Web) -> None:
    """The same object in a list and alone; an unknown CUSIP is a 404."""
    assert (await web.get(PATH, symbol="AAPL", projection="symbol-search")).json() == {"instruments": [APPLE]}
    assert (await web.get(f"{PATH}/037833100")).json() == APPLE
    assert (await web.get(f"{PATH}/000000001")).status_code == 404


async def test_fundamentals_agree_with_level_1(web: Web) -> None:
    """The block has the 52 weeks and the ratio that level 1 has, and every name that clients look for."""
    answer = (await web.get(PATH, symbol="AAPL", projection="fundamental")).json()["instruments"][0]
    quote = (await web.get("/marketdata/v1/quotes", symbols="AAPL")).json()["AAPL"]
    block = answer.pop("fundamental")
    assert answer == APPLE
    assert (block["high52"], block["low52"]) == (quote["quote"]["52WeekHigh"], quote["quote"]["52WeekLow"])
    assert block["peRatio"] == quote["fundamental"]["peRatio"]
    assert {"marketCap", "beta", "eps", "returnOnEquity", "vol10DayAvg", "dividendYield"} <= set(block)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"symbol": "AAPL"}, "projection"),
        ({"symbol": "AAPL", "projection": "guess"}, "projection"),
        ({"projection": "search"}, "symbol"),
        ({"symbol": "(", "projection": "symbol-regex"}, "symbol"),
    ],
)
async def test_wrong_parameters_are_refused(web: Web, query: dict[str, str], parameter: str) -> None:
    """400 with the parameter at fault."""
    answer = await web.get(PATH, **query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": parameter}
