"""The dashboards and the alert rules ask for what a run exposes."""

import json
import re
from pathlib import Path

import pytest

from tests.support.dashboards import OPERATIONS, Series, panels, rules, series_of, unmatched, variables
from tests.support.watched_run import WatchedRun

BOARDS = ("grafana.json", "grafana-market.json")
RULES = ("schwabstream.rules.yml", "schwabstream-market.rules.yml")


@pytest.fixture
def series(tmp_path: Path) -> list[Series]:
    """Everything that Prometheus has of a run that streams: both jobs, and whether each answers."""
    run = WatchedRun(tmp_path)
    run.stream()
    run.log_in()
    run.receive("AAPL", {"1": 100.0, "2": 100.1, "3": 100.05, "8": 1000, "12": 99.0, "32": "Halted"})
    scraped = series_of(run.monitor.exposition().decode(), "schwabstream")
    scraped += series_of(run.monitor.market_exposition().decode(), "schwabstream-market")
    return [*scraped, {"__name__": "up", "job": "schwabstream", "instance": "127.0.0.1:9123"}]


@pytest.mark.parametrize("board", BOARDS)
def test_every_panel_finds_series(series: list[Series], board: str) -> None:
    """Each expression, legend and variable of a dashboard matches series and labels that a run exposes."""
    found = list(panels(board))
    assert len({title for title, _ in found}) >= 10
    assert unmatched([*found, *variables(board)], series) == []


@pytest.mark.parametrize("file", RULES)
def test_every_alert_finds_series(series: list[Series], file: str) -> None:
    """Each selector of an alert matches series of a run."""
    found = list(rules(file))
    assert len(found) == (OPERATIONS / file).read_text().count("alert:")
    assert unmatched(found, series) == []


def test_the_panels_do_not_overlap() -> None:
    """Each dashboard is a grid of 24 columns whose cells belong to one panel at most; panels have different ids."""
    for board in BOARDS:
        layout = json.loads((OPERATIONS / board).read_text())["panels"]
        cells = [
            (x, y)
            for panel in layout
            for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24
        assert len({panel["id"] for panel in layout}) == len(layout)


def test_every_gauge_of_the_market_has_a_panel_and_a_description(series: list[Series]) -> None:
    """The dashboard of the market shows each gauge, and the page of the alerts explains it."""
    gauges = {each["__name__"] for each in series if each["__name__"].startswith("schwabstream_market_")}
    assert len(gauges) == 11
    for file in ("grafana-market.json", "alerts.md"):
        assert gauges - set(re.findall(r"schwabstream_market_\w+", (OPERATIONS / file).read_text())) == set(), file


def test_a_selector_without_series_is_reported(series: list[Series]) -> None:
    """The check itself notices a misspelt metric, a label with another value, and a legend without its label."""
    wrong = [
        ("name", "schwabstream_stat"),
        ("value", 'schwabstream_state{state="asleep"}'),
        ("legend", "schwabstream_healthy {{symbol}}"),
    ]
    assert unmatched(wrong, series) == [
        "name: schwabstream_stat{}",
        'value: schwabstream_state{state="asleep"}',
        "legend: label symbol",
    ]
