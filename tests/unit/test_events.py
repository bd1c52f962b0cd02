"""The events as consumers get them: what passes, what is refused, what is forgiven."""

from datetime import UTC, datetime
from typing import Any, get_args

import orjson
import pytest
from pydantic import ValidationError

from schwabstream.events import (
    VERSION,
    BarEvent,
    Channel,
    InstrumentEvent,
    Level2Event,
    StatusEvent,
    StatusState,
    TickEvent,
    parse_event,
    status_event,
)

COMMON: dict[str, Any] = {
    "v": 1,
    "symbol": "/NQ:XCME",
    "key": "/NQ",
    "seq": 7,
    "timestamp": 1_765_083_430_060,
    "received_us": 1_765_083_430_071_234,
}
VENUE = {"id": "iexg", "size": 200, "time_ms": 49_980_045}
LEVEL = {"price": -37.63, "size": 200, "makers": 1, "venues": [VENUE]}
EVENTS: dict[str, tuple[type, dict[str, Any]]] = {
    "tick": (TickEvent, {"asset": "FUTURE", "last_price": 25210.5, "is_trade": True}),
    "level2": (Level2Event, {"service": "FUTURES_BOOK", "source": "book", "bids": [LEVEL], "asks": []}),
    "bar": (BarEvent, {"open": 1, "high": 2.5, "low": 0.5, "close": 1.5, "volume": 897}),
    "instrument": (InstrumentEvent, {"asset": "FUTURE", "tick": 0.25, "seq": 7}),
    "status": (StatusEvent, {"state": "streaming", "reason": "3 symbols subscribed", "since": 5}),
}
LIMITS = {"tick": "asset", "level2": "bids", "bar": "open", "instrument": "asset", "status": "state"}


def payload(kind: str, **changes: Any) -> bytes:
    """One event of this type as JSON, with these changes."""
    return orjson.dumps({**COMMON, "type": kind, **EVENTS[kind][1], **changes})


@pytest.mark.parametrize("kind", EVENTS)
def test_each_type_becomes_its_model(kind: str) -> None:
    """The field ``type`` decides the model, and what the model writes is the same event again."""
    event = parse_event(payload(kind))
    assert type(event) is EVENTS[kind][0]
    assert event.seq == 7
    assert parse_event(event.model_dump_json()) == event
    assert parse_event(payload(kind).decode()) == event


@pytest.mark.parametrize("kind", EVENTS)
def test_fields_of_a_later_version_are_passed_over(kind: str) -> None:
    """A consumer of today reads an event that has more fields than it knows."""
    assert parse_event(payload(kind, brand_new=[1])) == parse_event(payload(kind))


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("changes", [{"v": 2}, {"type": "news"}, {"type": None}, {"seq": None}, {"timestamp": "soon"}])
def test_a_value_that_is_not_an_event_is_refused(kind: str, changes: dict[str, Any]) -> None:
    """Another version, another type, or a common field that is wrong raises rather than passing for an event."""
    with pytest.raises(ValidationError):
        parse_event(payload(kind, **changes))


@pytest.mark.parametrize("kind", EVENTS)
def test_the_essence_of_an_event_cannot_be_missing(kind: str) -> None:
    """Without its essence, such as the asset class of a tick or the sides of a book, nothing is an event."""
    with pytest.raises(ValidationError):
        parse_event(payload(kind, **{LIMITS[kind]: None}))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "tick", b"\xff"])
def test_what_is_not_json_of_an_object_is_refused(text: str | bytes) -> None:
    """Anything but an object with a type raises ``ValidationError`` and nothing else."""
    with pytest.raises(ValidationError):
        parse_event(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["last_price", "bid_price"])
def test_no_price_is_not_finite(name: str, number: str) -> None:
    """NaN and infinity never pass for prices."""
    text = payload("tick", **{name: 123456}).replace(b"123456", number.encode())
    with pytest.raises(ValidationError):
        parse_event(text)


def test_no_level_is_not_finite() -> None:
    """Nor do they in a book."""
    with pytest.raises(ValidationError):
        parse_event(payload("level2").replace(b"-37.63", b"NaN"))


def test_a_field_never_sent_is_none() -> None:
    """A field that Schwab never sent is None, never 0, whether absent or null."""
    tick = parse_event(payload("tick", bid_size=None, last_price=None))
    assert isinstance(tick, TickEvent)
    optional = [name for name, field in TickEvent.model_fields.items() if field.default is None]
    assert len(optional) == 29
    assert {getattr(tick, name) for name in optional} == {None}
    assert tick.repeat is False


def test_events_cannot_be_changed() -> None:
    """An event received is what was published, and stays so."""
    tick = parse_event(payload("tick"))
    with pytest.raises(ValidationError):
        tick.seq = 8  # type: ignore[misc]  # the refusal is what is tested


def test_a_status_needs_no_symbol() -> None:
    """Only a status is about the streamer itself; every other event is of a symbol."""
    status = parse_event(payload("status", symbol=None, key=None))
    assert isinstance(status, StatusEvent)
    assert status.symbol is None
    with pytest.raises(ValidationError):
        parse_event(payload("tick", symbol=None))


def test_a_status_is_built_as_it_is_parsed() -> None:
    """Everybody who reports a status builds one with every common field, dated, of no symbol and beginning now."""
    status = parse_event(orjson.dumps(status_event("gap", "data is back", 1_765_083_430_071_234, count=3)))
    assert status == StatusEvent(
        seq=0,
        prev=0,
        timestamp=1_765_083_430_071,
        received_us=1_765_083_430_071_234,
        state="gap",
        reason="data is back",
        since=1_765_083_430_071,
        count=3,
    )
    other = status_event("stale", "silent", 1_000, symbol="/NQ:XCME", key="/NQ", since=0)
    assert (other["symbol"], other["key"], other["since"]) == ("/NQ:XCME", "/NQ", 0)
    assert list(other)[:9] == list(status_event("waiting", "", 1))[:9]  # what consumers see is written in one order


@pytest.mark.parametrize("state", get_args(StatusState))
def test_every_state_of_the_contract(state: str) -> None:
    """Each state passes with the fields that go with it."""
    more = {
        "detail": "x",
        "retry_in_s": 1.5,
        "lost_at": 1,
        "restored_at": 2,
        "symbols": ["/NQ:XCME"],
        "count": 3,
    }
    status = parse_event(payload("status", state=state, **more))
    assert isinstance(status, StatusEvent)
    assert (status.state, status.symbols, status.count) == (state, ("/NQ:XCME",), 3)


def test_the_states_are_the_contracts() -> None:
    """The states a consumer may meet are these and no others."""
    assert set(get_args(StatusState)) == {
        *("connecting", "streaming", "waiting", "login_required", "evicted", "stale", "gap", "dropped"),
        *("subscribed", "refused", "released", "stopped"),
    }
    with pytest.raises(ValidationError):
        parse_event(payload("status", state="asleep"))


def test_channels_and_version() -> None:
    """Six channels by the names they have in Redis, and version 1."""
    names = ["ticks", "level2", "bars", "status", "screeners", "account"]
    assert [str(channel) for channel in Channel] == names
    assert VERSION == 1


def test_times_are_also_aware_datetimes() -> None:
    """Beside each integer time there is the same time as an aware datetime, exact, in UTC."""
    tick = parse_event(payload("tick", trade_time=1_765_083_430_059))
    assert isinstance(tick, TickEvent)
    assert tick.timestamp_at == datetime(2025, 12, 7, 4, 57, 10, 60_000, UTC)
    assert tick.received_at == datetime(2025, 12, 7, 4, 57, 10, 71_234, UTC)
    assert tick.trade_time_at == datetime(2025, 12, 7, 4, 57, 10, 59_000, UTC)
    assert tick.quote_time_at is None
    status = parse_event(payload("status", since=0))
    assert isinstance(status, StatusEvent)
    assert status.since_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert tick.timestamp_at.tzinfo is UTC
