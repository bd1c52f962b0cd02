"""The instruments of the simulated market."""

import datetime as dt

import pytest

from schwabstream.protocol.futures import FUTURE_ROOTS
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


@pytest.mark.parametrize(("day", "contract"), [(TODAY, "/GCZ26"), (dt.date(2026, 12, 1), "/GCG27")])
def test_metals_trade_until_the_end_of_their_month(day: dt.date, contract: str) -> None:
    """A metal's contract ends on the third last weekday of its own month, and stops being active a month earlier."""
    root = find_instrument("/GC", day)
    assert root is not None
    assert root.contract == contract
    for last, known in ((dt.date(2026, 12, 29), True), (dt.date(2026, 12, 30), False)):
        assert (find_instrument("/GCZ26", last) is not None) is known


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


@pytest.mark.parametrize(
    "key",
    [
        "/ESZ25", "/ESF27", "/NQ:XCME", "/ESZ6", "/GOOG", "/ZZZ", "NOSUCH", "nonsense", "", "AAPL  ", "aapl", "BRK.B",
        "BRK/BB", "A1", "$NOSUCH", "EUR/EUR", "EUR/XXX", "XXX/EUR", "EUR/USD/JPY", "AAPL,MSFT", "AAPL:XNAS",
    ],
)  # fmt: skip
def test_unknown_keys_are_not(key: str) -> None:
    """Expired contracts, months without a contract, MIC suffixes, one-digit years, odd forms and words are unknown."""
    assert find_instrument(key, TODAY) is None


@pytest.mark.parametrize(
    ("key", "exchange"),
    [("INTC", "NASDAQ"), ("KO", "NYSE"), ("V", "NYSE"), ("DIS", "NYSE"), ("BF/B", "NYSE"), ("BAC/PRL", "NYSE")],
)
def test_every_valid_ticker_has_a_price(key: str, exchange: str) -> None:
    """A ticker that the catalogue lacks is a share at a plausible price, the same in every run."""
    found = find_instrument(key, TODAY)
    assert found is not None
    assert (found.key, found.asset, found.exchange) == (key, "EQUITY", exchange)
    assert 5 <= found.price <= 500
    assert found == find_instrument(key, TODAY)


def test_made_up_prices_differ() -> None:
    """Anagrams do not share a price."""
    prices = [each.price for key in ("INTC", "CINT", "NTIC", "TICN") if (each := find_instrument(key, TODAY))]
    assert len(set(prices)) == 4


def test_options_exist_on_every_ticker_and_on_indices() -> None:
    """An option on a share outside the catalogue, and one on the S&P 500, follow their underlying's price."""
    share, index = find_instrument("INTC  261218C00030000", TODAY), find_instrument("SPXW  261218C06600000", TODAY)
    assert share is not None
    assert index is not None
    assert (share.product, index.product) == ("INTC", "$SPX")
    assert index.underlying_price == CATALOGUE["$SPX"].price
    assert 50 < index.price < 500


@pytest.mark.parametrize(
    ("key", "underlying", "expiry", "tick"),
    [
        ("./ESZ26C6900", "/ESZ26", dt.date(2026, 12, 18), 0.05),
        ("./E3DZ26P6500", "/ESZ26", dt.date(2026, 12, 17), 0.05),
        ("./E1AF27C7000", "/ESH27", dt.date(2027, 1, 4), 0.05),
        ("./Q4EX26C25000", "/NQZ26", dt.date(2026, 11, 27), 0.05),
        ("./MESZ26C6900", "/MESZ26", dt.date(2026, 12, 18), 0.05),
        ("./OGG27C4240", "/GCG27", dt.date(2027, 1, 26), 0.1),
        ("./LOF27P57.5", "/CLF27", dt.date(2026, 12, 16), 0.01),
    ],
)
def test_options_on_futures_exist(key: str, underlying: str, expiry: dt.date, tick: float) -> None:
    """An option's root names its future and, for weekly options, its day; it is priced by the future."""
    found = find_instrument(key, TODAY)
    assert found is not None
    assert (found.asset, found.contract, found.expiry, found.tick) == ("FUTURE_OPTION", underlying, expiry, tick)
    assert found.price >= tick
    assert found.price / tick == pytest.approx(round(found.price / tick))


@pytest.mark.parametrize(
    "key",
    ["./ESZ25C6900", "./ESZ26", "./ESZ26X6900", "./ZZZZ26C6900", "./ESZ6C6900", "ESZ26C6900", "./E6AZ26C6900",
     "./ESZ26C06900", "./ESZ26C", "./E5DX26C6900"],
)  # fmt: skip
def test_options_on_futures_that_do_not_exist(key: str) -> None:
    """Expired options, roots and weeks that there are not, one-digit years and odd strikes are unknown."""
    assert find_instrument(key, TODAY) is None


@pytest.mark.parametrize(
    ("key", "low", "high"), [("USD/JPY", 100, 200), ("EUR/GBP", 0.7, 1), ("GBP/USD", 1, 2), ("JPY/USD", 0.005, 0.01)]
)
def test_every_pair_of_currencies_has_its_cross_rate(key: str, low: float, high: float) -> None:
    """Two different currencies make a pair at a plausible rate."""
    found = find_instrument(key, TODAY)
    assert found is not None
    assert found.asset == "FOREX"
    assert low < found.price < high
    assert found.decimals == (3 if key.endswith("/JPY") else 5)


def test_an_option_key_needs_its_padding() -> None:
    """An option is found by its 21 characters only; a trimmed or expired key is unknown (trap T22)."""
    found = find_instrument("AAPL  261218C00270000", TODAY)
    assert found is not None
    assert found.asset == "OPTION"
    assert found.price > 0
    assert find_instrument("AAPL261218C00270000", TODAY) is None
    assert find_instrument("AAPL  251218C00270000", TODAY) is None
    assert find_instrument("AAPL  261399C00270000", TODAY) is None


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
