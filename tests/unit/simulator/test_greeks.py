"""The value and the greeks of invented options."""

import pytest

from schwabstream.simulator.greeks import RATE, greeks


@pytest.mark.parametrize("strike", [80.0, 100.0, 125.0])
def test_calls_and_puts_agree(strike: float) -> None:
    """The values of a call and a put differ by the forward's value; their deltas by one, gamma and vega not at all."""
    call, put = (greeks(kind, 100.0, strike, 365, 25.0) for kind in "CP")
    forward = 100 - strike * 2.718281828 ** (-RATE)
    assert call["theoretical_value"] - put["theoretical_value"] == pytest.approx(forward, abs=1e-3)
    assert call["delta"] - put["delta"] == pytest.approx(1, abs=1e-3)
    assert (call["gamma"], call["vega"]) == (put["gamma"], put["vega"])


def test_the_values_are_those_of_the_textbook() -> None:
    """A year's call at the money with 20 % volatility and 4 % interest is worth 9.9251 of 100."""
    call = greeks("C", 100.0, 100.0, 365, 20.0)
    assert call["theoretical_value"] == pytest.approx(9.9251, abs=1e-4)
    assert call["delta"] == pytest.approx(0.6179, abs=1e-4)
    assert call["vega"] == pytest.approx(0.3814, abs=1e-4)
    assert call["theta"] == pytest.approx(-0.0161, abs=1e-4)
    assert call["rho"] == pytest.approx(0.5187, abs=1e-4)


@pytest.mark.parametrize("days", [0, 1, 3])
def test_an_option_that_expires_today_has_finite_greeks(days: int) -> None:
    """No day left counts as one."""
    assert abs(greeks("P", 271.49, 200.0, days, 18.0)["delta"]) < 0.01
