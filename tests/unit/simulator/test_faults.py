"""The switches."""

import dataclasses

import pytest

from schwabstream.simulator.faults import Faults, matches


def test_json_sets_only_what_it_names() -> None:
    """A change leaves every other switch as it was, and takes JSON's forms of sets and pairs."""
    faults = Faults(max_keys=3)
    faults.apply({"silent_keys": ["/NQ", "/ES"], "drop_every_s": [30, 120], "login_code": 12})
    assert faults == Faults(max_keys=3, silent_keys={"/NQ", "/ES"}, drop_every_s=(30.0, 120.0), login_code=12)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"no_such": 1}, "no such fault: no_such"),
        ({"login_code": "three"}, "login_code"),
        ({"token_error": "teapot"}, "token_error"),
        ({"max_keys": 5, "heartbeats": "often"}, "heartbeats"),
    ],
)
def test_wrong_json_changes_nothing(changes: dict[str, object], complaint: str) -> None:
    """An unknown name or a wrong type is named, and the rest of the change is not taken either."""
    faults = Faults()
    with pytest.raises(ValueError, match=complaint):
        faults.apply(changes)
    assert faults == Faults()


def test_every_switch_survives_its_json() -> None:
    """What ``as_json`` gives can be applied again; reset returns to the defaults."""
    faults = Faults(silent_keys={"A"}, command_codes={"SUBS": 22}, drop_every_s=(1, 2), token_error="drop")
    again = Faults()
    again.apply(faults.as_json())
    assert again == faults
    again.reset()
    assert again == Faults()
    assert set(faults.as_json()) == {each.name for each in dataclasses.fields(Faults)}


def test_counted_errors_run_out() -> None:
    """``token_error_count`` errors and no more; without a count they continue."""
    faults = Faults(token_error="rate_limited", token_error_count=2)
    assert [faults.take_token_error() for _ in range(3)] == ["rate_limited", "rate_limited", None]
    faults = Faults(rest_error="server_error", rest_error_path="quotes", rest_error_count=1)
    assert faults.take_rest_error("/trader/v1/userPreference") is None
    assert faults.take_rest_error("/marketdata/v1/quotes") == "server_error"
    assert faults.take_rest_error("/marketdata/v1/quotes") is None


def test_the_most_special_match_wins() -> None:
    """A service's command goes before the service, the service before the command."""
    patterns = {"SUBS": 22, "NYSE_BOOK": 11, "NYSE_BOOK SUBS": 9}
    assert matches(patterns, "NYSE_BOOK", "SUBS") == "NYSE_BOOK SUBS"
    assert matches(patterns, "NYSE_BOOK", "ADD") == "NYSE_BOOK"
    assert matches(patterns, "CHART_EQUITY", "SUBS") == "SUBS"
    assert matches(patterns, "CHART_EQUITY", "ADD") is None
