"""Option chains and expirations over HTTP (protocol 2.5)."""

import datetime as dt
from typing import Any

import pytest

from tests.support.simulator_clients import Web

PATH = "/marketdata/v1/chains"


async def chain(web: Web, **parameters: str) -> dict[str, Any]:
    """A chain of AAPL, or of the symbol given."""
    answer = await web.get(PATH, **{"symbol": "AAPL", **parameters})
    assert answer.status_code == 200
    return dict(answer.json())


def contracts(answer: dict[str, Any], side: str) -> list[dict[str, Any]]:
    """Every contract of a side, the strikes in order."""
    return [each for strikes in answer[f"{side}ExpDateMap"].values() for listed in strikes.values() for each in listed]


async def test_a_chain_has_calls_and_puts_of_every_expiration(web: Web) -> None:
    """Twenty strikes around the price on each expiration, both sides, counted; keys are date and days, and strikes."""
    answer = await chain(web)
    expirations = (await web.get("/marketdata/v1/expirationchain", symbol="AAPL")).json()["expirationList"]
    keys = [f"{each['expirationDate']}:{each['daysToExpiration']}" for each in expirations]
    assert (answer["status"], answer["isIndex"], answer["assetMainType"]) == ("SUCCESS", False, "EQUITY")
    assert list(answer["callExpDateMap"]) == list(answer["putExpDateMap"]) == keys
    assert (
        answer["numberOfContracts"] == 2 * 20 * len(keys) == len(contracts(answer, "call") + contracts(answer, "put"))
    )
    strikes = [float(strike) for strike in answer["callExpDateMap"][keys[0]]]
    assert min(strikes) < answer["underlyingPrice"] < max(strikes)


async def test_a_contract_has_the_prices_of_level_1(web: Web) -> None:
    """Bid, ask, greeks and the symbol agree with the quote of the contract."""
    answer = await chain(web, strikeCount="1", contractType="PUT", toDate="2026-11-27", fromDate="2026-11-27")
    found = contracts(answer, "put")[0]
    quote = (await web.get("/marketdata/v1/quotes", symbols=found["symbol"])).json()[found["symbol"]]
    same = {"bid": "bidPrice", "ask": "askPrice", "last": "lastPrice", "delta": "delta", "theta": "theta"}
    assert {name: found[name] for name in same} == {name: quote["quote"][rest] for name, rest in same.items()}
    assert found["symbol"] == f"AAPL  261127P{found['strikePrice'] * 1000:08.0f}"
    assert (found["putCall"], found["daysToExpiration"], found["expirationType"]) == ("PUT", 7, "W")
    assert found["expirationDate"] == "2026-11-27T20:00:00.000+00:00"
    assert answer["callExpDateMap"] == {}


@pytest.mark.parametrize("kind", ["call", "put"])
async def test_ranges_select_strikes(web: Web, kind: str) -> None:
    """In, at and out of the money."""
    inside, outside, near = [contracts(await chain(web, range=name), kind) for name in ("ITM", "OTM", "NTM")]
    assert all(each["inTheMoney"] for each in inside)
    assert not any(each["inTheMoney"] for each in outside)
    price = (await chain(web))["underlyingPrice"]
    assert all(abs(each["strikePrice"] / price - 1) <= 0.02 for each in near)
    assert len(inside) + len(outside) == len(contracts(await chain(web), kind))


async def test_the_underlying_comes_on_request(web: Web) -> None:
    """With includeUnderlyingQuote the quote of the share, otherwise null."""
    assert (await chain(web, strikeCount="1"))["underlying"] is None
    underlying = (await chain(web, strikeCount="1", includeUnderlyingQuote="true"))["underlying"]
    assert (underlying["symbol"], underlying["lastPrice"]) == ("AAPL", (await chain(web))["underlyingPrice"])


async def test_months_strikes_and_intervals(web: Web) -> None:
    """One month, one strike, and strikes further apart."""
    december = await chain(web, expMonth="DEC")
    assert {key[:7] for key in december["callExpDateMap"]} == {"2026-12"}
    one = contracts(await chain(web, strike="250", contractType="CALL"), "call")
    assert {each["strikePrice"] for each in one} == {250}
    wide = await chain(web, interval="2", strikeCount="3", contractType="CALL")
    strikes = [float(strike) for strike in next(iter(wide["callExpDateMap"].values()))]
    assert strikes[1] - strikes[0] == 10


async def test_an_analytical_chain_computes_with_the_callers_values(web: Web) -> None:
    """With ANALYTICAL, volatility, price and days of the query decide the theoretical value."""
    asked = {"strategy": "ANALYTICAL", "strike": "270", "contractType": "CALL", "toDate": "2026-11-27"}
    calm = contracts(await chain(web, **asked, volatility="10", daysToExpiration="30"), "call")[0]
    wild = contracts(await chain(web, **asked, volatility="80", daysToExpiration="30"), "call")[0]
    assert wild["theoreticalOptionValue"] > calm["theoreticalOptionValue"]
    rich = contracts(await chain(web, **asked, volatility="10", underlyingPrice="300"), "call")[0]
    assert rich["delta"] > 0.99


@pytest.mark.parametrize(
    "query", [{"symbol": "XYZZY"}, {"symbol": "/NQ"}, {"strategy": "VERTICAL"}, {"strikeCount": "0"}]
)
async def test_a_chain_without_contracts_has_failed(web: Web, query: dict[str, str]) -> None:
    """FAILED with empty maps for an unknown symbol, for one without options, and for strategies of several legs."""
    answer = await chain(web, **query)
    assert (answer["status"], answer["numberOfContracts"]) == ("FAILED", 0)
    assert answer["callExpDateMap"] == answer["putExpDateMap"] == {}


async def test_index_options_have_their_own_roots(web: Web) -> None:
    """Third Fridays of the S&P 500 have the root SPX, other Fridays SPXW."""
    listed = (await web.get("/marketdata/v1/expirationchain", symbol="$SPX")).json()["expirationList"]
    roots = {each["expirationDate"]: (each["optionRoots"], each["expirationType"]) for each in listed}
    assert roots["2026-12-11"] == ("SPXW", "W")
    assert roots["2026-12-18"] == ("SPX", "S")
    assert all(dt.date.fromisoformat(day).weekday() == 4 for day in roots)
    answer = await chain(web, symbol="$SPX", strikeCount="2", contractType="CALL")
    assert answer["isIndex"]
    assert {each["symbol"][:6].strip() for each in contracts(answer, "call")} == {"SPX", "SPXW"}


async def test_expirations_of_nothing(web: Web) -> None:
    """A symbol without options has an empty list; a missing one is refused."""
    assert (await web.get("/marketdata/v1/expirationchain", symbol="XYZZY")).json() == {"expirationList": []}
    assert (await web.get("/marketdata/v1/expirationchain")).status_code == 400


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("contractType", "BOTH"),
        ("strikeCount", "many"),
        ("strikeCount", "-1"),
        ("strategy", "HOPE"),
        ("range", "X"),
        ("fromDate", "tomorrow"),
        ("expMonth", "13"),
        ("interval", "nan"),
        ("includeUnderlyingQuote", "yes"),
        ("underlyingPrice", "-3"),
        ("volatility", "0"),
        ("daysToExpiration", "-1"),
        ("strike", "-1"),
        ("symbol", ""),
    ],
)
async def test_wrong_parameters_are_refused(web: Web, parameter: str, value: str) -> None:
    """400 with the parameter at fault."""
    answer = await web.get(PATH, **{"symbol": "AAPL", parameter: value})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": parameter}
