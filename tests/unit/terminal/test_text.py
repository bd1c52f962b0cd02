"""Numbers, times and foreign text as shown."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.terminal import text


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (1234, "1,234 events")]
)
def test_one_is_singular(number: int, shown: str) -> None:
    """One of a thing is in the singular, any other number in the plural."""
    assert text.counted(number, "event") == shown


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (None, 2, "–"),
        (25210.5, 2, "25,210.50"),
        (0.1 + 0.2, 1, "0.3"),
        (221.133, 2, "221.133"),
        (110.578125, 6, "110.578125"),
        (-1.5, 2, "-1.50"),
        (0.0, 2, "0.00"),
        (1 / 3, 2, "0.333333"),
    ],
)
def test_prices_show_their_decimals_and_no_float_noise(value: float | None, decimals: int, shown: str) -> None:
    """A price has its instrument's decimals, more only when it truly has them."""
    assert text.price(value, decimals) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (1.5, "+1.50"), (-1.5, "-1.50"), (0.0, "0.00"), (1000.25, "+1,000.25")]
)
def test_changes_have_a_sign(value: float | None, shown: str) -> None:
    """A rise has a plus, no change has none."""
    assert text.signed(value, 2) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0.244, "+0.24%"), (-0.001, "0.00%"), (-3.0, "-3.00%")])
def test_percentages(value: float | None, shown: str) -> None:
    """Two decimals; what rounds to nothing has no sign."""
    assert text.percent(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (0, "0"), (1234567, "1,234,567"), (1.5, "1.5")])
def test_counts(value: float | None, shown: str) -> None:
    """Thousands are separated; unknown is a dash, never 0."""
    assert text.count(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0.0s"), (0.44, "0.4s"), (9.96, "10.0s"), (12, "12s"), (185, "3m05"), (7800, "2h10"), (5 * 86_400, "5d")],
)
def test_ages_are_short(seconds: float, shown: str) -> None:
    """A span takes at most five characters."""
    assert text.age(seconds) == shown
    assert len(shown) <= 5


@given(st.integers(-(10**18), 10**18))
def test_any_number_of_milliseconds_is_a_time_or_unknown(milliseconds: int) -> None:
    """A time out of any calendar is unknown, not an error."""
    assert text.clock(milliseconds, 1_790_000_000.0, UTC)


def test_clock_shows_the_date_of_another_day() -> None:
    """Today's trades show their time, older ones their date."""
    now_s = 1_790_000_000.0
    assert text.clock(1_790_000_000_000, now_s, UTC) == "14:13:20"
    assert text.clock(1_789_000_000_000, now_s, UTC) == "2026-09-10"
    assert text.clock(None, now_s) == "–"
    assert text.clock(0, now_s) == "–"


def test_services_are_short_words_and_unknown_ones_keep_their_names() -> None:
    """Each kind of service is one word, once; a name that Schwab has added since is shown as it is."""
    names = (
        "LEVELONE_EQUITIES",
        "NYSE_BOOK",
        "NASDAQ_BOOK",
        "CHART_EQUITY",
        "SCREENER_OPTION",
        "ACCT_ACTIVITY",
        "NEW_A",
    )
    assert text.services(names) == "level 1, book, bars, screener, account, NEW_A"
