"""The table of futures roots."""

import pytest

from schwabstream.protocol.futures import FUTURE_ROOTS, MICS, FutureRoot


@pytest.mark.parametrize(("root", "spec"), FUTURE_ROOTS.items(), ids=FUTURE_ROOTS)
def test_a_tick_can_be_printed_with_its_decimals(root: str, spec: FutureRoot) -> None:
    """A tick is a positive step that its own number of decimals shows exactly, at a market we know."""
    assert spec.tick > 0
    assert float(f"{spec.tick:.{spec.decimals}f}") == spec.tick
    assert spec.multiplier > 0
    assert spec.mic in MICS
    assert root == root.upper()


@pytest.mark.parametrize(
    ("root", "written", "next_tick"),
    [
        ("ZB", "113'05", "113'06"),
        ("UB", "113'05", "113'06"),
        ("ZN", "113'050", "113'055"),
        ("TN", "113'050", "113'055"),
        ("ZF", "113'050", "113'052"),
        ("ZT", "113'050", "113'051"),
        ("ZC", "113'1", "113'3"),
        ("ZW", "113'1", "113'3"),
        ("ZS", "113'1", "113'3"),
        ("ZO", "113'1", "113'3"),
        ("KE", "113'1", "113'3"),
        ("XC", "113'1", "113'2"),
        ("ZL", "113.15625", "113.16625"),
        ("ZM", "113.15625", "113.25625"),
        ("ES", "113.15625", "113.40625"),
        ("6E", "113.15625", "113.15630"),
    ],
)
def test_the_notation_of_each_product(root: str, written: str, next_tick: str) -> None:
    """A price and the price one tick above it are written as the exchange writes them."""
    spec = FUTURE_ROOTS[root]
    price = 113.125 if spec.denominator == 8 else 113 + 5 / 32
    assert spec.notation.write(price) == written
    assert spec.notation.write(price + spec.tick) == next_tick


@pytest.mark.parametrize("root", [root for root, spec in FUTURE_ROOTS.items() if spec.denominator > 1])
def test_every_tick_of_a_fraction_is_written_differently(root: str) -> None:
    """No two prices of a point look alike, and none is written as a decimal."""
    spec = FUTURE_ROOTS[root]
    steps = round(1 / spec.tick)
    written = [spec.notation.write(100 + step * spec.tick) for step in range(steps)]
    assert len(set(written)) == steps
    assert all(price.startswith("100'") for price in written)
    assert len({len(price) for price in written}) == 1


@pytest.mark.parametrize(("root", "amount"), [("ES", 12.5), ("MES", 1.25), ("NQ", 5.0), ("MNQ", 0.5)])
def test_tick_amounts_of_the_index_futures(root: str, amount: float) -> None:
    """Tick times multiplier is the tick amount Schwab documents for the index futures (4.2, field 26)."""
    spec = FUTURE_ROOTS[root]
    assert spec.tick * spec.multiplier == amount
