"""Nothing that Schwab sends is lost: each field of each service of the market goes into one field of one event."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import orjson
import pytest

from schwabstream.events import BarEvent, Channel, Event, InstrumentEvent, Level2Event, TickEvent, parse_event
from schwabstream.market.last_values import LastValues
from schwabstream.protocol.codec import Batch, decode
from schwabstream.protocol.fields import FIELDS, Field, Service
from schwabstream.protocol.subscriptions import BOOK_SERVICES, LEVEL_ONE
from schwabstream.protocol.symbols import Asset, parse_symbol, parse_symbols
from schwabstream.protocol.values import Kind

EVERYTHING = 1_000
NOW_US = 1_790_000_000_000_000
OPTION = "AAPL  271217C00200000"
SYMBOLS = {
    Service.LEVELONE_EQUITIES: "AAPL",
    Service.LEVELONE_OPTIONS: OPTION,
    Service.LEVELONE_FUTURES: "/ES",
    Service.LEVELONE_FUTURES_OPTIONS: "./OGG26C4240",
    Service.LEVELONE_FOREX: "EUR/USD",
    Service.NYSE_BOOK: "F",
    Service.NASDAQ_BOOK: "AAPL",
    Service.OPTIONS_BOOK: OPTION,
    Service.FUTURES_BOOK: "/ES",
    Service.CHART_EQUITY: "AAPL",
    Service.CHART_FUTURES: "/ES",
}
BAR_NAMES = {
    "chart_time": "timestamp",
    "open_price": "open",
    "high_price": "high",
    "low_price": "low",
    "close_price": "close",
}
UNNUMBERED = {"assetMainType": "asset_main_type", "assetSubType": "asset_sub_type", "cusip": "cusip"}


class Taken:
    """Last values of these symbols, and the events that consumers get of them."""

    def __init__(self, *symbols: str) -> None:
        self.events: list[Event] = []
        self.market = LastValues(parse_symbols(symbols, date(2025, 12, 7)), self._take)

    def _take(self, _channel: Channel, event: dict[str, Any]) -> None:
        self.events.append(parse_event(orjson.dumps(event)))

    def apply(self, service: str, **entry: Any) -> None:
        """One entry as it comes off the wire."""
        frame = orjson.dumps({"data": [{"service": service, "timestamp": 5, "content": [entry]}]})
        for batch in decode(frame):
            assert isinstance(batch, Batch)
            self.market.apply(batch, NOW_US)

    def instruments(self, most: int = EVERYTHING) -> list[InstrumentEvent]:
        """The instruments that have changed, as consumers get them."""
        found = [parse_event(orjson.dumps(each)) for each in self.market.take_changed(most)]
        assert all(isinstance(each, InstrumentEvent) for each in found)
        return [each for each in found if isinstance(each, InstrumentEvent)]


def sample(field: Field) -> Any:
    """A value of the field's kind that no other field of its service has; of flags there are only two."""
    number = 1_000 + field.number
    return {
        Kind.FLOAT: number + 0.5,
        Kind.INT: number,
        Kind.TEXT: f"text {number}",
        Kind.CHAR: chr(33 + field.number),
        Kind.FLAG: True,
    }[field.kind]


def fields_of(service: Service) -> Iterator[Field]:
    """The fields of a service that come with a number."""
    return (field for field in FIELDS[service] if field.number)


@pytest.mark.parametrize("service", dict.fromkeys(LEVEL_ONE.values()))
def test_each_field_of_level_one_is_in_one_event(service: Service) -> None:
    """A value of any field comes out of the tick or of the instrument under the field's name, and only of one."""
    taken = Taken(SYMBOLS[service])
    sent = {str(field.number): sample(field) for field in fields_of(service)}
    taken.apply(service, key=SYMBOLS[service], **sent, **{name: f"our {name}" for name in UNNUMBERED})
    (tick,), (instrument,) = taken.events, taken.instruments()
    assert isinstance(tick, TickEvent)
    for field in fields_of(service):
        owners = [event for event in (tick, instrument) if field.name in type(event).model_fields]
        assert [getattr(event, field.name) for event in owners] == [sample(field)], field.name
    for wire_name, name in UNNUMBERED.items():
        assert getattr(instrument, name) == f"our {wire_name}"
    assert not taken.market.counts


@pytest.mark.parametrize("service", [Service(name) for name in sorted(BOOK_SERVICES)])
def test_each_field_of_a_book_is_in_its_event(service: Service) -> None:
    """Time, sides, levels and makers of a book all come out of the Level2Event."""
    maker = {"0": "NSDQ", "1": 300, "2": 49_786_299}
    levels = {"2": [{"0": 1.5, "1": 300, "2": 1, "3": [maker]}], "3": [{"0": 1.75, "1": 400, "2": 2, "3": []}]}
    taken = Taken(SYMBOLS[service])
    taken.apply(service, key=SYMBOLS[service], **{"1": 777}, **levels)
    (book,) = taken.events
    assert isinstance(book, Level2Event)
    assert (book.timestamp, book.service, book.source) == (777, service, "book")
    (bid,), (ask,) = book.bids, book.asks
    assert [bid.price, bid.size, bid.makers, *bid.venues[0].model_dump().values()] == [1.5, 300, 1, *maker.values()]
    assert (ask.price, ask.size, ask.makers, ask.venues) == (1.75, 400, 2, ())
    assert [field.name for field in fields_of(service)] == ["book_time", "bids", "asks"]


@pytest.mark.parametrize("service", [Service.CHART_EQUITY, Service.CHART_FUTURES])
def test_each_field_of_a_bar_is_in_its_event(service: Service) -> None:
    """A value of any field of a chart service comes out of the BarEvent."""
    taken = Taken(SYMBOLS[service])
    taken.apply(service, key=SYMBOLS[service], **{str(field.number): sample(field) for field in fields_of(service)})
    (bar,) = taken.events
    assert isinstance(bar, BarEvent)
    found = {field.name: getattr(bar, BAR_NAMES.get(field.name, field.name)) for field in fields_of(service)}
    assert found == {field.name: sample(field) for field in fields_of(service)}


def test_the_extra_values_of_a_bar_cannot_lose_it() -> None:
    """A bar of a share with an odd number or day is published without them."""
    taken = Taken("AAPL")
    prices = {str(number): 1.5 for number in range(2, 7)}
    taken.apply(Service.CHART_EQUITY, key="AAPL", **prices, **{"7": 60_000, "1": "x", "8": 20_000.0})
    (bar,) = taken.events
    assert isinstance(bar, BarEvent)
    assert (bar.sequence, bar.chart_day) == (None, 20_000)
    assert taken.market.counts == {"bad values": 1}


def test_an_instrument_is_an_event_for_each_alias() -> None:
    """Each alias gets the same event, with the asset class and the times of the newest entry."""
    taken = Taken("/ES:XCME", "/ES")
    taken.apply(Service.LEVELONE_FUTURES, key="/ES", **{"25": 0.25, "10": 60_000})
    taken.apply(Service.LEVELONE_FUTURES, key="/ES", **{"3": 6.0, "10": 70_000})
    first, second = taken.instruments()
    assert (first.symbol, second.symbol) == ("/ES:XCME", "/ES")
    assert first.model_copy(update={"symbol": "/ES"}) == second
    assert (first.asset, first.tick, first.timestamp, first.received_us) == (Asset.FUTURE, 0.25, 70_000, NOW_US)


def test_only_a_change_makes_an_event() -> None:
    """Prices do not change an instrument, nor does a snapshot that repeats its fields, nor a second look."""
    taken = Taken("AAPL")
    taken.apply(Service.LEVELONE_EQUITIES, key="AAPL", **{"3": 1.5, "15": "APPLE INC", "14": True})
    (instrument,) = taken.instruments()
    assert (instrument.description, instrument.is_marginable) == ("APPLE INC", True)
    taken.apply(Service.LEVELONE_EQUITIES, key="AAPL", **{"3": 1.75})
    taken.apply(Service.LEVELONE_EQUITIES, key="AAPL", **{"3": 1.75, "15": "APPLE INC", "14": True})
    assert taken.instruments() == []
    taken.apply(Service.LEVELONE_EQUITIES, key="AAPL", **{"14": None})
    (instrument,) = taken.instruments()
    assert (instrument.description, instrument.is_marginable) == ("APPLE INC", None)


def test_many_instruments_are_taken_in_turns() -> None:
    """At most as many keys as asked for are taken at a time, the one whose change is the oldest first."""
    taken = Taken("AAPL", "MSFT", "F")
    for key in ("MSFT", "F", "MSFT", "AAPL"):
        taken.apply(Service.LEVELONE_EQUITIES, key=key, **{"15": f"{key} {len(taken.events)}", "3": 1.0})
    assert [each.symbol for each in taken.instruments(2)] == ["MSFT", "F"]
    taken.apply(Service.LEVELONE_EQUITIES, key="MSFT", **{"15": "renamed"})
    assert [each.symbol for each in taken.instruments(2)] == ["AAPL", "MSFT"]
    assert taken.instruments(2) == []


def test_a_new_alias_gets_its_instrument_and_a_released_one_none() -> None:
    """An alias that is added later has its event although no field has changed; a removed symbol has none."""
    taken = Taken("/ES:XCME", "AAPL")
    taken.apply(Service.LEVELONE_FUTURES, key="/ES", **{"25": 0.25})
    assert [each.symbol for each in taken.instruments()] == ["/ES:XCME"]
    taken.market.add(parse_symbol("/ES", date(2025, 12, 7)))
    assert [(each.symbol, each.tick) for each in taken.instruments()] == [("/ES:XCME", 0.25), ("/ES", 0.25)]
    taken.apply(Service.LEVELONE_EQUITIES, key="AAPL", **{"15": "APPLE INC"})
    taken.market.remove(parse_symbol("AAPL", date(2025, 12, 7)))
    assert taken.instruments() == []


@pytest.mark.parametrize("ticks", [False, True])
def test_after_a_loss_in_redis_everything_can_be_written_again(*, ticks: bool) -> None:
    """Every instrument counts as changed, and if ``ticks``, every last tick is published as a repeat."""
    taken = Taken("AAPL", "MSFT")
    taken.apply("LEVELONE_EQUITIES", key="AAPL", **{"3": 6.0, "15": "Apple"})
    before = taken.instruments()
    assert before
    assert taken.instruments() == []
    taken.events.clear()
    taken.market.renew(ticks=ticks)
    assert taken.instruments() == before
    assert [event.symbol for event in taken.events] == ([each.symbol for each in before] if ticks else [])
    assert all(isinstance(event, TickEvent) and event.repeat for event in taken.events)
