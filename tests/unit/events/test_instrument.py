"""InstrumentEvent against the field tables: every level-1 field that no tick has, with its type."""

from typing import get_args

import orjson
import pytest

from schwabstream.events import InstrumentEvent, TickEvent, parse_event
from schwabstream.events.base import MarketEvent
from schwabstream.protocol.fields import FIELDS, Field
from schwabstream.protocol.subscriptions import LEVEL_ONE
from schwabstream.protocol.values import Kind

TYPES = {Kind.FLOAT: float, Kind.INT: int, Kind.TEXT: str, Kind.CHAR: str, Kind.FLAG: bool}
OURS = {*MarketEvent.model_fields, "asset"}
UNNUMBERED = {"asset_main_type", "asset_sub_type", "cusip"}
LEVEL_ONE_FIELDS = {
    field.name: field for service in LEVEL_ONE.values() for field in FIELDS[service] if field.number != 0
}


def test_ticks_and_instruments_share_the_fields_of_level_one() -> None:
    """Each level-1 field is a field of exactly one of the two events, and neither has a field from nowhere."""
    ticks, instruments = set(TickEvent.model_fields) - OURS, set(InstrumentEvent.model_fields) - OURS
    assert ticks & instruments == {"type"}
    assert set(LEVEL_ONE_FIELDS) - ticks == instruments - UNNUMBERED - {"type"}
    assert ticks - set(LEVEL_ONE_FIELDS) == {"type", "contract", "is_trade", "delayed", "repeat"}


@pytest.mark.parametrize("field", LEVEL_ONE_FIELDS.values(), ids=lambda field: field.name)
def test_a_field_has_the_type_of_its_values(field: Field) -> None:
    """The model's type is that of the field table, or null."""
    model = TickEvent if field.name in TickEvent.model_fields else InstrumentEvent
    assert get_args(model.model_fields[field.name].annotation) == (TYPES[field.kind], type(None))


def test_an_instrument_needs_no_number() -> None:
    """The hash has no sequence: ``seq`` is 0 when it is absent, and a field that Schwab has not sent is None."""
    payload = {"v": 1, "type": "instrument", "symbol": "/ES", "key": "/ES", "timestamp": 1, "received_us": 2}
    event = parse_event(orjson.dumps({**payload, "asset": "FUTURE", "tick": 0.25}))
    assert isinstance(event, InstrumentEvent)
    assert (event.seq, event.tick, event.description) == (0, 0.25, None)
