"""Days of expiration and the roll."""

from datetime import UTC, date, datetime, timedelta

import pytest

from schwabstream.market.expiration import expiration_day, is_roll_week
from schwabstream.protocol.futures import DELIVERED, FUTURE_ROOTS
from schwabstream.protocol.symbols import Asset, Symbol, parse_symbol


def parse(text: str) -> Symbol:
    """The symbol of a text in November 2026."""
    return parse_symbol(text, date(2026, 11, 22))


def ms(text: str) -> int:
    """A time in UTC, in milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "expires_ms", "day"),
    [
        ("/ES", ms("2026-12-18 05:00"), date(2026, 12, 18)),  # midnight in New York
        ("/ES", ms("2026-12-18 21:00"), date(2026, 12, 18)),
        ("/ES", None, None),
        ("/ES", 0, None),
        ("/ES", 10**18, None),
        (".SPXW261218C5000", None, date(2026, 12, 18)),
        ("AAPL", None, None),
    ],
)
def test_the_day_of_expiration(text: str, expires_ms: int | None, day: date | None) -> None:
    """Schwab sends the time of a future, as midnight or as the close in New York; an option's day is in its symbol."""
    assert expiration_day(parse(text), expires_ms) == day


@pytest.mark.parametrize("key", ["", "AAPL", "AAPL  26", "AAPL  261318C00600000", "AAPL  26XX18C00600000"])
def test_an_option_whose_key_has_no_day_expires_on_no_known_day(key: str) -> None:
    """Keys in a report may be of another streamer, or of nobody's making."""
    assert expiration_day(Symbol(key, key, Asset.OPTION), None) is None


@pytest.mark.parametrize(
    ("text", "contract", "expires", "first_day"),
    [
        ("/ES", "/ESZ26", date(2026, 12, 18), date(2026, 12, 10)),
        ("/ESZ26", None, date(2026, 12, 18), date(2026, 12, 10)),
        ("/CL", "/CLF27", date(2026, 12, 21), date(2026, 12, 13)),
        ("/ZN", "/ZNZ26", date(2026, 12, 21), date(2026, 11, 22)),
        ("/ZCZ26", None, date(2026, 12, 14), date(2026, 11, 22)),
        ("/GC", "/GCG27", date(2027, 2, 24), date(2027, 1, 23)),
        ("/ZN", None, date(2026, 12, 21), date(2026, 12, 13)),
    ],
)
def test_the_roll_week(text: str, contract: str | None, expires: date, first_day: date) -> None:
    """It begins eight days before expiration, or before the month in which the contract is delivered."""
    symbol = parse(text)
    assert is_roll_week(symbol, contract, expires, first_day)
    assert is_roll_week(symbol, contract, expires, expires)
    assert not is_roll_week(symbol, contract, expires, first_day - timedelta(days=1))


def test_only_futures_roll() -> None:
    """An option expires; nobody moves it to the next month."""
    assert not is_roll_week(parse(".SPXW261218C5000"), None, date(2026, 12, 18), date(2026, 12, 18))


def test_roots_that_are_delivered_are_in_the_table() -> None:
    """The set names no root that the table lacks."""
    assert FUTURE_ROOTS.keys() >= DELIVERED
