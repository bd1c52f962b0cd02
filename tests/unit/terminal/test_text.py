"""Numbers, times and foreign text as shown."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.protocol.notation import Notation
from schwabstream.terminal import text


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 events"), (1, "1 event"), (2, "2 events"), (1234, "1,234 events")]
)
def test_one_is_singular(number: int, shown: str) -> None:
    """One of a thing is in the singular, any other number in the plural."""
    assert text.counted(number, "event") == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("/MNQ:XCME", "/MNQ:XCME"), ("A" * 48, "A" * 48), ("A" * 49, "A" * 47 + "…"), ("\x1b[2J", "\\u001b[2J"), ("", "")],
)
def test_a_symbol_is_no_longer_than_symbols_can_be(name: str, shown: str) -> None:
    """A name in Redis that is no symbol leaves room for the other columns."""
    assert text.symbol(name) == shown


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
    assert text.price(value, Notation(decimals)) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (1.5, "+1.50"),
        (-1.5, "-1.50"),
        (0.0, "0.00"),
        (-0.0, "0.00"),
        (-1e-14, "0.00"),
        (1000.25, "+1,000.25"),
    ],
)
def test_changes_have_a_sign(value: float | None, shown: str) -> None:
    """A rise has a plus, no change has none."""
    assert text.signed(value, Notation(2)) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (5 / 64, "+0'025"), (-1 / 64, "-0'005"), (0.0, "0'000"), (1.0, "+1'000")]
)
def test_changes_in_32nds_have_a_sign(value: float | None, shown: str) -> None:
    """A change is written as the prices are."""
    assert text.signed(value, Notation(6, 32, parts=True)) == shown


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


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, ""),
        (1_790_000_000_000 + 3_600_000, "15:13"),
        (1_790_000_000_000 + 86_400_000, "Tue 14:13"),
        (1_790_000_000_000 + 6 * 86_400_000, "Sun 14:13"),
        (1_790_000_000_000 + 7 * 86_400_000, "2026-09-28"),
        (10**18, ""),
    ],
)
def test_an_opening_has_a_weekday_when_it_is_not_today(milliseconds: int | None, shown: str) -> None:
    """The time of today, the weekday within a week, otherwise the date."""
    assert text.opening(milliseconds, 1_790_000_000.0, UTC) == shown


@pytest.mark.parametrize(("days", "shown"), [(26, "26d"), (1, "1d"), (0, "today"), (-1, "expired")])
def test_days_to_an_expiration(days: int, shown: str) -> None:
    """The last day is today, and what is over has expired."""
    assert text.days(days) == shown


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (1.0, 1.0, 2.0, "●─────────"),
        (1.5, 1.0, 2.0, "────●─────"),
        (2.0, 1.0, 2.0, "─────────●"),
        (9.0, 1.0, 2.0, "─────────●"),
        (0.0, 1.0, 2.0, "●─────────"),
        (1.0, 1.0, 1.0, ""),
        (1.0, None, 2.0, ""),
        (None, 1.0, 2.0, ""),
        (0.0, -1.7e308, 1.7e308, ""),
    ],
)
def test_the_place_between_low_and_high(value: float | None, low: float | None, high: float | None, shown: str) -> None:
    """The line always has ten cells; what lies outside is at its end, and no range has no line."""
    assert text.position(value, low, high) == shown


@pytest.mark.parametrize(
    ("values", "shown"),
    [([], ""), ([None, None], ""), ([None, 1.0, 8.0], " ▁█"), ([5.0, 5.0], "▁▁"), ([0.0, 1.0, 2.0, 7.0], "▁▂▃█")],
)
def test_a_course_is_drawn_from_its_lowest_to_its_highest(values: list[float | None], shown: str) -> None:
    """The lowest value is the smallest block, the highest the tallest; unknown values are blank."""
    assert text.course(tuple(values)) == shown


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False)))
def test_a_course_has_a_cell_for_each_value(values: list[float | None]) -> None:
    """Any values give a line of their number, or none at all."""
    assert len(text.course(tuple(values))) in (0, len(values))


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
