"""What the simulated market trades."""

import datetime as dt

import pytest

from schwabstream.roots import FUTURE_ROOTS
from schwabstream.simulator.instruments import CATALOGUE, find_instrument, third_friday

TODAY = dt.date(2026, 11, 21)


@pytest.mark.parametrize(
    ("day", "contract"),
    [
        (dt.date(2026, 11, 21), "/MNQZ26"),
        (dt.date(2026, 12, 9), "/MNQZ26"),
        (dt.date(2026, 12, 10), "/MNQH27"),
        (dt.date(2026, 12, 31), "/MNQH27"),
        (dt.date(2027, 3, 11), "/MNQM27"),
        (dt.date(2027, 7, 1), "/MNQU27"),
    ],
)
def test_index_futures_roll_quarterly(day: dt.date, contract: str) -> None:
    """The active contract is the next of H, M, U, Z, and rolls on the Thursday eight days before the third Friday."""
    found = find_instrument("/MNQ", day)
    assert found is not None
    assert found.contract == contract
    assert found.key == "/MNQ"


def test_third_friday_is_the_last_trading_day() -> None:
    """December 2026's third Friday is the 18th, March 2027's the 19th."""
    assert third_friday(2026, 12) == dt.date(2026, 12, 18)
    assert third_friday(2027, 3) == dt.date(2027, 3, 19)


@pytest.mark.parametrize("key", ["/ESZ26", "/ESH27", "/CLF27", "/GCG27", "AAPL", "BRK/B", "$SPX", "EUR/USD"])
def test_known_keys_are_found(key: str) -> None:
    """Every asset of the catalogue and every contract not yet expired is an instrument."""
    found = find_instrument(key, TODAY)
    assert found is not None
    assert found.key == key


@pytest.mark.parametrize("key", ["/ESZ25", "/ESF27", "/NQ:XCME", "/ESZ6", "/GOOG", "NOSUCH", "nonsense", "", "AAPL  "])
def test_unknown_keys_are_not(key: str) -> None:
    """Expired contracts, months without a contract, MIC suffixes, one-digit years and words are unknown."""
    assert find_instrument(key, TODAY) is None


def test_an_option_key_needs_its_padding() -> None:
    """An option is found by its 21 characters only; a trimmed or expired key is unknown (trap T22)."""
    found = find_instrument("AAPL  261218C00270000", TODAY)
    assert found is not None
    assert found.asset == "OPTION"
    assert found.price > 0
    assert find_instrument("AAPL261218C00270000", TODAY) is None
    assert find_instrument("AAPL  251218C00270000", TODAY) is None
    assert find_instrument("AAPL  261399C00270000", TODAY) is None


def test_any_symbol_makes_up_what_is_well_formed() -> None:
    """With the switch, tickers and contracts exist that nobody listed; nonsense still does not."""
    assert find_instrument("ZZTOP", TODAY, any_symbol=True) is not None
    made_up = find_instrument("/XYZH40", TODAY, any_symbol=True)
    assert made_up is not None
    assert made_up.product == "/XYZ"
    assert find_instrument("no such", TODAY, any_symbol=True) is None


def test_every_price_lies_on_its_tick_grid() -> None:
    """A walk that starts off the grid would never show a real price."""
    for each in CATALOGUE.values():
        ticks = each.price / each.tick
        assert abs(ticks - round(ticks)) < 1e-6, each.key


def test_futures_agree_with_the_table_of_roots() -> None:
    """Tick, multiplier and MIC come from the one table of roots."""
    for each in CATALOGUE.values():
        if each.asset == "FUTURE":
            root = FUTURE_ROOTS[each.key[1:]]
            assert (each.tick, each.multiplier, each.exchange) == (root.tick, root.multiplier, root.mic)
            assert each.decimals == root.decimals
