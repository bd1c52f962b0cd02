"""``stream export``: tables with a row for every event."""

from pathlib import Path

import orjson
import pytest

from schwabstream.commands.export import export
from schwabstream.errors import ConfigurationError
from schwabstream.recording.format import Header, Record, encode_header, encode_record
from schwabstream.simulator import Faults, SchwabSimulator
from tests.support.recordings import PRICES, T0, frames, played, streaming, write
from tests.support.waiting import until


@pytest.mark.parametrize("form", ["parquet", "csv"])
async def test_an_export_holds_every_event(file: Path, tmp_path: Path, form: str) -> None:
    """Rows of ticks and bars as many as events, and one for each level of each book."""
    faults = Faults(changes_per_s=20, books_per_s=5)
    async with SchwabSimulator(faults=faults) as simulator, streaming(simulator, tmp_path, file) as (_, live):
        await until(lambda: len(live.lines) > 100)
    events = [orjson.loads(line) for line in played(file)]
    levels = sum(len(event["bids"]) + len(event["asks"]) for event in events if event["type"] == "level2")
    exported = export([file], form, tmp_path / "out")
    rows = {path.stem: count for path, count in exported.rows.items()}
    ticks, bars = (sum(event["type"] == kind for event in events) for kind in ("tick", "bar"))
    assert rows == {"ticks": ticks, "books": levels, "bars": bars}
    with pytest.raises(ConfigurationError, match="--force"):
        export([file], form, tmp_path / "out")
    assert export([file], form, tmp_path / "out", replace=True).rows == exported.rows


def test_screeners_have_no_table(file: Path, tmp_path: Path) -> None:
    """A recording with screeners is exported without them."""
    header = Header("1", ("/NQ:XCME",), (), "UTC", T0, part_us=T0)
    screener = next(
        frames({"key": "NYSE_VOLUME_5", "1": T0, "2": "VOLUME", "3": 5, "4": []}, service="SCREENER_EQUITY")
    )
    tick = next(frames(PRICES[0]))
    records = [encode_record(Record(at_us, "in", text)) for at_us, text in (screener, tick)]
    file.write_bytes(b"".join([encode_header(header), *records]))
    assert len(played(file)) == 2
    exported = export([file], "csv", tmp_path / "out")
    assert {path.stem: count for path, count in exported.rows.items()} == {"ticks": 1, "books": 0, "bars": 0}


def test_exporting_to_something_else_is_refused(file: Path, tmp_path: Path) -> None:
    """An unknown format is refused with the known ones; so is a file in place of the directory."""
    with pytest.raises(ConfigurationError, match="choose parquet or csv"):
        export([file], "xlsx", tmp_path)
    write(file, PRICES[:1])
    with pytest.raises(ConfigurationError, match="cannot write into"):
        export([file], "csv", file)
