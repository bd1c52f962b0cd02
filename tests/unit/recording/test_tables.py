"""Tables on disk: typed, whole or not there, never overwritten unasked."""

import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from schwabstream.errors import ConfigurationError
from schwabstream.recording.columns import BOOKS, TICKS
from schwabstream.recording.tables import table_file

MS, US = 1_795_228_667_123, 1_795_228_667_123_456
VENUES = [{"id": "NSDQ", "size": 5, "time_ms": None}]
LEVEL = (MS, US, "AAPL", "AAPL", "NASDAQ_BOOK", "book", 1, "bid", 1, 270.5, 5, 1, VENUES)


def tick(**values: object) -> tuple[object, ...]:
    """A row of the tick table."""
    known = {"timestamp": MS, "received": US, "symbol": "/NQ:XCME", "key": "/NQ"} | values
    return tuple(known.get(name) for name in TICKS.columns)


def test_parquet_has_types(tmp_path: Path) -> None:
    """Moments are moments in UTC, numbers numbers, unknown null; pandas and polars read the same."""
    with table_file(tmp_path, TICKS, "parquet", replace=False) as file:
        for number in range(45_000):
            file.add(tick(last_price=float(number), bid_size=number, is_trade=number % 2 == 0, trade_time=MS))
    assert file.rows == 45_000
    path = tmp_path / "ticks.parquet"
    schema = pq.read_schema(path)
    assert str(schema.field("timestamp").type) == "timestamp[ms, tz=UTC]"
    assert str(schema.field("received").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("bid_size").type) == "int64"
    frame = pd.read_parquet(path)
    assert frame["last_price"].sum() == sum(range(45_000))
    assert frame["timestamp"].iloc[0] == pd.Timestamp(MS, unit="ms", tz="UTC")
    assert pl.read_parquet(path)["is_trade"].sum() == 22_500
    assert pl.read_parquet(path)["mark"].null_count() == 45_000


def test_parquet_has_venues_as_lists(tmp_path: Path) -> None:
    """The makers behind a level are a list of records."""
    with table_file(tmp_path, BOOKS, "parquet", replace=False) as file:
        file.add(LEVEL)
    assert pl.read_parquet(tmp_path / "books.parquet")["venues"].to_list() == [VENUES]


def test_csv_is_read_back_with_its_types(tmp_path: Path) -> None:
    """ISO moments with all their digits, true and false, nothing for unknown, JSON for venues."""
    with table_file(tmp_path, TICKS, "csv", replace=False) as file:
        file.add(tick(last_price=0.1, is_trade=False))
    text = (tmp_path / "ticks.csv").read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith("2026-11-21T02:37:47.123Z,2026-11-21T02:37:47.123456Z,/NQ:XCME,/NQ,,,0.1,")
    frame = pd.read_csv(tmp_path / "ticks.csv", parse_dates=["timestamp", "received"])
    assert frame["received"].iloc[0] == pd.Timestamp(US, unit="us", tz="UTC")
    assert frame["is_trade"].iloc[0] == False  # noqa: E712 - numpy's own kind of False
    with table_file(tmp_path, BOOKS, "csv", replace=False) as file:
        file.add(LEVEL)
    assert pl.read_csv(tmp_path / "books.csv")["venues"].to_list() == ['[{"id":"NSDQ","size":5,"time_ms":null}]']


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_empty_table_has_its_columns(tmp_path: Path, form: str) -> None:
    """No bars is a table of bars without rows."""
    with table_file(tmp_path, BOOKS, form, replace=False):
        pass
    read = pl.read_parquet if form == "parquet" else pl.read_csv
    frame = read(tmp_path / f"books.{form}")
    assert (frame.height, frame.columns) == (0, list(BOOKS.columns))


def test_an_existing_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    """Exit 2 unless replacing was wanted."""
    (tmp_path / "ticks.csv").write_text("mine")
    with pytest.raises(ConfigurationError, match="--force"), table_file(tmp_path, TICKS, "csv", replace=False):
        pass
    assert (tmp_path / "ticks.csv").read_text() == "mine"
    with table_file(tmp_path, TICKS, "csv", replace=True):
        pass
    assert (tmp_path / "ticks.csv").read_text() != "mine"


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_file_is_whole_or_not_there(tmp_path: Path, form: str) -> None:
    """An export that fails leaves nothing behind, and an older file unchanged."""
    older = tmp_path / f"ticks.{form}"
    older.write_text("older")

    def fail() -> None:
        with table_file(tmp_path, TICKS, form, replace=True) as file:
            file.add(tick())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert sorted(tmp_path.glob("ticks*")) == [older]
    assert older.read_text() == "older"


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Exit 2, naming the file."""
    with (
        pytest.raises(ConfigurationError, match="cannot write"),
        table_file(tmp_path / "missing", TICKS, "csv", replace=False),
    ):
        pass


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing package is named, and the way without it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install pyarrow.*--to csv"),
        table_file(tmp_path, TICKS, "parquet", replace=False),
    ):
        pass
