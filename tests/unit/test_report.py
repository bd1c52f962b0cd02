"""The streamer's report of itself."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import schwabstream
from schwabstream.report import Histogram, StreamerReport, SymbolReport, parse_report


def report(**changes: object) -> StreamerReport:
    """A healthy report, with these changes."""
    healthy: dict[str, object] = {
        "state": "streaming",
        "since": 1,
        "reported": 2,
        "started": 1,
        "pid": 7,
        "host": "box",
        "version": "0.1",
        "symbols": [{"symbol": "/MNQ:XCME", "key": "/MNQ", "asset": "FUTURE", "fresh": True}],
    }
    return StreamerReport.model_validate({**healthy, **changes})


def test_a_report_survives_the_way_through_redis() -> None:
    """A written report reads back equal."""
    assert parse_report(report().model_dump_json()) == report()


def test_healthy_means_streaming_and_confirmed() -> None:
    """A streamer that waits, or a symbol not confirmed since the last reconnect, is not healthy."""
    assert report().healthy
    assert not report(state="waiting").healthy
    assert not report(symbols=[SymbolReport(symbol="A", key="A", asset="EQUITY")]).healthy


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({}, None),
        (
            {"refusing": ["p:stream:ticks", "p:last:ticks"]},
            (
                "Redis refuses writes to p:stream:ticks, p:last:ticks: "
                "allow them in the ACL of the streamer's Redis user, or rename a key of another type"
            ),
        ),
        (
            {"symbols": [{"symbol": name, "key": name, "asset": "EQUITY", "fresh": name == "A"} for name in "ABC"]},
            "2 of 3 symbols without data",
        ),
    ],
)
def test_trouble_is_said_in_words(changes: dict[str, object], trouble: str | None) -> None:
    """A streamer that streams and is not healthy has a reason; a healthy one has none."""
    assert report(**changes).trouble == trouble
    assert report(**changes).healthy is (trouble is None)


def test_a_wish_for_a_symbol_without_data_is_no_trouble() -> None:
    """Only configured symbols decide on health: a request for a symbol that does not exist alerts nobody."""
    nothing = {"symbol": "ZZZZ", "key": "ZZZZ", "asset": "EQUITY", "source": "wanted"}
    assert report(symbols=[nothing]).healthy


def test_a_symbol_is_found_by_its_alias() -> None:
    """The alias of the events finds its report; another finds nothing."""
    found = report().symbol("/MNQ:XCME")
    assert found is not None
    assert found.key == "/MNQ"
    assert report().symbol("/MNQ") is None


def test_a_value_that_is_not_a_report_is_refused() -> None:
    """A value of another shape raises rather than passing for a report."""
    with pytest.raises(ValidationError):
        parse_report(b'{"state": "asleep"}')


@pytest.mark.parametrize("room", ["protocol", "market", "streaming", "publishing", "monitoring"])
def test_what_the_report_counts_is_named_once(room: str) -> None:
    """A counter that stands in the report is named by ``Count``: a slip of the pen would count beside it, unseen."""
    sources = (Path(schwabstream.__file__).parent / room).glob("*.py")
    assert [path.name for path in sources if 'counts["' in path.read_text(encoding="utf-8")] == []


@given(st.lists(st.floats(min_value=0, max_value=1e6)))
def test_histogram_counts_each_value_once(values: list[float]) -> None:
    """Every value lands in exactly one place: the first whose bound it does not exceed."""
    histogram = Histogram((1.0, 10.0, 100.0))
    for value in values:
        histogram.add(value)
    assert sum(histogram.counts) == len(values)
    assert histogram.counts[0] == sum(value <= 1 for value in values)
    assert histogram.counts[-1] == sum(value > 100 for value in values)
    assert math.isclose(histogram.total, sum(values))
