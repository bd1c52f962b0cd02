"""The field tables against an independent transcription: schwab-py's enums."""

from collections import defaultdict
from enum import IntEnum
from typing import TYPE_CHECKING

import pytest
from schwab.streaming import StreamClient

from schwabstream.protocol.fields import FIELDS, Field, Service, field_numbers

if TYPE_CHECKING:
    from schwabstream.protocol.values import Kind

RENAMED = {
    "CHANGE_PERCENT": "percent_change",
    "FUTURE_ACTIVE_SYMBOL": "active_contract",
    "FUTURE_CHANGE_PERCENT": "percent_change",
    "FUTURE_EXPIRATION_DATE": "expiration_date",
    "FUTURE_IS_ACTIVE": "is_active",
    "FUTURE_IS_TRADABLE": "is_tradable",
    "FUTURE_MULTIPLIER": "multiplier",
    "FUTURE_PRICE_FORMAT": "price_format",
    "FUTURE_SETTLEMENT_PRICE": "settlement_price",
    "FUTURE_TRADING_HOURS": "trading_hours",
    "HARD_TO_BORROW": "is_hard_to_borrow",
    "HTB_QUANTITY": "hard_to_borrow_quantity",
    "HTB_RATE": "hard_to_borrow_rate",
    "INDICATIVE_ASKING_PRICE": "indicative_ask_price",
    "IS_PENNY": "is_penny_pilot",
    "MARGINABLE": "is_marginable",
    "MARK_CHANGE_PERCENT": "mark_percent_change",
    "NET_CHANGE_PERCENT": "percent_change",
    "NET_PERCENT_CHANGE": "percent_change",
    "POST_MARKET_NET_CHANGE_PERCENT": "post_market_percent_change",
    "QUOTED_IN_SESSION": "is_quoted_in_session",
    "REGULAR_MARKET_CHANGE_PERCENT": "regular_market_percent_change",
    "REGULAR_MARKET_QUOTE": "is_regular_market_quote",
    "REGULAR_MARKET_TRADE": "is_regular_market_trade",
    "REGULAR_MARKET_TRADE_MILLIS": "regular_market_trade_time",
    "SUBSCRIPTION_KEY": "symbol",
    "THEORETICAL_OPTION_VALUE": "theoretical_value",
    "UNDERLYING": "underlying_symbol",
    "VOLATILITY": "implied_volatility",
}
"""Where our name is not schwab-py's in lower case; the meaning is the same."""

BEYOND_BOTH = {Service.LEVELONE_EQUITIES: {52, 53, 54, 55, 56}}
"""Equity fields 52 to 56 are in neither the guide nor schwab-py (4.11)."""

WRONG_IN_SCHWAB_PY = {(Service.LEVELONE_OPTIONS, 20): ("STRIKE_TYPE", "strike_price")}
"""schwab-py calls option field 20 STRIKE_TYPE; the guide and the wire say strike price (4.11)."""

TWINS: dict[Service, type[IntEnum]] = {
    Service.LEVELONE_EQUITIES: StreamClient.LevelOneEquityFields,
    Service.LEVELONE_OPTIONS: StreamClient.LevelOneOptionFields,
    Service.LEVELONE_FUTURES: StreamClient.LevelOneFuturesFields,
    Service.LEVELONE_FUTURES_OPTIONS: StreamClient.LevelOneFuturesOptionsFields,
    Service.LEVELONE_FOREX: StreamClient.LevelOneForexFields,
    Service.NYSE_BOOK: StreamClient.BookFields,
    Service.NASDAQ_BOOK: StreamClient.BookFields,
    Service.OPTIONS_BOOK: StreamClient.BookFields,
    Service.FUTURES_BOOK: StreamClient.BookFields,
    Service.CHART_EQUITY: StreamClient.ChartEquityFields,
    Service.CHART_FUTURES: StreamClient.ChartFuturesFields,
    Service.SCREENER_EQUITY: StreamClient.ScreenerFields,
    Service.SCREENER_OPTION: StreamClient.ScreenerFields,
    Service.ACCT_ACTIVITY: StreamClient.AccountActivityFields,
}


def our_name(service: Service, number: int, theirs: str) -> str:
    """What schwab-py's name is called here."""
    if (service, number) in WRONG_IN_SCHWAB_PY:
        wrong, right = WRONG_IN_SCHWAB_PY[service, number]
        assert theirs == wrong, "schwab-py has changed: the exception is out of date"
        return right
    return RENAMED.get(theirs, theirs.lower().removesuffix("_millis"))


@pytest.mark.parametrize("service", TWINS, ids=str)
def test_every_number_has_the_meaning_of_schwab_py(service: Service) -> None:
    """Number by number our table equals schwab-py's, but for the exceptions stated above."""
    theirs = {int(m.value): our_name(service, int(m.value), m.name) for m in TWINS[service]}
    ours = {f.number: f.name for f in FIELDS[service] if f.number not in BEYOND_BOTH.get(service, ())}
    assert ours == theirs


def test_chart_equity_has_the_layout_of_the_wire() -> None:
    """CHART_EQUITY starts with the sequence, not with the open the guide publishes (4.7)."""
    assert [f.name for f in FIELDS[Service.CHART_EQUITY]] == [
        "symbol",
        "sequence",
        "open_price",
        "high_price",
        "low_price",
        "close_price",
        "volume",
        "chart_time",
        "chart_day",
    ]


def test_asks_before_bids_in_equity_venue_ids_only() -> None:
    """6 and 7 are ask id, bid id in equities, and bid id, ask id in futures and futures options (4.11)."""
    pairs = {s: tuple(f.name for f in FIELDS[s][6:8]) for s in Service if s.startswith("LEVELONE_")}
    assert pairs[Service.LEVELONE_EQUITIES] == ("ask_id", "bid_id")
    assert pairs[Service.LEVELONE_FUTURES] == pairs[Service.LEVELONE_FUTURES_OPTIONS] == ("bid_id", "ask_id")


def test_every_service_has_a_table_and_the_extra_equity_fields() -> None:
    """Every service has a table, and fields on the wire beyond the guide are in it."""
    assert set(FIELDS) == set(Service)
    assert {f.number for f in FIELDS[Service.LEVELONE_EQUITIES] if not f.official} == {52, 53, 54, 55, 56}


@pytest.mark.parametrize("table", FIELDS.values())
def test_numbers_are_ascending_and_names_unique(table: tuple[Field, ...]) -> None:
    """Within a table numbers run from 0 without holes and no name comes twice."""
    assert [f.number for f in table] == list(range(len(table)))
    assert len({f.name for f in table}) == len(table)


def test_a_name_has_one_kind_everywhere() -> None:
    """The same name never means two kinds of value in two services."""
    kinds: dict[str, set[Kind]] = defaultdict(set)
    for table in FIELDS.values():
        for field in table:
            kinds[field.name].add(field.kind)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_field_numbers_ascend_from_zero() -> None:
    """A subscription names all numbers, ascending, with 0 first (3.5)."""
    assert field_numbers(Service.CHART_FUTURES) == "0,1,2,3,4,5,6"
    assert field_numbers(Service.LEVELONE_FUTURES).startswith("0,1,2,")
    assert field_numbers(Service.ADMIN) == ""
