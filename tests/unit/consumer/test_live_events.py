"""The types of ``subscribe`` and ``last``, which mypy checks here, and their errors before anything is connected."""

from typing import assert_type

import pytest

from schwabstream import TickEvent, last, subscribe
from schwabstream.consumer import LiveEvents
from schwabstream.errors import ConfigurationError, SymbolError


def test_live_events_are_iterated_both_ways() -> None:
    """``subscribe`` returns an iterator of events for ``for`` and ``async for``, and ``last`` a tick or None."""
    events = assert_type(subscribe("AAPL"), LiveEvents)
    assert iter(events) is events
    assert aiter(events) is events
    assert last.__annotations__["return"] == TickEvent | None


def test_a_wrong_call_fails_at_once() -> None:
    """What cannot be a symbol and a wrong URL raise where they are written, not at the first event."""
    with pytest.raises(SymbolError):
        subscribe("AAPL!")
    with pytest.raises(ConfigurationError, match="must start with redis://"):
        subscribe("AAPL", redis_url="http://127.0.0.1")
