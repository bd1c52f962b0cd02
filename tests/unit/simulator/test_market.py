"""Seeded prices, books and bars."""

import datetime as dt

import pytest

from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.simulator.books import Book
from schwabstream.simulator.feed import LEVELONE, numbered
from schwabstream.simulator.market import Market, percent_change
from schwabstream.simulator.statics import EASTERN
from tests.support.simulated_market import START, Clock, quote_of


def path(key: str, seed: int, steps: int = 200) -> list[dict[str, object]]:
    """The changes of the first steps."""
    quote = quote_of(key, seed)
    return [quote.advance(int(START * 1000) + step) for step in range(steps)]


@pytest.mark.parametrize("key", ["/NQ", "/ZN", "AAPL", "$SPX", "EUR/USD", "AAPL  261218C00270000"])
def test_the_same_seed_gives_the_same_path(key: str) -> None:
    """Two markets of one seed move alike, whatever else they trade; another seed moves otherwise."""
    assert path(key, 7) == path(key, 7)
    assert path(key, 7) != path(key, 8)


@pytest.mark.parametrize("key", ["/NQ", "/MES", "/RTY", "/YM", "/CL", "/6E", "AAPL", "F"])
def test_prices_stay_on_the_grid_and_plausible(key: str) -> None:
    """Bid below ask, every price a whole number of ticks, last at bid or ask, volume rising, high and low around."""
    quote = quote_of(key)
    tick, volume = quote.instrument.tick, quote.values["total_volume"]
    for step in range(3000):
        quote.advance(int(START * 1000) + step * 1000)
        values = quote.values
        assert values["bid_price"] < values["ask_price"]
        for name in ("bid_price", "ask_price", "last_price"):
            ticks = values[name] / tick
            assert abs(ticks - round(ticks)) < 1e-4
        assert values["low_price"] <= values["last_price"] <= values["high_price"]
        assert values["total_volume"] >= volume
        assert min(values["bid_size"], values["ask_size"], values["last_size"]) > 0
        volume = values["total_volume"]
    assert abs(values["last_price"] / quote.instrument.price - 1) < 0.05


def test_every_step_changes_something_and_sends_only_changes() -> None:
    """A change names what differs from the state before, and a quoted instrument always has one, even in one ms."""
    quote = quote_of("/NQ")
    for _ in range(500):
        before = dict(quote.values)
        changed = quote.advance(int(START * 1000))
        assert changed
        for name, value in changed.items():
            assert before.get(name) != value
            assert quote.values[name] == value


@pytest.mark.parametrize("key", ["/NQ", "/CL", "AAPL", "$SPX", "AAPL  261218C00270000"])
def test_the_change_is_a_percentage_of_the_close(key: str) -> None:
    """Percent change is 100 times net change over close, of futures too (trap T16)."""
    values = quote_of(key).values
    assert values["percent_change"] == pytest.approx(100 * values["net_change"] / values["close_price"], abs=1e-6)


@pytest.mark.parametrize(("net", "close", "sent"), [(-0.69, 81.29, -0.84881289), (-7.75, 5544.5, -0.13977816)])
def test_the_change_is_computed_as_recorded(net: float, close: float, sent: float) -> None:
    """The recorded futures snapshots of 2024-06-21 come out to the last of their eight digits (trap T16)."""
    assert percent_change(net, close) == sent


def test_the_change_of_forex_stays_zero_percent() -> None:
    """As recorded, field 17 is 0 whatever the net change, in changes as in the snapshot."""
    quote = quote_of("EUR/USD")
    for step in range(200):
        assert "percent_change" not in quote.advance(int(START * 1000) + step)
    assert quote.values["net_change"] != 0


def test_values_have_the_kind_their_field_promises() -> None:
    """A value is of the kind of its field, for every level-1 service."""
    kinds = {"float": (int, float), "int": (int,), "text": (str,), "char": (str, int), "flag": (bool,)}
    for key in ("/MNQ", "AAPL", "$SPX", "EUR/USD", "AAPL  261218C00270000", "./ESZ26C6900"):
        quote = quote_of(key)
        service = next(name for name, assets in LEVELONE.items() if quote.instrument.asset in assets)
        fields = {str(field.number): field for field in FIELDS[Service(service)]}
        for number, value in numbered(service, quote.values, frozenset(fields)).items():
            assert isinstance(value, kinds[fields[number].kind.value]), (key, fields[number].name)


def test_only_wanted_fields_are_sent() -> None:
    """A client gets what it asked for and nothing else."""
    values = quote_of("AAPL").values
    assert set(numbered(Service.LEVELONE_EQUITIES, values, frozenset({"1", "3", "999"}))) == {"1", "3"}


def test_the_active_contract_shares_its_roots_quote() -> None:
    """/MNQ and /MNQZ26 are one instrument until the roll; /MNQH27 is another."""
    market = Market(7, Clock())
    assert market.quote("/MNQ") is market.quote("/MNQZ26")
    assert market.quote("/MNQ") is not market.quote("/MNQH27")
    assert market.quote("/MNQZ25") is None


def test_the_roll_names_the_new_contract() -> None:
    """On roll day a root keeps its key and names its new contract; the old one is another instrument (trap T18)."""
    clock = Clock()
    market = Market(7, clock)
    root, equity = market.quote("/MNQ"), market.quote("AAPL")
    assert root is not None
    assert equity is not None
    clock.now = dt.datetime(2026, 12, 10, 9, tzinfo=EASTERN).timestamp()
    rolled = market.roll()
    assert rolled[root]["active_contract"] == "/MNQH27"
    assert rolled[root]["description"].endswith("Futures,Mar-2027,ETH")
    assert equity not in rolled
    assert market.quote("/MNQH27") is root
    assert market.quote("/MNQZ26") is not root
    assert market.roll() == {}


@pytest.mark.parametrize(
    ("service", "key"),
    [(Service.NASDAQ_BOOK, "AAPL"), (Service.NYSE_BOOK, "F"), (Service.FUTURES_BOOK, "/NQ")],
)
def test_books_are_ordered_and_add_up(service: str, key: str) -> None:
    """Ten levels a side from the quote outwards; a level's size and count are those of its makers (protocol 4.6)."""
    quote = quote_of(key)
    book = Book(service, quote, 7)
    for step in range(300):
        quote.advance(int(START * 1000) + step)
        entry = book.entry(int(START * 1000) + step, 36_000_000)
        bids, asks = entry["2"], entry["3"]
        assert len(bids) == len(asks) == 10
        assert bids[0]["0"] == quote.values["bid_price"]
        assert asks[0]["0"] == quote.values["ask_price"]
        assert [level["0"] for level in bids] == sorted((level["0"] for level in bids), reverse=True)
        assert [level["0"] for level in asks] == sorted(level["0"] for level in asks)
        for level in bids + asks:
            assert level["2"] == len(level["3"]) > 0
            assert level["1"] == sum(maker["1"] for maker in level["3"])


def test_books_have_several_venues_in_both_cases() -> None:
    """NASDAQ_BOOK mixes upper and lower case ids, as recorded (protocol 4.6)."""
    book = Book(Service.NASDAQ_BOOK, quote_of("AAPL"), 7).entry(int(START * 1000), 36_000_000)
    ids = {maker["0"] for level in book["2"] for maker in level["3"]}
    assert any(each.isupper() for each in ids)
    assert any(each.islower() for each in ids)


def test_a_bar_is_the_minute_of_trades() -> None:
    """A finished minute has the open, extremes, close and volume of its trades, and is handed out once."""
    quote = quote_of("/NQ")
    start = int(START * 1000)
    prices, volume = [], 0
    for second in range(59):
        changed = quote.advance(start + second * 1000)
        if "trade_time" in changed:
            prices.append(quote.values["last_price"])
            volume += quote.values["last_size"]
    assert quote.take_bar(start + 59_999) is None
    bar = quote.take_bar(start + 60_000)
    assert bar is not None
    assert (bar.start_ms, bar.open, bar.close) == (start, prices[0], prices[-1])
    assert (bar.high, bar.low, bar.volume) == (max(prices), min(prices), volume)
    assert quote.take_bar(start + 60_000) is None


@pytest.mark.parametrize("away_s", [121, 180, 960])
def test_a_minute_left_over_is_not_handed_out(away_s: int) -> None:
    """Only the minute that has just ended is a finished bar: what an earlier follower left is forgotten."""
    quote = quote_of("/NQ")
    start = int(START * 1000)
    for second in range(50):
        quote.advance(start + second * 1000)
    assert quote.take_bar(start + away_s * 1000) is None
    now = start + away_s // 60 * 60_000 + 60_000
    for second in range(50):
        quote.advance(now + second * 1000)
    bar = quote.take_bar(now + 60_000)
    assert bar is not None
    assert bar.start_ms == now


def test_a_finished_minute_waits_for_the_next_one_at_most() -> None:
    """A bar that trading itself has finished is handed out during the minute after it, and no later."""
    for late_s, taken in ((59, True), (61, False)):
        quote = quote_of("/NQ")
        start = int(START * 1000)
        for second in range(60 + late_s):
            quote.advance(start + second * 1000)
        bar = quote.take_bar(start + (60 + late_s) * 1000)
        assert bar is not None
        assert bar.start_ms == (start if taken else start + 60_000)


def test_venue_times_count_from_midnight_eastern() -> None:
    """10:00 in New York is 36,000,000 ms, in summer and in winter (protocol 4.6)."""
    market = Market(7, Clock())
    for day in (dt.datetime(2026, 7, 1, 10, tzinfo=EASTERN), dt.datetime(2026, 12, 1, 10, tzinfo=EASTERN)):
        assert market.since_midnight_ms(int(day.timestamp() * 1000)) == 36_000_000
