"""The opening quote of an instrument in a simulated market whose clock stands still."""

import datetime as dt

from schwabstream.simulator.market import Market, Quote
from schwabstream.simulator.statics import EASTERN

START = dt.datetime(2026, 11, 20, 10, 0, 0, tzinfo=EASTERN).timestamp()


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def quote_of(key: str, seed: int = 7) -> Quote:
    """The opening quote of a key in a market of its own."""
    quote = Market(seed, Clock()).quote(key)
    assert quote is not None
    return quote
