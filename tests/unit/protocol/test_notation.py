"""Prices as their markets write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.protocol.notation import Notation, decimals_of

BOND, NOTE, GRAIN = Notation(5, 32), Notation(6, 32, parts=True), Notation(2, 8)


@pytest.mark.parametrize(
    ("value", "notation", "written"),
    [
        (113.015625, NOTE, "113'005"),
        (113 + 5 / 32, NOTE, "113'050"),
        (113 + 31.5 / 32, NOTE, "113'315"),
        (113.0, NOTE, "113'000"),
        (113 + 5 / 32, BOND, "113'05"),
        (113 + 5.5 / 32, BOND, "113'055"),
        (0.0, BOND, "0'00"),
        (-1 / 64, NOTE, "-0'005"),
        (-1e-12, NOTE, "0'000"),
        (113.01, NOTE, "113.010000"),
        (float("inf"), NOTE, "inf"),
        (float("nan"), NOTE, "nan"),
        (1.7e308, NOTE, "1.7e+308"),
        (-1.7e308, GRAIN, "-1.7e+308"),
        (1e15, Notation(2), "1e+15"),
        (999_999_999_999.25, Notation(2), "999,999,999,999.25"),
        (412.75, GRAIN, "412'6"),
        (1045.25, GRAIN, "1045'2"),
        (-0.5, GRAIN, "-0'4"),
        (412.0625, GRAIN, "412.0625"),
        (1 / 32, GRAIN, "0.03125"),
        (25210.5, Notation(2), "25,210.50"),
        (110.578125, Notation(2), "110.578125"),
    ],
)
def test_fractions_and_decimals(value: float, notation: Notation, written: str) -> None:
    """A fraction has an apostrophe before its parts; a price that is no such fraction stays a decimal."""
    assert notation.write(value) == written


@pytest.mark.parametrize(("eighths", "digit"), list(enumerate("01235678")))
def test_parts_of_a_32nd_are_cut_to_tenths(eighths: int, digit: str) -> None:
    """An eighth is 1, a quarter 2, a half 5, seven eighths 8."""
    assert NOTE.write(100 + eighths / 256) == f"100'00{digit}"


@given(st.integers(-(10**6), 10**6), st.sampled_from([BOND, NOTE]))
def test_a_fraction_can_be_read_back(steps: int, notation: Notation) -> None:
    """No 256th of a point is lost."""
    written = notation.write(steps / 256)
    points, _, parts = written.lstrip("-").partition("'")
    eighth = "01235678".index(parts[2]) if len(parts) > 2 else 0
    assert 256 * int(points) + 8 * int(parts[:2]) + eighth == abs(steps)
    assert written.startswith("-") == (steps < 0)


@pytest.mark.parametrize(("tick", "decimals"), [(0.25, 2), (5.0, 0), (0.1, 1), (0.00005, 5), (0.005, 3), (1 / 64, 6)])
def test_decimals_of_a_tick(tick: float, decimals: int) -> None:
    """As many as its multiples need."""
    assert decimals_of(tick) == decimals
