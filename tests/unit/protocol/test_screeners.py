"""Tests for the names of screeners and the services they need."""

import pytest

from schwabstream.protocol.fields import Service
from schwabstream.protocol.screeners import FREQUENCIES, PREFIXES, SORTS, check_screeners, services_of


def test_every_combination_of_schwabs_words_is_a_screener() -> None:
    """Each prefix, sort and frequency of the protocol can be combined."""
    names = [f"{prefix}_{sort}_{frequency}" for prefix in PREFIXES for sort in SORTS for frequency in FREQUENCIES]
    assert check_screeners(names) == names
    assert len(names) == 330


def test_names_are_in_upper_case_and_without_duplicates() -> None:
    """A screener may be written in lower case; it is subscribed once."""
    assert check_screeners(["nyse_volume_5", "NYSE_VOLUME_5"]) == ["NYSE_VOLUME_5"]


@pytest.mark.parametrize(
    "name", ["", "NYSE", "NYSE_VOLUME", "NYSE_VOLUME_7", "NYSE_PRICE_5", "LSE_VOLUME_5", "SPX_VOLUME_5"]
)
def test_another_name_is_refused_with_what_exists(name: str) -> None:
    """The error names the position, and every prefix, sort and frequency, but not the value."""
    with pytest.raises(ValueError, match="name 2 is not a screener") as refused:
        check_screeners(["NYSE_VOLUME_5", name])
    assert all(word in str(refused.value) for word in (*PREFIXES, *SORTS, *FREQUENCIES))


def test_each_screener_goes_to_its_service() -> None:
    """Screeners of options have a service of their own, and account activity has one key."""
    names = ["NYSE_VOLUME_5", "OPTION_ALL_TRADES_60", "$SPX_PERCENT_CHANGE_UP_0"]
    assert services_of(names, account_activity=True) == {
        Service.SCREENER_EQUITY: ("NYSE_VOLUME_5", "$SPX_PERCENT_CHANGE_UP_0"),
        Service.SCREENER_OPTION: ("OPTION_ALL_TRADES_60",),
        Service.ACCT_ACTIVITY: ("Account Activity",),
    }
    assert services_of([], account_activity=False) == {}
