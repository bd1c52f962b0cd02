"""The market as Prometheus gets it: values, what is left out, and the bound on symbols."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schwabstream.monitoring.market_gauges import MOST_SYMBOLS
from schwabstream.streaming.status import Status
from tests.support.watched_run import WatchedRun

AAPL = {"1": 100.0, "2": 100.1, "3": 100.05, "8": 1000, "12": 99.0, "18": 1.05, "32": "Normal"}


def samples(run: WatchedRun) -> dict[tuple[str, str], float]:
    """Every gauge, by its name without the prefix and its symbol."""
    families = text_string_to_metric_families(run.monitor.market_exposition().decode())
    found = [sample for family in families for sample in family.samples]
    return {
        (sample.name.removeprefix("schwabstream_market_"), sample.labels.get("symbol", "")): sample.value
        for sample in found
    }


@pytest.fixture
def run(tmp_path: Path) -> WatchedRun:
    """A run that streams."""
    started = WatchedRun(tmp_path)
    started.stream()
    return started


def test_gauges_are_the_last_values(run: WatchedRun) -> None:
    """Each gauge has the symbol as the user wrote it, and the newest value, without binary noise."""
    run.receive("AAPL", AAPL)
    run.receive("/MNQ", {"1": 25000.25, "2": 25000.5, "3": 25000.5}, "LEVELONE_FUTURES")
    found = samples(run)
    assert {name: value for (name, symbol), value in found.items() if symbol == "AAPL"} == {
        "session_open": 0,
        "price": 100.05,
        "bid": 100.0,
        "ask": 100.1,
        "spread": 0.1,
        "volume": 1000,
        "change": 1.05,
        "change_percent": pytest.approx(100 * 1.05 / 99),
        "halted": 0,
    }
    assert found["spread", "/MNQ:XCME"] == 0.25
    assert found["symbols", ""] == 2


def test_a_value_that_schwab_has_not_sent_is_absent(run: WatchedRun) -> None:
    """Without a bid, volume, close or status, there is no gauge of it: a chart shows a gap and not a zero."""
    run.receive("AAPL", {"1": 0, "2": 100.1, "3": 100.0})
    assert {name for name, symbol in samples(run) if symbol == "AAPL"} == {"session_open", "price", "ask"}


def test_a_change_that_schwab_has_not_sent_is_calculated(run: WatchedRun) -> None:
    """The change is the last price less the close where Schwab sends none, and its percentage is of the close."""
    run.receive("AAPL", {"3": 100.1, "12": 100.0})
    found = samples(run)
    assert (found["change", "AAPL"], found["change_percent", "AAPL"]) == (0.1, 0.1)


@pytest.mark.parametrize("close", [{}, {"12": 0}])
def test_a_change_without_a_close_has_no_percentage(run: WatchedRun, close: dict[str, object]) -> None:
    """Schwab's own change is shown; a percentage of nothing is not."""
    run.receive("AAPL", {"3": 100.1, "18": 1.0, **close})
    found = samples(run)
    assert found["change", "AAPL"] == 1.0
    assert ("change_percent", "AAPL") not in found


def test_a_halted_symbol_is_marked(run: WatchedRun) -> None:
    """A halt that Schwab reports is 1, for an alert."""
    run.receive("AAPL", AAPL | {"32": "Halted"})
    assert samples(run)["halted", "AAPL"] == 1


def test_prices_of_an_earlier_session_are_not_shown(run: WatchedRun) -> None:
    """From a reconnect until its first entry a symbol has no gauge, and none has one while the run does not stream."""
    run.client.market.begin_session()
    run.receive("AAPL", AAPL)
    assert {symbol for _, symbol in samples(run)} == {"", "AAPL"}
    run.client.announcer.state = Status.WAITING
    assert samples(run) == {("symbols", ""): 0, ("symbols_left_out", ""): 0}
    run.monitor.lead = None
    assert samples(run)["symbols", ""] == 0


def test_the_first_symbols_have_gauges_and_the_rest_are_counted(tmp_path: Path) -> None:
    """Above the limit the symbols that come first keep their gauges, and one gauge counts the others."""
    names = [f"{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(MOST_SYMBOLS + 3)]
    run = WatchedRun(tmp_path, *names)
    run.stream()
    for name in names:
        run.receive(name, AAPL)
    found = samples(run)
    assert [symbol for name, symbol in found if name == "price"] == names[:MOST_SYMBOLS]
    assert (found["symbols", ""], found["symbols_left_out", ""]) == (MOST_SYMBOLS, 3)


def test_two_aliases_of_a_key_are_one_symbol(tmp_path: Path) -> None:
    """A key has its gauges once, under the alias that was configured first."""
    run = WatchedRun(tmp_path, "/MNQ:XCME", "/MNQ")
    run.stream()
    assert {symbol for name, symbol in samples(run) if name == "price"} == {"/MNQ:XCME"}


def test_the_session_is_open_by_the_hours_of_the_product(tmp_path: Path) -> None:
    """On a Wednesday morning in New York the session of a share is open."""
    run = WatchedRun(tmp_path, now=1_795_014_000.0)
    run.stream()
    assert samples(run)["session_open", "AAPL"] == 1
