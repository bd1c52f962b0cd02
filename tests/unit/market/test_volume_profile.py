"""Volume at price."""

from typing import Any

import pytest

from schwabstream.events import TickEvent
from schwabstream.market.volume_profile import VolumeProfile


def tick(seq: int, **changes: Any) -> TickEvent:
    """A trade of 2 at 10."""
    known = {"symbol": "/MNQ", "key": "/MNQ", "timestamp": 1, "received_us": 1, "asset": "FUTURE"}
    return TickEvent.model_validate(
        {**known, "seq": seq, "is_trade": True, "last_price": 10.0, "last_size": 2, **changes}
    )


def volumes(*ticks: TickEvent) -> dict[float, int]:
    """The profile after a last value and these ticks."""
    profile = VolumeProfile()
    profile.add(tick(0))
    for each in ticks:
        profile.add(each)
    return profile.volumes


def test_trades_add_up_at_their_prices() -> None:
    """Each trade adds its size at its price."""
    assert volumes(tick(1), tick(2, last_price=10.25), tick(3, last_size=5)) == {10.0: 7, 10.25: 2}


@pytest.mark.parametrize(
    "changes", [{"is_trade": False}, {"repeat": True}, {"last_price": None}, {"last_size": None}, {"seq": 1}]
)
def test_only_new_trades_count(changes: dict[str, Any]) -> None:
    """A quote, a repeated tick, a trade without price or size, and a tick that was read before add nothing."""
    assert volumes(tick(1), tick(2).model_copy(update=changes)) == {10.0: 2}


def test_a_trade_from_before_does_not_count() -> None:
    """The first tick may be a last value, of a trade that was long ago; read again, it is not new either."""
    assert volumes() == volumes(tick(0)) == {}


def test_a_new_session_begins_with_an_empty_profile() -> None:
    """A total volume that falls is that of another day; a tick without one changes nothing."""
    first, second = tick(1, total_volume=900), tick(2, total_volume=None, last_price=11.0)
    assert volumes(first, second) == {10.0: 2, 11.0: 2}
    assert volumes(first, second, tick(3, total_volume=2, last_price=12.0)) == {12.0: 2}
