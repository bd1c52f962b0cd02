"""The theoretical value of an option and how it moves, by Black and Scholes, in the units that Schwab sends."""

import math

RATE = 0.04
"""The interest rate without risk, per year."""


def greeks(kind: str, underlying: float, strike: float, days: int, volatility: float) -> dict[str, float]:
    """Theoretical value and greeks of a European option, by field name.

    ``kind`` is C or P, ``volatility`` a percentage per year. Theta is per day, vega and rho are per percentage point.
    """
    years = max(days, 1) / 365
    sigma = volatility / 100 * math.sqrt(years)
    d1 = (math.log(underlying / strike) + RATE * years) / sigma + sigma / 2
    d2 = d1 - sigma
    sign = 1 if kind == "C" else -1
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    discounted = strike * math.exp(-RATE * years)
    inside, exercised = _share(sign * d1), _share(sign * d2)
    decay = underlying * density * volatility / 100 / (2 * math.sqrt(years))
    return {
        "theoretical_value": round(sign * (underlying * inside - discounted * exercised), 4),
        "delta": round(sign * inside, 4),
        "gamma": round(density / (underlying * sigma), 4),
        "theta": round((-decay - sign * RATE * discounted * exercised) / 365, 4),
        "vega": round(underlying * density * math.sqrt(years) / 100, 4),
        "rho": round(sign * discounted * years * exercised / 100, 4),
    }


def _share(deviations: float) -> float:
    """The share of a normal distribution below a number of standard deviations."""
    return (1 + math.erf(deviations / math.sqrt(2))) / 2
