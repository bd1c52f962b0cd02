"""Events as rows: one for a tick or a bar, one for each level of a book, with the columns of the tables."""

import pytest

from schwabstream.events import BarEvent, Channel, Level, TickEvent
from schwabstream.recording.columns import BARS, BOOKS, TABLES, TICKS, rows

COMMON = {"timestamp": 1, "received_us": 2, "symbol": "/NQ:XCME", "key": "/NQ"}


def test_every_field_of_an_event_has_its_column() -> None:
    """The tables have every field of the events, except for those that only streaming needs."""
    streaming_only = {"v", "type", "seq", "prev", "repeat"}
    names = {"received_us": "received"}
    for model, table in ((TickEvent, TICKS), (BarEvent, BARS)):
        fields = {names.get(name, name) for name in model.model_fields} - streaming_only
        assert fields == set(table.columns)
    assert set(Level.model_fields) <= set(BOOKS.columns)


def test_columns_of_ticks_and_bars_stay() -> None:
    """Programs read the files by these names, in this order, with these types."""
    common = "timestamp:ms received:us symbol:text key:text "
    ticks = (
        "asset:text contract:text last_price:float last_size:int bid_price:float bid_size:int ask_price:float "
        "ask_size:int total_volume:int open_price:float high_price:float low_price:float close_price:float "
        "net_change:float mark:float open_interest:int trade_time:ms quote_time:ms is_trade:bool delayed:bool "
        "percent_change:float security_status:text delta:float gamma:float theta:float vega:float rho:float "
        "implied_volatility:float theoretical_value:float underlying_price:float"
    )
    bars = "open:float high:float low:float close:float volume:float sequence:int chart_day:int"
    for table, columns in ((TICKS, common + ticks), (BARS, common + bars)):
        assert [f"{name}:{kind}" for name, kind in table.columns.items()] == columns.split()


def test_a_tick_is_a_row() -> None:
    """Values are in the order of the columns; an absent one is None."""
    (row,) = rows(Channel.TICKS, COMMON | {"last_price": 1.5, "is_trade": True}, 1)
    found = dict(zip(TICKS.columns, row, strict=True))
    assert (found["received"], found["symbol"], found["last_price"], found["is_trade"]) == (2, "/NQ:XCME", 1.5, True)
    assert found["mark"] is None


def test_a_book_is_a_row_for_each_level() -> None:
    """Side and level give the place; the book's number joins the rows of one book."""
    level = {"price": 1.0, "size": 5, "makers": 1, "venues": [{"id": "NSDQ", "size": 5, "time_ms": 7}]}
    event = COMMON | {"service": "NASDAQ_BOOK", "source": "book", "bids": [level, level], "asks": [level]}
    found = [dict(zip(BOOKS.columns, row, strict=True)) for row in rows(Channel.LEVEL2, event, 42)]
    places = [(row["side"], row["level"], row["book"]) for row in found]
    assert places == [("bid", 1, 42), ("bid", 2, 42), ("ask", 1, 42)]
    assert found[2]["venues"] == level["venues"]


def test_an_empty_book_has_no_rows() -> None:
    """A book without levels is nothing in a table of levels."""
    event = COMMON | {"service": "NASDAQ_BOOK", "source": "book", "bids": [], "asks": []}
    assert list(rows(Channel.LEVEL2, event, 1)) == []


@pytest.mark.parametrize("channel", TABLES)
def test_common_columns_come_first(channel: Channel) -> None:
    """When, when it arrived, and what: in every table alike."""
    assert list(TABLES[channel].columns)[:4] == ["timestamp", "received", "symbol", "key"]
