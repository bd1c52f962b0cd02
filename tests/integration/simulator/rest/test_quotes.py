"""Quotes from the simulator's REST API in the shape of each asset (protocol 2.2)."""

import datetime as dt

import pytest

from tests.support.simulator_clients import Web


async def test_quotes_of_equities_and_futures_have_their_shapes(web: Web) -> None:
    """Equities and futures have their own reference and quote members; unknown symbols are listed beside them."""
    answer = (await web.get("/marketdata/v1/quotes", symbols="AAPL,BRK/B,/MES,/ESH27,XYZZY,$SPX,/NQ:XCME")).json()
    assert answer["errors"] == {"invalidSymbols": ["XYZZY", "/NQ:XCME"]}
    assert set(answer) == {"AAPL", "BRK/B", "/MESZ26", "/ESH27", "$SPX", "errors"}
    equity, future = answer["AAPL"], answer["/MESZ26"]
    assert (equity["assetMainType"], equity["assetSubType"], equity["quoteType"]) == ("EQUITY", "COE", "NBBO")
    assert (equity["reference"]["exchange"], equity["reference"]["exchangeName"]) == ("Q", "NASDAQ")
    assert answer["BRK/B"]["reference"]["exchangeName"] == "NYSE"
    assert equity["quote"]["bidPrice"] < equity["quote"]["askPrice"]
    assert set(equity) >= {"fundamental", "quote", "reference", "regular", "extended"}
    assert (future["symbol"], future["reference"]["product"]) == ("/MESZ26", "/MES")
    assert future["reference"]["futureActiveSymbol"] == "/MESZ26"
    assert future["reference"]["futureMultiplier"] == 5
    quote = future["quote"]
    assert (quote["tick"], quote["tickAmount"]) == (0.25, 1.25)
    # A percentage, as in the stream (trap T16).
    assert quote["futurePercentChange"] == pytest.approx(100 * quote["netChange"] / quote["closePrice"], abs=1e-6)
    assert answer["$SPX"]["assetMainType"] == "INDEX"


async def test_any_ticker_is_quoted_but_those_a_test_names(web: Web) -> None:
    """REST has a price for every valid ticker; the switch, and a few names by default, make Schwab not know one."""
    answer = (await web.get("/marketdata/v1/quotes", symbols="INTC,KO,XYZZY,USD/JPY,NOSUCH")).json()
    assert set(answer) == {"INTC", "KO", "USD/JPY", "errors"}
    assert answer["errors"] == {"invalidSymbols": ["XYZZY", "NOSUCH"]}
    web.faults.unknown_keys = {"INTC"}
    answer = (await web.get("/marketdata/v1/quotes", symbols="INTC,KO,XYZZY")).json()
    assert answer["errors"] == {"invalidSymbols": ["INTC"]}
    assert (await web.get("/marketdata/v1/INTC/quotes")).status_code == 404


async def test_an_option_is_quoted_with_its_terms(web: Web) -> None:
    """An option's quote has its value and its reference the terms of the contract, in Schwab's words (protocol 2.2)."""
    key = "AAPL  261218C00270000"
    entry = (await web.get("/marketdata/v1/quotes", symbols=key)).json()[key]
    quote, reference = entry["quote"], entry["reference"]
    assert quote["underlyingPrice"] - reference["strikePrice"] == pytest.approx(quote["moneyIntrinsicValue"])
    assert quote["timeValue"] == pytest.approx(quote["lastPrice"] - quote["moneyIntrinsicValue"])
    assert quote["markChange"] == pytest.approx(quote["mark"] - quote["closePrice"])
    assert reference["description"] == "APPLE INC 12/18/2026 $270 Call"
    assert (reference["contractType"], reference["underlying"], reference["exerciseType"]) == ("C", "AAPL", "A")
    assert (reference["expirationYear"], reference["expirationMonth"], reference["expirationDay"]) == (2026, 12, 18)
    assert (reference["daysToExpiration"], reference["deliverables"], reference["isPennyPilot"]) == (
        28,
        "100 AAPL",
        True,
    )
    assert (reference["settlementType"], reference["uvExpirationType"], reference["multiplier"]) == ("P", "S", 100)
    assert reference["lastTradingDay"] == int(dt.datetime(2026, 12, 19, tzinfo=dt.UTC).timestamp()) * 1000


async def test_a_future_option_is_quoted(web: Web) -> None:
    """An option on a future has its own members, and its future under ``reference.underlying`` (protocol 2.2)."""
    entry = (await web.get("/marketdata/v1/quotes", symbols="./ESZ26C6900")).json()["./ESZ26C6900"]
    assert (entry["assetMainType"], entry["symbol"]) == ("FUTURE_OPTION", "./ESZ26C6900")
    assert entry["quote"]["bidPrice"] < entry["quote"]["askPrice"]
    reference = entry["reference"]
    assert (reference["contractType"], reference["strikePrice"], reference["underlying"]) == ("C", 6900, "/ESZ26")
    assert (reference["exchange"], reference["exchangeName"], reference["multiplier"]) == ("@", "XCME", 50)


async def test_the_key_of_a_root_is_a_switch(web: Web) -> None:
    """A root answers under its contract, as TD Ameritrade did, or under itself (protocol 2.2)."""
    web.faults.root_quote_key = "root"
    answer = (await web.get("/marketdata/v1/quotes", symbols="/MES", fields="reference")).json()
    assert answer["/MES"]["symbol"] == "/MES"
    assert answer["/MES"]["reference"]["futureActiveSymbol"] == "/MESZ26"
    assert "quote" not in answer["/MES"]
