"""The figures that are counted per batch."""

import datetime as dt
from typing import Any

import pytest

from schwabstream.market.last_values import LastValues
from schwabstream.protocol.codec import Batch
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.streaming.meter import Meter

NOW_MS = 1_795_000_000_000


def market() -> LastValues:
    """Two futures."""
    return LastValues(parse_symbols(["/MNQ", "/MES"], dt.date(2026, 11, 20)), lambda _channel, _event: None)


def feed(meter: Meter, state: LastValues, service: str, content: list[Any], received_ms: int, bytes_total: int) -> None:
    """Merge and count one batch, as the feed does."""
    batch = Batch(service, received_ms, content)
    state.apply(batch, received_ms * 1000)
    meter.note(batch, state.instruments, received_ms * 1000, bytes_total)


def test_flow_is_counted_by_service_and_over_sessions() -> None:
    """Frames, entries and bytes add up per service; a new connection's bytes start at 0."""
    meter, state = Meter(), market()
    feed(meter, state, "LEVELONE_FUTURES", [{"key": "/MNQ", "3": 1.0}, {"key": "/MES", "3": 2.0}], NOW_MS, 100)
    feed(meter, state, "CHART_FUTURES", [], NOW_MS, 130)
    meter.begin_session()
    feed(meter, state, "LEVELONE_FUTURES", [{"key": "/MNQ", "3": 1.0}], NOW_MS, 50)
    level_one, charts = meter.flows["LEVELONE_FUTURES"], meter.flows["CHART_FUTURES"]
    assert (level_one.frames, level_one.events, level_one.bytes) == (2, 3, 150)
    assert (charts.frames, charts.events, charts.bytes) == (1, 0, 30)


def test_services_that_do_not_exist_are_one() -> None:
    """The unknown names of a broken streamer make one series."""
    meter, state = Meter(), market()
    for number in range(100):
        feed(meter, state, f"NONSENSE_{number}", [{"key": "/MNQ"}], NOW_MS, 10 * number)
    assert list(meter.flows) == ["OTHER"]
    assert meter.flows["OTHER"].frames == 100


@pytest.mark.parametrize(("late_ms", "lag_s"), [(40, 0.04), (-40, 0.0)])
def test_lag_is_from_the_exchange_to_here(late_ms: int, lag_s: float) -> None:
    """The lag of a change is measured by its quote or trade time; a clock that is behind counts as no lag."""
    meter, state = Meter(), market()
    feed(meter, state, "LEVELONE_FUTURES", [{"key": "/MNQ", "3": 1.0, "10": NOW_MS - late_ms}], NOW_MS, 0)
    assert sum(meter.exchange_lag.counts) == 1
    assert meter.exchange_lag.total == pytest.approx(lag_s)


def test_lag_is_sampled() -> None:
    """Every eighth batch is looked at, so that looking costs the others nothing."""
    meter, state = Meter(), market()
    for _ in range(80):
        feed(meter, state, "LEVELONE_FUTURES", [{"key": "/MNQ", "3": 1.0, "10": NOW_MS}], NOW_MS, 0)
    assert sum(meter.exchange_lag.counts) == 10


@pytest.mark.parametrize(
    "entry",
    [
        {"key": "/MNQ", "delayed": False, "3": 1.0, "10": NOW_MS - 86_400_000},
        {"key": "/ES", "3": 1.0},
        {"key": ["/MNQ"]},
        {"3": 1.0},
        "nonsense",
        None,
    ],
)
def test_snapshots_and_nonsense_have_no_lag(entry: Any) -> None:
    """A snapshot's times may be days old and a broken entry has none: neither is a sample."""
    meter, state = Meter(), market()
    feed(meter, state, "LEVELONE_FUTURES", [entry], NOW_MS, 0)
    assert sum(meter.exchange_lag.counts) == 0
