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


@pytest.mark.parametrize(("root", "amount"), [("ES", 12.5), ("MES", 1.25), ("NQ", 5.0), ("MNQ", 0.5)])
def test_tick_amounts_of_the_index_futures(root: str, amount: float) -> None:
    """Tick times multiplier is the tick amount Schwab documents for the index futures (4.2, field 26)."""
    spec = FUTURE_ROOTS[root]
    assert spec.tick * spec.multiplier == amount
