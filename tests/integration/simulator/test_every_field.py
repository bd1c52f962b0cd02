"""Every numbered field that Schwab sends reaches an event, from the wire through the codec and the last values."""

import datetime as dt
from typing import Any

import orjson
import pytest

from schwabstream.events import Channel
from schwabstream.market.last_values import LastValues
from schwabstream.protocol.codec import Batch, decode
from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.protocol.values import Kind
from tests.support.every_service import SERVICES
from tests.support.simulator_clients import Lab, RawClient

KEYS = {service: keys[0] for service, keys in SERVICES.values()}
KEYS |= {"FUTURES_BOOK": "/NQ", "ACCT_ACTIVITY": "Account Activity"}
BOOK = {"1": "timestamp", "2": "bids", "3": "asks"}
PRICES = {"2": "open", "3": "high", "4": "low", "5": "close", "6": "volume"}
SCREENER = {"1": "timestamp", "2": "sort", "3": "frequency", "4": "items"}
NAMES: dict[str, dict[str, str]] = {
    **dict.fromkeys((each for each in KEYS if each.endswith("BOOK")), BOOK),
    "CHART_EQUITY": {"1": "sequence", **PRICES, "7": "timestamp", "8": "chart_day"},
    "CHART_FUTURES": {"1": "timestamp", **PRICES},
    "SCREENER_EQUITY": SCREENER,
    "SCREENER_OPTION": SCREENER,
    "ACCT_ACTIVITY": {"1": "symbol", "2": "message_type", "3": "message"},
}
"""The names in events, for services whose fields have other names there than in ``FIELDS``."""


async def first_message(lab: Lab, client: RawClient, service: str) -> dict[str, Any]:
    """The first data of a service, which for a chart is a minute that has ended."""
    lab.faults.futures_depth = True
    assert await client.subscribe(service, KEYS[service]) == 0
    if service.startswith("CHART"):
        lab.simulator.step(30)
        lab.clock.now += 60
        lab.simulator.step()
    return dict(await client.until("data", lambda each: each["service"] == service))


def events_of(service: str, message: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that the streamer makes of one message."""
    without_symbol = service.startswith(("SCREENER", "ACCT"))
    symbols = [] if without_symbol else parse_symbols([KEYS[service]], dt.date(2026, 11, 20))
    events: list[dict[str, Any]] = []

    def publish(_channel: Channel, event: dict[str, Any]) -> None:
        events.append(orjson.loads(orjson.dumps(event)))

    market = LastValues(symbols, publish)
    for batch in decode(orjson.dumps({"data": [message]})):
        assert isinstance(batch, Batch)
        market.apply(batch, 1)
    assert not market.counts
    return [*events, *market.take_changed(10)]


def expected(kind: Kind, value: Any) -> Any:
    """A value of level 1 as events have it."""
    if kind is Kind.CHAR and type(value) is int:
        return chr(value)
    return None if value == -999 else value


@pytest.mark.parametrize("service", sorted(KEYS))
async def test_every_field_is_in_exactly_one_event(lab: Lab, service: str) -> None:
    """Each field number of a first message is in one event and in no second one, with its value."""
    message = await first_message(lab, await lab.connect(), service)
    (entry,) = message["content"]
    fields = {str(field.number): field for field in FIELDS[Service(service)]}
    names = NAMES.get(service) or {number: field.name for number, field in fields.items()}
    events = events_of(service, message)
    sent = {number: value for number, value in entry.items() if number.isdigit()}
    assert sent
    for number, value in sent.items():
        (event,) = [each for each in events if names[number] in each]
        found = event[names[number]]
        if service in NAMES:  # their lists and texts are written anew
            assert found == value if type(value) in (int, float) else bool(found) is bool(value), number
        else:
            assert found == expected(fields[number].kind, value), number


def test_every_service_with_fields_is_examined() -> None:
    """No service of the protocol is left out."""
    assert KEYS.keys() == {service for service, fields in FIELDS.items() if fields}
