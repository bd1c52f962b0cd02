"""Comparing with a golden file: equal except for numbers and arrival, with the first difference explained."""

from pathlib import Path

import pytest

from schwabstream.errors import ConfigurationError
from schwabstream.recording.compare import Comparison, Difference

ONE = b'{"v":1,"type":"tick","symbol":"/NQ","seq":1,"timestamp":5,"received_us":7,"last_price":1.5,"mark":null}'
SAME = ONE.replace(b'"seq":1', b'"seq":99,"prev":98').replace(b'"received_us":7', b'"received_us":1')
OTHER = b'{"v":1,"type":"tick","symbol":"/NQ","seq":1,"timestamp":5,"received_us":7,"last_price":2,"bid_price":1}'
STATUS = b'{"v":1,"type":"status","seq":1,"state":"streaming"}'
REPEAT = ONE[:-1] + b',"repeat":true}'


def compare(golden: list[bytes], events: list[bytes], tmp_path: Path) -> Difference | None:
    """The first difference between a golden file and events."""
    path = tmp_path / "golden.events"
    path.write_bytes(b"".join(line + b"\n" for line in golden))
    comparison = Comparison(path)
    for event in events:
        comparison.take(event)
    comparison.finish()
    return comparison.difference


def test_numbers_and_arrival_do_not_count(tmp_path: Path) -> None:
    """``seq``, ``prev`` and ``received_us`` may differ; repeated ticks and status events are left out on both sides."""
    assert compare([ONE, STATUS, b"", REPEAT, ONE], [SAME, ONE], tmp_path) is None
    assert compare([ONE], [REPEAT, SAME], tmp_path) is None


def test_the_first_difference_is_explained_by_field(tmp_path: Path) -> None:
    """Which event, and each field with both values."""
    difference = compare([ONE, ONE, ONE], [SAME, OTHER, SAME], tmp_path)
    assert difference is not None
    assert difference.explain() == [
        "event 2 (tick /NQ) differs",
        "  last_price: expected 1.5, found 2",
        "  mark: expected null, found nothing",
        "  bid_price: expected nothing, found 1",
    ]


@pytest.mark.parametrize(
    ("golden", "events", "said"),
    [
        ([ONE], [ONE, SAME], "event 2: only the found side has it"),
        ([ONE, ONE], [SAME], "event 2: only the expected side has it"),
        ([], [ONE], "event 1: only the found side has it"),
    ],
)
def test_more_or_fewer_events_differ(golden: list[bytes], events: list[bytes], said: str, tmp_path: Path) -> None:
    """An event that one side lacks is the difference."""
    difference = compare(golden, events, tmp_path)
    assert difference is not None
    assert difference.explain()[0] == said


def test_the_same_values_in_another_form_differ(tmp_path: Path) -> None:
    """Byte for byte means byte for byte."""
    difference = compare([b'{"type":"tick","symbol":"X","a":1.0}'], [b'{"type":"tick","symbol":"X","a":1}'], tmp_path)
    assert difference is not None
    assert len(difference.explain()) == 3


def test_a_golden_file_that_is_none_differs_at_once(tmp_path: Path) -> None:
    """A line that is not JSON is shown unchanged."""
    difference = compare([b"not json"], [ONE], tmp_path)
    assert difference is not None
    assert difference.number == 1


def test_a_missing_golden_file_is_an_error(tmp_path: Path) -> None:
    """Exit 2, naming it."""
    with pytest.raises(ConfigurationError, match="cannot read"):
        Comparison(tmp_path / "missing").take(ONE)
