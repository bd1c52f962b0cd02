"""The market: merging against a slow model, ticks, books and bars as consumers get them, and garbage counted."""

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schwabstream.events import BarEvent, Channel, Level2Event, TickEvent, parse_event
from schwabstream.market.last_values import LastValues
from schwabstream.protocol.codec import Batch, decode
from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.protocol.subscriptions import BOOK_SERVICES, LEVEL_ONE
from schwabstream.protocol.symbols import Asset, parse_symbols
from schwabstream.protocol.values import Kind

TODAY = date(2025, 12, 7)
FIXTURES = Path(__file__).parents[2] / "fixtures" / "frames.jsonl"
FRAMES: dict[str, str] = {
    line["name"]: line["raw"] for line in map(json.loads, FIXTURES.read_text(encoding="utf-8").splitlines())
}
FUTURES, EQUITIES = "LEVELONE_FUTURES", "LEVELONE_EQUITIES"
OPTION = "AAPL  271217C00200000"
FRAME_MS, RECEIVED_US = 1_765_083_430_060, 1_765_083_430_071_234


class Floor:
    """A market and everything it has published, copied at once as the contract with it demands."""

    def __init__(self, *symbols: str) -> None:
        self.published: list[tuple[Channel, dict[str, Any]]] = []
        self.market = LastValues(parse_symbols(symbols, TODAY), self.take)

    def take(self, channel: Channel, event: dict[str, Any]) -> None:
        """Keep it as consumers get it, and hold it against the model they use."""
        payload = orjson.dumps(event)
        parse_event(payload)
        self.published.append((channel, orjson.loads(payload)))

    def apply(self, service: str, *content: Any, timestamp_ms: int | None = FRAME_MS, at: int = RECEIVED_US) -> None:
        """One batch of these entries."""
        self.market.apply(Batch(service, timestamp_ms, list(content)), at)

    def receive(self, frame: str) -> None:
        """All batches of one frame."""
        for message in decode(frame):
            if isinstance(message, Batch):
                self.market.apply(message, RECEIVED_US)

    def on(self, channel: Channel) -> list[dict[str, Any]]:
        """What was published on one channel."""
        return [event for where, event in self.published if where is channel]

    @property
    def tick(self) -> TickEvent:
        """The latest tick, as its consumer gets it."""
        event = parse_event(orjson.dumps(self.on(Channel.TICKS)[-1]))
        assert isinstance(event, TickEvent)
        return event

    @property
    def book(self) -> Level2Event:
        """The latest book, as its consumer gets it."""
        event = parse_event(orjson.dumps(self.on(Channel.LEVEL2)[-1]))
        assert isinstance(event, Level2Event)
        return event


def level(price: float, *venues: tuple[str, int], **changes: Any) -> dict[str, Any]:
    """One level of a book as it is on the wire."""
    makers = [{"0": name, "1": size, "2": 49_786_299} for name, size in venues]
    return {"0": price, "1": sum(size for _, size in venues), "2": len(makers), "3": makers} | {
        number.strip("_"): value for number, value in changes.items()
    }


# --- ticks -------------------------------------------------------------------------------------------------------


def test_a_snapshot_becomes_a_full_tick() -> None:
    """Every field of a full futures snapshot arrives under its contract's name, with the symbol as written."""
    floor = Floor("/MNQ:XCME")
    floor.receive(FRAMES["futures-snapshot-full"])
    assert floor.tick == TickEvent(
        symbol="/MNQ:XCME",
        key="/MNQ",
        seq=0,
        prev=0,
        timestamp=1765083430002,
        received_us=RECEIVED_US,
        asset="FUTURE",
        contract="/MNQZ25",
        last_price=25210.5,
        last_size=1,
        bid_price=25210.25,
        bid_size=3,
        ask_price=25210.5,
        ask_size=5,
        total_volume=812345,
        open_price=25144.25,
        high_price=25301.0,
        low_price=25080.75,
        close_price=25150.0,
        net_change=60.5,
        mark=25210.5,
        open_interest=91234,
        trade_time=1765083429950,
        quote_time=1765083430002,
        is_trade=False,
        delayed=False,
        percent_change=0.24055666,
        security_status="Normal",
    )
    instrument = floor.market.instruments["/MNQ"]
    assert instrument.info["tick"] == 0.25
    assert instrument.info["exchange_name"] == "XCME"


def test_a_change_keeps_what_it_does_not_name() -> None:
    """After a change the tick is still the full known state."""
    floor = Floor("/ES")
    floor.receive(FRAMES["futures-snapshot-root"])
    floor.receive(FRAMES["futures-quote-change"])
    assert (floor.tick.bid_price, floor.tick.bid_size) == (6879.25, 11)
    assert (floor.tick.ask_price, floor.tick.ask_size, floor.tick.last_price) == (6880.0, 7, 6879.5)


@pytest.mark.parametrize("name", FRAMES)
def test_every_recorded_frame_can_be_applied(name: str) -> None:
    """Every recording, wanted or not, is applied without raising, and what it publishes is an event."""
    floor = Floor("/ES", "/MNQ", "/NQ", "/GOOG", "AAPL", "MSFT", "AMD", "F", "./OGG26C4240", "EUR/USD")
    floor.receive(FRAMES[name])


def test_a_root_that_is_answered_under_its_contract_is_the_root() -> None:
    """Ticks, books and bars that Schwab sends under the contract's key have the root's symbol, key and contract."""
    floor = Floor("/MES:XCME", "/MES")
    floor.apply(FUTURES, {"key": "/MESZ26", "assetMainType": "FUTURE", "1": 1.0, "2": 2.0, "3": 1.5})
    floor.apply(FUTURES, {"key": "/MESZ26", "3": 1.75})
    floor.apply("FUTURES_BOOK", {"key": "/MESZ26", "1": 5, "2": [level(1.0, ("X", 3))], "3": []})
    floor.apply("CHART_FUTURES", {"key": "/MESZ26", "1": 60_000, "2": 1.0, "3": 2.0, "4": 1.0, "5": 2.0, "6": 9})
    ticks = floor.on(Channel.TICKS)
    assert [each["symbol"] for each in ticks] == ["/MES:XCME", "/MES"] * 2
    assert {(each["key"], each["contract"]) for each in ticks} == {("/MES", "/MESZ26")}
    assert ticks[-1]["last_price"] == 1.75
    assert {each["key"] for each in floor.on(Channel.LEVEL2) + floor.on(Channel.BARS)} == {"/MES"}
    assert floor.market.instruments["/MES"].fresh
    assert not floor.market.counts


def test_a_root_that_is_answered_under_its_contract_follows_the_roll() -> None:
    """The snapshot of the next contract takes the root over; entries of the old contract no longer count for it."""
    floor = Floor("/MES")
    floor.apply(FUTURES, {"key": "/MESZ26", "assetMainType": "FUTURE", "3": 1.5})
    floor.apply(FUTURES, {"key": "/MESH27", "3": 9.0})
    assert floor.tick.last_price == 1.5, "a change without a snapshot takes nothing over"
    floor.apply(FUTURES, {"key": "/MESH27", "assetMainType": "FUTURE", "3": 2.5})
    floor.apply(FUTURES, {"key": "/MESZ26", "3": 1.25})
    assert (floor.tick.last_price, floor.tick.contract) == (2.5, "/MESH27")
    assert floor.market.counts["unknown entries"] == 2


def test_a_contract_is_not_its_root_while_the_root_is_answered_by_its_own_key() -> None:
    """A contract that was subscribed by its own key, or is not that of a wanted root, stays apart."""
    floor = Floor("/MES", "/MNQZ26", "/MNQ", "AAPL")
    floor.apply(FUTURES, {"key": "/MES", "assetMainType": "FUTURE", "3": 1.5})
    floor.apply(FUTURES, {"key": "/MESZ26", "assetMainType": "FUTURE", "3": 2.5})
    floor.apply(FUTURES, {"key": "/MNQZ26", "assetMainType": "FUTURE", "3": 3.5})
    floor.apply(FUTURES, {"key": "/NQZ26", "assetMainType": "FUTURE", "3": 4.5})
    floor.apply(EQUITIES, {"key": "/MESZ26", "assetMainType": "EQUITY", "3": 5.5})
    prices = [(each["key"], each["last_price"]) for each in floor.on(Channel.TICKS)]
    assert prices == [("/MES", 1.5), ("/MNQZ26", 3.5)]
    assert not floor.market.instruments["/MNQ"].fresh
    assert floor.market.counts["unknown entries"] == 3


def test_each_session_finds_out_anew_under_which_key_a_root_is_answered() -> None:
    """A key that stood for a root in one session stands for nothing in the next until it has answered again."""
    floor = Floor("/MES")
    floor.apply(FUTURES, {"key": "/MESZ26", "assetMainType": "FUTURE", "3": 1.5})
    floor.market.begin_session()
    floor.apply(FUTURES, {"key": "/MES", "assetMainType": "FUTURE", "3": 2.5})
    floor.apply(FUTURES, {"key": "/MESZ26", "3": 3.5})
    assert floor.tick.last_price == 2.5
    floor.market.begin_session()
    floor.apply(FUTURES, {"key": "/MESZ26", "assetMainType": "FUTURE", "3": 4.5})
    assert floor.tick.last_price == 4.5


def test_missing_null_zero_and_empty_stay_apart() -> None:
    """A missing field is unchanged, null becomes unknown, 0 is a price and "" a text."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "1": 5.5, "2": 6.5, "3": 6.0, "12": 7.0, "16": "E-mini", "22": "Normal"})
    floor.apply(FUTURES, {"key": "/ES", "2": None, "12": 0, "16": "", "22": None})
    assert (floor.tick.bid_price, floor.tick.ask_price, floor.tick.high_price) == (5.5, None, 0)
    info = floor.market.instruments["/ES"].info
    assert (info["description"], floor.tick.security_status) == ("", None)
    assert "tick" not in info
    assert not floor.market.counts


def test_nothing_is_published_before_a_price() -> None:
    """One side of the quote makes no tick; the first last price does, with all values received by that time."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "1": 5.5})
    floor.apply(FUTURES, {"key": "/ES", "2": None})
    assert floor.published == []
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0})
    assert (floor.tick.bid_price, floor.tick.last_price) == (5.5, 6.0)
    floor.apply(FUTURES, {"key": "/ES", "3": None, "1": 5.0})
    assert len(floor.published) == 1
    assert floor.market.instruments["/ES"].updates == 4


def test_a_symbol_that_has_never_traded_has_ticks() -> None:
    """A bid and an ask make a tick without a last price, which is not a trade, and which is repeated when quiet."""
    floor = Floor(OPTION)
    floor.apply("LEVELONE_OPTIONS", {"key": OPTION, "2": 0, "assetMainType": "OPTION"})
    assert floor.published == []
    floor.apply("LEVELONE_OPTIONS", {"key": OPTION, "3": 0.05})
    floor.apply("LEVELONE_OPTIONS", {"key": OPTION, "4": None})
    tick = floor.tick
    assert (tick.bid_price, tick.ask_price, tick.last_price, tick.is_trade) == (0, 0.05, None, False)
    floor.market.repeat(floor.market.instruments[OPTION])
    assert floor.tick.repeat
    floor.apply("LEVELONE_OPTIONS", {"key": OPTION, "4": 0.03, "39": 5})
    assert (floor.tick.last_price, floor.tick.is_trade) == (0.03, True)


def test_a_value_that_the_model_lacks_is_unknown() -> None:
    """Schwab sends -999 for a greek that it has not calculated; consumers get null (trap T14)."""
    floor = Floor(OPTION)
    floor.apply("LEVELONE_OPTIONS", {"key": OPTION, "4": 1.5, "28": -0.45, "31": -999, "32": -999.0, "10": 31.5})
    tick = floor.tick
    assert (tick.delta, tick.vega, tick.rho, tick.implied_volatility) == (-0.45, None, None, 31.5)
    floor.apply("LEVELONE_OPTIONS", {"key": OPTION, "28": None, "29": "x", "35": -999, "19": -999})
    tick = floor.tick
    assert (tick.delta, tick.gamma, tick.underlying_price, tick.net_change) == (None, None, -999, -999)
    assert floor.market.counts == {"bad values": 1}


def test_only_ticks_of_options_have_the_values_of_the_model() -> None:
    """The greeks are absent, not null, from ticks of other symbols; ticks of options always have them."""
    greeks = {"delta", "gamma", "theta", "vega", "rho", "implied_volatility", "theoretical_value", "underlying_price"}
    floor = Floor("/ES", "AAPL", "EUR/USD", "$SPX", "./OGG26C4240", OPTION)
    for service, key in ((FUTURES, "/ES"), (EQUITIES, "AAPL"), (EQUITIES, "$SPX"), ("LEVELONE_FOREX", "EUR/USD")):
        floor.apply(service, {"key": key, "3": 1.5})
    floor.apply("LEVELONE_FUTURES_OPTIONS", {"key": "./OGG26C4240", "3": 1.5})
    assert len(floor.published) == 5
    assert not any(greeks & set(tick) for tick in floor.on(Channel.TICKS))
    floor.apply("LEVELONE_OPTIONS", {"key": OPTION, "4": 1.5})
    assert greeks < set(floor.on(Channel.TICKS)[-1])


def test_a_halt_is_part_of_the_tick() -> None:
    """A change of the trading status alone publishes a tick that names it."""
    floor = Floor("AAPL")
    floor.apply(EQUITIES, {"key": "AAPL", "3": 6.0, "32": "Normal"})
    floor.apply(EQUITIES, {"key": "AAPL", "32": "Halted"})
    assert (floor.tick.security_status, floor.tick.is_trade) == ("Halted", False)


def test_the_unknown_symbol_frame_publishes_nothing() -> None:
    """A symbol Schwab does not know has no prices and so no tick; its description is kept for the report (trap T5)."""
    floor = Floor("/GOOG")
    floor.receive(FRAMES["unknown-symbol-invalid-json"])
    assert floor.published == []
    assert floor.market.instruments["/GOOG"].info["description"] == "Symbol not found"


@pytest.mark.parametrize("price", [-37.63, 0, -0.0, 1e-9, 1.7e308, 2**53, 2**63])
def test_odd_prices_are_prices(price: float) -> None:
    """Negative, zero and huge prices pass: crude oil traded below nothing in April 2020."""
    floor = Floor("/CL")
    floor.apply("LEVELONE_FUTURES", {"key": "/CL", "3": price})
    assert floor.tick.last_price == price


@pytest.mark.parametrize("wrong", [True, False, "25000.5", "", [], {}, [1.0]])
def test_an_invalid_price_is_unknown_and_counted(wrong: object) -> None:
    """A value of another kind than its field's makes the field unknown, is counted, and spares the rest."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "1": 5.5, "3": 6.0})
    floor.apply(FUTURES, {"key": "/ES", "1": wrong, "2": 6.5})
    assert (floor.tick.bid_price, floor.tick.ask_price) == (None, 6.5)
    assert floor.market.counts == {"bad values": 1}


@pytest.mark.parametrize("wrong", [True, 1.5, "7", 1e19, -1e300, 2.0**63, []])
def test_an_invalid_size_is_unknown_and_counted(wrong: object) -> None:
    """A size or volume must be whole and within 64 bits, or it could not be written as JSON."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0, "8": 10})
    floor.apply(FUTURES, {"key": "/ES", "8": wrong})
    assert floor.tick.total_volume is None
    assert floor.market.counts == {"bad values": 1}


def test_a_whole_number_with_a_point_is_a_size() -> None:
    """5.0 is the size 5, and leaves as an integer."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0, "4": 5.0, "8": -0.0})
    assert orjson.dumps([floor.on(Channel.TICKS)[-1][name] for name in ("bid_size", "total_volume")]) == b"[5,0]"
    assert not floor.market.counts


@pytest.mark.parametrize(("number", "name"), [("16", "description"), ("30", "is_tradable"), ("25", "tick")])
def test_fields_outside_events_are_checked_too(number: str, name: str) -> None:
    """A field outside the events is held to its kind like any other."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", number: [7]})
    assert floor.market.instruments["/ES"].info == {name: None}
    assert floor.market.counts == {"bad values": 1}


def test_a_flag_is_true_or_false() -> None:
    """1 and 0 are not flags, in an event or out of it."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0, "delayed": 1, "30": 0, "32": False})
    assert floor.tick.delayed is None
    assert floor.market.instruments["/ES"].info == {"is_tradable": None, "is_active": False}
    assert floor.market.counts == {"bad values": 2}


def test_a_character_is_understood_by_its_code() -> None:
    """Futures options send the ids of a recorded snapshot as integers: 63 is a question mark (protocol 4.4)."""
    floor = Floor("./OGG26C4240")
    floor.receive(FRAMES["futures-option-full"])
    info = floor.market.instruments["./OGG26C4240"].info
    assert (info["bid_id"], info["ask_id"], info["last_id"]) == ("?", "?", "?")
    assert (info["contract_type"], info["exchange_id"], info["exchange_name"]) == ("C", "@", "XCEC")
    assert not floor.market.counts


@pytest.mark.parametrize("code", [7, 27, 127, 155, -63, 0x202E, 2**40, 63.0, True, [63]])
def test_an_unprintable_code_is_not_a_character(code: object) -> None:
    """Only the codes of printable ASCII are characters: control characters never come in this way."""
    floor = Floor("./OGG26C4240")
    floor.apply("LEVELONE_FUTURES_OPTIONS", {"key": "./OGG26C4240", "6": code})
    assert floor.market.instruments["./OGG26C4240"].info == {"bid_id": None}
    assert floor.market.counts == {"bad values": 1}


def test_a_text_is_never_made_of_a_code() -> None:
    """A description of 63 is a bad value: only one-character fields have codes."""
    floor = Floor("./OGG26C4240")
    floor.apply("LEVELONE_FUTURES_OPTIONS", {"key": "./OGG26C4240", "16": 63})
    assert floor.market.instruments["./OGG26C4240"].info == {"description": None}
    assert floor.market.counts == {"bad values": 1}


def test_unknown_fields_change_nothing() -> None:
    """Numbers beyond the table and new names are passed over."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0, "0": "x", "99": 1, "": 2, "symbol": "y", "seq": 9})
    assert (floor.tick.symbol, floor.tick.key, floor.tick.seq) == ("/ES", "/ES", 0)
    assert not floor.market.counts


@pytest.mark.parametrize(
    "entry", [None, 7, "key", [], ["key"], {}, {"3": 1.0}, {"key": None}, {"key": 7}, {"key": ["/ES"]}, {"key": "/NQ"}]
)
@pytest.mark.parametrize("service", [*map(str, LEVEL_ONE.values()), "NASDAQ_BOOK", "CHART_FUTURES", "CHART_EQUITY"])
def test_an_entry_that_is_none_is_counted(service: str, entry: object) -> None:
    """What is not an entry of a wanted key is counted, and the entry after it counts."""
    floor = Floor("/ES")
    good = {"key": "/ES", "1": FRAME_MS, "2": 6, "3": 6, "4": 6, "5": 6, "6": 6, "7": FRAME_MS}
    floor.apply(service, entry, good | ({"2": [], "3": []} if service == "NASDAQ_BOOK" else {}))
    (count,) = {name: number for name, number in floor.market.counts.items() if name != "bad values"}.values()
    assert count == 1
    assert len(floor.published) == 1 or service == "LEVELONE_OPTIONS"


def test_unknown_services_are_counted() -> None:
    """A batch of a service nothing is known of is counted once and passed over."""
    floor = Floor("/ES")
    floor.apply("BRAND_NEW", {"key": "/ES", "3": 6.0}, {"key": "/ES"})
    floor.apply("NEWS_HEADLINE", {"key": "AAPL"})
    assert floor.published == []
    assert floor.market.counts == {"unknown services": 2}


def test_screeners_and_account_activity_have_channels_of_their_own() -> None:
    """A list of a screener and a message about an account are published on arrival, whatever the symbols."""
    floor = Floor("/ES")
    floor.apply("SCREENER_OPTION", {"key": "OPTION_ALL_TRADES_60", "4": [{"symbol": "SPY"}]}, {"key": "x"})
    floor.apply("ACCT_ACTIVITY", {"key": "Account Activity", "1": "12345678", "2": "SUBSCRIBED", "3": ""})
    assert [(channel, event["symbol"]) for channel, event in floor.published] == [
        ("screeners", "OPTION_ALL_TRADES_60"),
        ("account", "****5678"),
    ]
    assert floor.market.counts == {"unknown entries": 1}


def test_an_empty_batch_is_nothing() -> None:
    """A batch without entries changes, publishes and counts nothing."""
    floor = Floor("/ES")
    for service in (FUTURES, "NASDAQ_BOOK", "CHART_FUTURES"):
        floor.apply(service)
    assert floor.published == []
    assert not floor.market.counts


# --- symbols -----------------------------------------------------------------------------------------------------


def test_every_alias_gets_its_events() -> None:
    """Each way the user wrote one instrument gets each tick, book and bar, once, the key's own form included."""
    floor = Floor("/ES:XCME", "/ES", "/es", "/ES:XCME")
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0})
    floor.apply("FUTURES_BOOK", {"key": "/ES", "2": [level(6.0, ("CME", 3))], "3": []})
    floor.apply("CHART_FUTURES", {"key": "/ES", "1": FRAME_MS, "2": 1, "3": 2, "4": 0.5, "5": 1, "6": 9})
    for channel in (Channel.TICKS, Channel.LEVEL2, Channel.BARS):
        events = floor.on(channel)
        assert [event["symbol"] for event in events] == ["/ES:XCME", "/ES", "/es"]
        assert {event["key"] for event in events} == {"/ES"}
    assert floor.market.instruments["/ES"].updates == 1


def test_the_same_symbols_given_twice_are_one() -> None:
    """An alias that comes twice, past the parser, still gets each event once."""
    symbols = parse_symbols(["/ES"], TODAY)
    ticks: list[str] = []
    market = LastValues([*symbols, *symbols], lambda _, event: ticks.append(event["symbol"]))
    market.apply(Batch(FUTURES, 1, [{"key": "/ES", "3": 6.0}]), RECEIVED_US)
    assert ticks == ["/ES"]


def test_the_active_contract_names_a_root() -> None:
    """A root's contract is what Schwab calls active, and follows the roll (trap T18)."""
    floor = Floor("/ES:XCME")
    for change in ({"3": 6.0}, {"34": "/ESZ25"}, {"34": "/ESH26", "3": 6.5}, {"1": 6.0}, {"34": None}):
        floor.apply(FUTURES, {"key": "/ES", **change})
    contracts = [event["contract"] for event in floor.on(Channel.TICKS)]
    assert contracts == [None, "/ESZ25", "/ESH26", "/ESH26", None]


def test_a_contract_is_its_own() -> None:
    """Asked for by contract, an instrument keeps that contract whatever is active."""
    floor = Floor("/ESH26:XCME", "AAPL")
    floor.apply(FUTURES, {"key": "/ESH26", "3": 6.0, "34": "/ESZ25"})
    assert floor.tick.contract == "/ESH26"
    floor.apply(EQUITIES, {"key": "AAPL", "3": 6.0, "34": FRAME_MS})
    assert floor.tick.contract is None


@pytest.mark.parametrize(
    ("service", "text", "key", "entry"),
    [
        (EQUITIES, "AAPL", "AAPL", {"1": 1.5, "2": 2.5, "3": 2.0, "8": 9, "33": 2.1, "34": 50, "35": 40}),
        ("LEVELONE_OPTIONS", OPTION, OPTION, {"2": 1.5, "3": 2.5, "4": 2.0, "8": 9, "37": 2.1, "38": 50, "39": 40}),
        (FUTURES, "/ES", "/ES", {"1": 1.5, "2": 2.5, "3": 2.0, "8": 9, "24": 2.1, "10": 50, "11": 40}),
        ("LEVELONE_FUTURES_OPTIONS", "./OGG26C4240", "./OGG26C4240",
         {"1": 1.5, "2": 2.5, "3": 2.0, "8": 9, "19": 2.1, "10": 50, "11": 40}),
        ("LEVELONE_FOREX", "EUR/USD", "EUR/USD", {"1": 1.5, "2": 2.5, "3": 2.0, "6": 9, "29": 2.1, "8": 50, "9": 40}),
    ],
)  # fmt: skip
def test_every_level_one_service_has_its_own_numbers(service: str, text: str, key: str, entry: dict[str, Any]) -> None:
    """The same meaning comes out of each service's own field numbers."""
    floor = Floor(text)
    floor.apply(service, {"key": key, **entry})
    tick = floor.tick
    assert (tick.bid_price, tick.ask_price, tick.last_price, tick.total_volume) == (1.5, 2.5, 2.0, 9)
    assert (tick.mark, tick.quote_time, tick.trade_time, tick.timestamp) == (2.1, 50, 40, 50)


# --- time and trades ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"10": 500, "11": 400}, 500),
        ({"10": 400, "11": 500}, 500),
        ({"11": 400}, 400),
        ({"10": 400}, 400),
        ({}, FRAME_MS),
        ({"10": 0, "11": 0}, FRAME_MS),
        ({"10": None}, FRAME_MS),
        ({"10": -5, "11": -7}, FRAME_MS),
        ({"10": True, "11": "x"}, FRAME_MS),
    ],
)
def test_the_timestamp_is_the_later_of_trade_and_quote(times: dict[str, Any], expected: int) -> None:
    """A tick is dated by the exchange, and by the frame only until the exchange's time is known."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0, **times})
    assert floor.tick.timestamp == expected
    assert floor.tick.received_us == RECEIVED_US


@pytest.mark.parametrize("timestamp_ms", [None, 0])
def test_a_frame_without_time_is_dated_by_its_arrival(timestamp_ms: int | None) -> None:
    """Where neither exchange nor frame has a time, the receive time counts, in milliseconds."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0}, timestamp_ms=timestamp_ms)
    assert floor.tick.timestamp == RECEIVED_US // 1000


def trades(*entries: dict[str, Any], fresh_from: int | None = None) -> list[bool]:
    """Whether each of these updates of /ES was taken for a trade; a new session begins before ``fresh_from``."""
    floor = Floor("/ES")
    for index, entry in enumerate(entries):
        if index == fresh_from:
            floor.market.begin_session()
        floor.apply(FUTURES, {"key": "/ES", **entry})
    return [event["is_trade"] for event in floor.on(Channel.TICKS)]


FIRST = {"3": 6.0, "9": 1, "11": 1000, "assetMainType": "FUTURE"}


def test_a_first_snapshot_is_not_a_trade() -> None:
    """The first entry of a symbol repeats a trade made earlier."""
    assert trades(FIRST) == [False]


@pytest.mark.parametrize("entry", [{"3": 6.25}, {"9": 1}, {"11": 1001}, {"3": 6.25, "1": 6.0, "9": 2, "11": 1001}])
def test_an_update_with_last_price_size_or_trade_time_is_a_trade(entry: dict[str, Any]) -> None:
    """A change of any part of the last trade means that there was one."""
    assert trades(FIRST, entry) == [False, True]


@pytest.mark.parametrize(
    "entry", [{"1": 6.0}, {"8": 77, "10": 5}, {"33": 6.0}, {}, {"9": None}, {"11": None}, {"9": "x"}]
)
def test_an_update_without_a_trade_is_none(entry: dict[str, Any]) -> None:
    """Quotes, volumes and settlement move without a trade (trap T17); nor is a trade's lost value a trade."""
    assert trades(FIRST, entry) == [False, False]


def test_is_trade_is_of_each_update() -> None:
    """A quote after a trade is not a trade again."""
    assert trades(FIRST, {"3": 7.0}, {"1": 6.0}, {"3": 7.25}) == [False, True, False, True]


@pytest.mark.parametrize(
    ("snapshot", "is_trade"),
    [
        (FIRST, False),
        (FIRST | {"3": 9.0, "11": 2000}, True),
        (FIRST | {"11": 900}, False),
        (FIRST | {"11": None}, False),
        ({"3": 9.0}, False),
    ],
)
def test_a_snapshot_after_a_reconnect_is_a_trade_when_time_moved_on(snapshot: dict[str, Any], is_trade: bool) -> None:
    """A new session's snapshot repeats the last trade; it is a new one only when the trade's time is later."""
    assert trades(FIRST, snapshot, fresh_from=1) == [False, is_trade]


def test_a_snapshot_in_the_same_session_is_not_a_trade() -> None:
    """A subscription sent again brings the snapshot again, and with it no trade but a later one."""
    assert trades(FIRST, FIRST, FIRST | {"11": 2000}, {"3": 7.0}) == [False, False, True, True]


def test_a_snapshot_without_a_trade_time_is_not_a_trade() -> None:
    """A snapshot whose trade time is null shows no trade, even after a trade time before 1970."""
    assert trades(FIRST | {"11": -5}, FIRST | {"11": None}) == [False, False]


def test_the_first_trade_of_a_symbol_that_never_traded() -> None:
    """Where no trade was known, a change that brings one is a trade."""
    assert trades({"1": 5.0, "assetMainType": "FUTURE"}, {"3": 6.0, "11": 5}) == [True]


# --- sessions ----------------------------------------------------------------------------------------------------


def test_a_reconnect_marks_what_is_not_fresh() -> None:
    """A new session confirms each key by its first entry; until then the last values stay, marked."""
    floor = Floor("/ES", "/NQ")
    es, nq = floor.market.instruments["/ES"], floor.market.instruments["/NQ"]

    def fresh() -> tuple[bool, bool]:
        return es.fresh, nq.fresh

    assert fresh() == (False, False)
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0, "1": 5.5}, {"key": "/NQ", "3": 7.0})
    assert fresh() == (True, True)
    floor.market.begin_session()
    assert fresh() == (False, False)
    floor.apply(FUTURES, {"key": "/ES", "3": 6.5})
    assert fresh() == (True, False)
    assert floor.tick.bid_price == 5.5
    assert nq.tick["last_price"] == 7.0


def test_a_repeat_is_the_last_tick_marked() -> None:
    """A quiet symbol's last tick goes out again to every alias, marked, as no trade; the next change is none."""
    floor = Floor("/ES:XCME", "/ES")
    floor.apply(FUTURES, {"key": "/ES", "1": 5.5})
    instrument = floor.market.instruments["/ES"]
    floor.market.repeat(instrument)
    assert floor.published == []
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0})
    floor.apply(FUTURES, {"key": "/ES", "3": 6.25})
    floor.market.repeat(instrument)
    *_, traded, first, second = floor.on(Channel.TICKS)
    assert (first["symbol"], second["symbol"]) == ("/ES:XCME", "/ES")
    assert traded | {"repeat": True, "is_trade": False} == second
    floor.apply(FUTURES, {"key": "/ES", "1": 5.0})
    assert not floor.tick.repeat
    assert instrument.updates == 4


# --- top of book -------------------------------------------------------------------------------------------------


def test_top_of_book_is_built_from_level_one() -> None:
    """Where Schwab has no depth each quote makes a one-level book, marked as such and dated like the tick."""
    floor = Floor("/ES:XCME", "/ES")
    floor.market.use_top_of_book(["/ES", "/NQ"])
    assert floor.published == []
    assert floor.market.instruments["/ES"].book is None
    floor.apply(FUTURES, {"key": "/ES", "1": 5.5, "2": 6.5, "4": 3, "5": 4, "10": 500})
    assert [event["symbol"] for event in floor.on(Channel.LEVEL2)] == ["/ES:XCME", "/ES"]
    book = floor.book
    assert (book.source, book.service, book.timestamp, book.received_us) == ("top_of_book", FUTURES, 500, RECEIVED_US)
    assert [(side.price, side.size, side.makers, side.venues) for side in book.bids] == [(5.5, 3, 0, ())]
    assert [(side.price, side.size, side.makers, side.venues) for side in book.asks] == [(6.5, 4, 0, ())]
    assert floor.market.instruments["/ES"].book == "top_of_book"


@pytest.mark.parametrize("number", ["1", "2", "4", "5"])
def test_only_quotes_make_a_new_top_of_book(number: str) -> None:
    """A change of price or size of either side is a new book; a trade is none."""
    floor = Floor("/ES")
    floor.market.use_top_of_book(["/ES"])
    floor.apply(FUTURES, {"key": "/ES", "3": 6.0, "8": 5})
    assert floor.on(Channel.LEVEL2) == []
    floor.apply(FUTURES, {"key": "/ES", number: 7})
    assert len(floor.on(Channel.LEVEL2)) == 1


def test_a_late_refusal_of_depth_publishes_the_book_at_once() -> None:
    """When the refusal comes after the snapshot, the book is made of what is known, and once only."""
    floor = Floor("/ES")
    floor.apply(FUTURES, {"key": "/ES", "1": 5.5, "2": 6.5})
    floor.market.use_top_of_book(["/ES"])
    floor.market.use_top_of_book(["/ES"])
    assert len(floor.on(Channel.LEVEL2)) == 1


@pytest.mark.parametrize(
    ("price", "size", "levels"),
    [
        (None, 5, []),
        (0, 0, []),
        (0, None, []),
        (-0.0, 0, []),
        (0, 5, [(0, 5)]),
        (-37.63, 2, [(-37.63, 2)]),
        (6.0, None, [(6.0, 0)]),
        (6.0, 0, [(6.0, 0)]),
    ],
)
def test_a_side_without_a_price_has_no_level(price: float | None, size: int | None, levels: list[Any]) -> None:
    """A missing price is not a level, 0 for 0 is Schwab's form of none (trap T14), below zero is a price."""
    floor = Floor("/ES")
    floor.market.use_top_of_book(["/ES"])
    floor.apply(FUTURES, {"key": "/ES", "1": price, "4": size, "2": price, "5": size})
    assert [(side.price, side.size) for side in floor.book.bids] == levels
    assert [(side.price, side.size) for side in floor.book.asks] == levels


def test_depth_replaces_the_top_of_book() -> None:
    """When Schwab answers with depth, the one-level books stop by themselves."""
    floor = Floor("/ES")
    floor.market.use_top_of_book(["/ES"])
    floor.apply(FUTURES, {"key": "/ES", "1": 5.5})
    floor.apply("FUTURES_BOOK", {"key": "/ES", "2": [level(5.5, ("CME", 3))]})
    assert floor.book.source == "book"
    assert floor.market.instruments["/ES"].book == "book"
    floor.apply(FUTURES, {"key": "/ES", "1": 5.25})
    assert len(floor.on(Channel.LEVEL2)) == 2


def test_the_top_of_book_names_the_service_it_comes_from() -> None:
    """A one-level book names the level-1 service it was made from."""
    floor = Floor("AAPL")
    floor.market.use_top_of_book(["AAPL"])
    floor.apply(EQUITIES, {"key": "AAPL", "1": 5.5})
    assert floor.book.service == EQUITIES


# --- books -------------------------------------------------------------------------------------------------------


def test_a_book_in_our_names() -> None:
    """The recorded Nasdaq book comes out whole: levels, makers, venues as written, and Schwab's snapshot time."""
    floor = Floor("AMD")
    floor.receive(FRAMES["nasdaq-book"])
    book = floor.book
    assert (book.symbol, book.service, book.source, book.timestamp) == ("AMD", "NASDAQ_BOOK", "book", 1765306382549)
    best = book.bids[0]
    assert (best.price, best.size, best.makers) == (221.38, 640, 4)
    assert [(venue.id, venue.size, venue.time_ms) for venue in best.venues] == [
        ("iexg", 200, 49980045),
        ("edgx", 200, 49980852),
        ("NSDQ", 140, 49978628),
        ("G", 100, 49980039),
    ]
    assert [side.price for side in book.bids] == [221.38, 221.31]
    assert [side.price for side in book.asks] == [221.44]


@given(prices=st.lists(st.floats(-50, 50), max_size=12), service=st.sampled_from(sorted(BOOK_SERVICES)))
def test_books_are_best_first_whichever_order_arrives(prices: list[float], service: str) -> None:
    """Bids descend and asks ascend, however Schwab ordered them; no level is lost and none merged."""
    floor = Floor("AMD")
    floor.apply(service, {"key": "AMD", "2": [level(p, ("A", 1)) for p in prices], "3": [level(p) for p in prices]})
    assert [side.price for side in floor.book.bids] == sorted(prices, reverse=True)
    assert [side.price for side in floor.book.asks] == sorted(prices)


@pytest.mark.parametrize("sides", [{}, {"2": []}, {"3": []}, {"2": None, "3": None}, {"2": [], "3": []}])
def test_missing_sides_are_empty(sides: dict[str, Any]) -> None:
    """A side that is absent, null or empty has no levels (protocol 4.6)."""
    floor = Floor("AMD")
    floor.apply("NASDAQ_BOOK", {"key": "AMD", **sides})
    assert (floor.book.bids, floor.book.asks) == ((), ())
    assert not floor.market.counts


def test_a_book_replaces_the_one_before() -> None:
    """A book is whole: nothing of the one before is left in it."""
    floor = Floor("AMD")
    floor.apply("NASDAQ_BOOK", {"key": "AMD", "2": [level(5.0)], "3": [level(6.0)]})
    floor.apply("NASDAQ_BOOK", {"key": "AMD", "3": [level(7.0)]})
    assert (floor.book.bids, [side.price for side in floor.book.asks]) == ((), [7.0])


@pytest.mark.parametrize("time", [None, 0, -1, "x", True, 1.5])
def test_a_book_without_time_is_dated_by_its_frame(time: object) -> None:
    """A snapshot time that is none gives way to the frame's."""
    floor = Floor("AMD")
    floor.apply("NYSE_BOOK", {"key": "AMD", "1": time})
    assert floor.book.timestamp == FRAME_MS


GARBAGE = [
    "x",
    7,
    True,
    [7],
    ["level"],
    [None],
    [[]],
    [{}],
    [{"0": 5.0}],
    [level(5.0, _0=None)],
    [level(5.0, _0="5")],
    [level(5.0, _0=True)],
    [level(5.0, _1=None)],
    [level(5.0, _1=True)],
    [level(5.0, _1=1.5)],
    [level(5.0, _1=1e19)],
    [level(5.0, _2=None)],
    [level(5.0, _2="1")],
    [level(5.0, _3=None)],
    [level(5.0, _3=7)],
    [level(5.0, _3=[7])],
    [level(5.0, _3=["0"])],
    [level(5.0, _3=[[]])],
    [level(5.0, _3=[{"0": "A"}])],
    [level(5.0, _3=[{"0": None, "1": 5}])],
    [level(5.0, _3=[{"0": "A", "1": "5"}])],
    [level(5.0, _3=[{"0": "A", "1": False}])],
    [level(4.0), level(5.0, _1=None)],
]


@pytest.mark.parametrize("side", ["2", "3"])
@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_a_garbled_book_is_counted_and_not_published(garbage: object, side: str) -> None:
    """Half a book would be a wrong book: it is counted, and the next entry counts."""
    floor = Floor("AMD", "F")
    floor.apply("NASDAQ_BOOK", {"key": "AMD", side: garbage}, {"key": "F", "2": [level(1.0)]})
    assert [event["key"] for event in floor.on(Channel.LEVEL2)] == ["F"]
    assert floor.market.counts == {"bad books": 1}


def test_whole_sizes_with_a_point_are_sizes() -> None:
    """100.0 shares are 100 shares, in a level as in level 1."""
    floor = Floor("AMD")
    floor.apply("NASDAQ_BOOK", {"key": "AMD", "2": [level(5.0, ("A", 7), _1=100.0, _2=1.0)]})
    floor.apply("NASDAQ_BOOK", {"key": "AMD", "2": [{"0": 5, "1": 7, "2": 1, "3": [{"0": "A", "1": 7.0}]}]})
    first, second = floor.on(Channel.LEVEL2)
    assert orjson.dumps([first["bids"][0]["size"], first["bids"][0]["makers"]]) == b"[100,1]"
    assert orjson.dumps(second["bids"][0]["venues"]) == b'[{"id":"A","size":7,"time_ms":null}]'


@pytest.mark.parametrize("time", [None, "x", True, 1.5])
def test_a_makers_time_that_is_none_is_unknown(time: object) -> None:
    """A maker's odd time costs only itself."""
    floor = Floor("AMD")
    floor.apply("NASDAQ_BOOK", {"key": "AMD", "2": [level(5.0, _3=[{"0": "A", "1": 5, "2": time}])]})
    assert floor.book.bids[0].venues[0].time_ms is None


# --- bars --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "symbol", "bar"),
    [
        ("chart-futures", "/ES:XCME", (1765307160000, 6858.25, 6858.75, 6857.75, 6858.5, 897)),
        ("chart-equity", "AMD", (1765307100000, 221.133, 221.18, 221.02, 221.02, 11730)),
    ],
)
def test_bars_in_both_layouts_of_the_wire(frame: str, symbol: str, bar: tuple[float, ...]) -> None:
    """Futures bars begin with their time, equity bars with a sequence that the guide omits (protocol 4.7)."""
    floor = Floor(symbol)
    floor.receive(FRAMES[frame])
    (published,) = floor.on(Channel.BARS)
    event = parse_event(orjson.dumps(published))
    assert isinstance(event, BarEvent)
    assert [event.timestamp, event.open, event.high, event.low, event.close, event.volume] == list(bar)
    assert (event.symbol, event.received_us) == (symbol, RECEIVED_US)


@pytest.mark.parametrize("number", ["1", "2", "3", "4", "5", "6"])
@pytest.mark.parametrize("wrong", ["absent", None, "6.5", True, []])
def test_a_garbled_bar_is_counted_and_not_published(number: str, wrong: object) -> None:
    """A bar that lacks a value, or has one that is not a number, is counted; the next entry counts."""
    floor = Floor("/ES", "/NQ")
    good = {"key": "/ES", "1": FRAME_MS, "2": 6, "3": 6.5, "4": 5, "5": 6, "6": 100}
    bad = {name: value for name, value in (good | {number: wrong}).items() if value != "absent"}
    floor.apply("CHART_FUTURES", bad, good | {"key": "/NQ"})
    assert [event["key"] for event in floor.on(Channel.BARS)] == ["/NQ"]
    assert floor.market.counts == {"bad bars": 1}


@pytest.mark.parametrize("start", [0, -1, 1.5])
def test_a_bar_without_a_start_is_none(start: float) -> None:
    """A bar dated nowhere is counted, not published."""
    floor = Floor("/ES")
    floor.apply("CHART_FUTURES", {"key": "/ES", "1": start, "2": 6, "3": 6.5, "4": 5, "5": 6, "6": 100})
    assert floor.published == []
    assert floor.market.counts == {"bad bars": 1}


# --- symbols that come and go ------------------------------------------------------------------------------------


def test_a_symbol_can_be_added_and_removed() -> None:
    """An added symbol gets data; entries that still arrive for a removed one count as unknown, of every service."""
    (ford,) = parse_symbols(["F"], TODAY)
    floor = Floor("AMD")
    floor.market.add(ford)
    floor.apply("NASDAQ_BOOK", {"key": "F", "2": [level(1.0)]})
    assert floor.book.symbol == "F"
    floor.market.remove(ford)
    before = len(floor.published)
    bar = {"key": "F", "1": 1, "2": 6, "3": 6.5, "4": 5, "5": 6, "6": 1, "7": FRAME_MS}
    for service, entry in ((EQUITIES, {"key": "F", "3": 1.5}), ("NASDAQ_BOOK", {"key": "F"}), ("CHART_EQUITY", bar)):
        floor.apply(service, entry)
    assert len(floor.published) == before
    assert floor.market.counts == {"unknown entries": 3}
    assert set(floor.market.instruments) == {"AMD"}


def test_a_new_alias_of_a_key_has_the_last_tick_at_once() -> None:
    """The last tick is published under the new alias only, marked as a repeat; without the alias the key stays."""
    (alias,) = parse_symbols(["amd"], TODAY)
    floor = Floor("AMD")
    floor.apply(EQUITIES, {"key": "AMD", "3": 1.5})
    floor.market.add(alias)
    assert [(tick["symbol"], tick["repeat"]) for tick in floor.on(Channel.TICKS)] == [("AMD", False), ("amd", True)]
    floor.market.add(alias)
    assert len(floor.published) == 2
    floor.market.remove(alias)
    floor.apply(EQUITIES, {"key": "AMD", "3": 1.6})
    assert [tick["symbol"] for tick in floor.on(Channel.TICKS)] == ["AMD", "amd", "AMD"]


# --- merging equals a plain dict ---------------------------------------------------------------------------------

TICK_NAMES = set(TickEvent.model_fields) - {"v", "type", "symbol", "key", "seq", "prev", "timestamp", "received_us"}
MODELLED = {"delta", "gamma", "theta", "vega", "rho", "implied_volatility", "theoretical_value"}
UNNUMBERED = {"assetMainType": "asset_main_type", "assetSubType": "asset_sub_type", "cusip": "cusip"}
SERVICE_OF = {
    "/ES": FUTURES,
    "/NQZ25": FUTURES,
    "AAPL": EQUITIES,
    OPTION: "LEVELONE_OPTIONS",
    "EUR/USD": "LEVELONE_FOREX",
}
ASSET_OF = {FUTURES: "FUTURE", EQUITIES: "EQUITY", "LEVELONE_OPTIONS": "OPTION", "LEVELONE_FOREX": "FOREX"}
ALIASES = {
    "/ES": ["/ES:XCME", "/ES"],
    "/NQZ25": ["/NQZ5"],
    "AAPL": ["AAPL", "aapl"],
    OPTION: [OPTION],
    "EUR/USD": ["EUR/USD"],
}

odd_values: st.SearchStrategy[object] = st.sampled_from(
    [None, 0, "", False, True, -0.0, 5, 5.0, "x", [], {}, 2**53, -(2**63), 2**64 - 1, 1e19, -1e300, -999]
)
values = odd_values | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(0, 60).map(str) | st.sampled_from(["delayed", "assetMainType", "cusip", "symbol", "seq", "v"])
entries = st.fixed_dictionaries({"key": st.sampled_from([*SERVICE_OF, "/ZZ"])}).flatmap(
    lambda head: st.dictionaries(numbers, values, max_size=8).map(lambda fields: {**head, **fields})
)
steps = st.lists(st.none() | st.lists(entries, min_size=1, max_size=3), min_size=1, max_size=12)


def clean(kind: Kind, value: object) -> object:
    """What a value of this kind of field is worth, slowly; None when it is worth nothing."""
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else None
    if kind is Kind.CHAR and type(value) is int:
        return chr(value) if 32 <= value < 127 else None
    if kind is Kind.CHAR:
        return value if isinstance(value, str) else None
    if kind is Kind.FLAG:
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind is Kind.INT and isinstance(value, float):
        return int(value) if value == int(value) and abs(value) < 2**63 else None
    return value


class PlainDict:
    """The slow reference: one plain dictionary of names per key, and the rules as the contract words them."""

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {
            key: {"contract": "/NQZ25"} if key == "/NQZ25" else {} for key in SERVICE_OF
        }
        self.confirmed: set[str] = set()
        self.ticks: list[dict[str, Any]] = []

    def apply(self, entry: dict[str, Any]) -> None:
        """Merge one entry and note the ticks it makes."""
        key = entry["key"]
        if key not in self.state:
            return
        state, before = self.state[key], dict(self.state[key])
        table = {str(field.number): field for field in FIELDS[Service(SERVICE_OF[key])] if field.number}
        known_fields = {table[number]: value for number, value in entry.items() if number in table}
        named = {field.name: clean(field.kind, value) for field, value in known_fields.items()}
        named |= {UNNUMBERED[name]: clean(Kind.TEXT, value) for name, value in entry.items() if name in UNNUMBERED}
        named |= {name: None for name in MODELLED & set(named) if named[name] == -999}
        if "delayed" in entry:
            named["delayed"] = clean(Kind.FLAG, entry["delayed"])
        if "active_contract" in named and key == "/ES":
            named["contract"] = named["active_contract"]
        state.update(named)
        if key not in self.confirmed or "assetMainType" in entry:
            known, now = before.get("trade_time"), state.get("trade_time")
            is_trade = known is not None and now is not None and now > known
        else:
            is_trade = any(named.get(name) is not None for name in ("last_price", "last_size", "trade_time"))
        self.confirmed.add(key)
        if state.get("last_price") is None and None in (state.get("bid_price"), state.get("ask_price")):
            return
        dated = [time for time in (state.get("trade_time"), state.get("quote_time")) if time is not None and time > 0]
        names = TICK_NAMES if key == OPTION else TICK_NAMES - MODELLED - {"underlying_price"}
        tick = {name: state.get(name) for name in names} | {
            "v": 1,
            "type": "tick",
            "key": key,
            "seq": 0,
            "prev": 0,
            "asset": ASSET_OF[SERVICE_OF[key]],
            "timestamp": max(dated, default=FRAME_MS),
            "received_us": RECEIVED_US,
            "is_trade": is_trade,
            "repeat": False,
        }
        self.ticks += [tick | {"symbol": alias} for alias in ALIASES[key]]


def as_json(events: Iterable[dict[str, Any]]) -> list[bytes]:
    """Events as bytes, so that 1, 1.0 and true differ."""
    return [orjson.dumps(event, option=orjson.OPT_SORT_KEYS) for event in events]


@settings(max_examples=100)
@given(steps)
def test_merging_equals_a_plain_dict(history: list[list[dict[str, Any]] | None]) -> None:
    """For any entries, with reconnects between them, every tick published is the slow model's, byte for byte."""
    floor = Floor(*(alias for aliases in ALIASES.values() for alias in aliases))
    reference = PlainDict()
    for content in history:
        if content is None:
            floor.market.begin_session()
            reference.confirmed.clear()
            continue
        for entry in content:
            (arrived,) = orjson.loads(orjson.dumps([entry]))
            floor.apply(SERVICE_OF.get(arrived["key"], FUTURES), arrived)
            reference.apply(arrived)
    assert as_json(floor.on(Channel.TICKS)) == as_json(reference.ticks)
    for key, instrument in floor.market.instruments.items():
        assert instrument.fresh is (key in reference.confirmed)
        wanted = {name: value for name, value in reference.state[key].items() if name not in TICK_NAMES}
        assert orjson.dumps(instrument.info) == orjson.dumps({name: wanted[name] for name in instrument.info})
        assert set(instrument.info) == set(wanted)


wire_values = st.recursive(
    values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(numbers, inner, max_size=4), max_leaves=10
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*map(str, Service), "NEW"]),
            st.lists(
                wire_values | st.dictionaries(numbers, wire_values).map(lambda e: {"key": "AAPL", **e}), max_size=3
            ),
        ),
        max_size=4,
    )
)
def test_nothing_that_arrives_raises(batches: list[tuple[str, list[Any]]]) -> None:
    """Any JSON whatever in any service is merged, published or counted; each event published is one."""
    floor = Floor("AAPL", "/ES")
    floor.market.use_top_of_book(["AAPL"])
    for service, content in batches:
        floor.apply(service, *orjson.loads(orjson.dumps(content)))


def test_every_asset_can_be_streamed() -> None:
    """An instrument of every asset names it in its tick."""
    floor = Floor("AAPL", "$SPX", OPTION, "/ES", "./OGG26C4240", "EUR/USD")
    assert {instrument.tick["asset"] for instrument in floor.market.instruments.values()} == set(map(str, Asset))
