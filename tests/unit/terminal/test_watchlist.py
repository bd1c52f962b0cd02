"""What the screens show of each symbol."""

from datetime import date
from typing import Any

import pytest

from schwabstream.events import BarEvent, Level2Event, TickEvent
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal.watchlist import FLASH_S, SORTS, Watchlist

NOW = 1_790_000_000.0
OPENS_MS = 1_790_010_000_000  # 17:00, the same day


def watchlist(*texts: str) -> Watchlist:
    """A watchlist of these symbols."""
    return Watchlist(parse_symbols(texts, date(2026, 11, 21)))


def tick(key: str, last: float | None, **changes: Any) -> TickEvent:
    """A tick that arrived now."""
    known: dict[str, Any] = {"symbol": key, "key": key, "seq": 1, "timestamp": 1, "received_us": int(NOW * 1e6)}
    return TickEvent.model_validate({**known, "asset": "FUTURE", "last_price": last, "is_trade": True, **changes})


def report(*lines: SymbolReport, **changes: Any) -> StreamerReport:
    """A report of a streamer that streams, with these changes."""
    known = {"state": "streaming", "since": 1, "reported": 1, "started": 1, "pid": 1, "host": "box", "version": "1"}
    return StreamerReport.model_validate({**known, "symbols": lines, **changes})


def line(key: str, **changes: Any) -> SymbolReport:
    """A symbol the streamer has confirmed, with these changes."""
    return SymbolReport.model_validate({"symbol": key, "key": key, "asset": "FUTURE", "fresh": True, **changes})


def test_direction_and_flash_follow_the_last_price_that_differed() -> None:
    """Up, then unchanged: still up, and it flashes for a moment only."""
    shown = watchlist("/MNQ")
    quote = shown.quotes[0]
    for price in (10.0, 11.0, 11.0):
        shown.apply(tick("/MNQ", price), NOW)
    assert quote.direction == 1
    assert shown.flashing(NOW + FLASH_S / 2)
    assert not shown.flashing(NOW + FLASH_S)
    shown.apply(tick("/MNQ", 10.5), NOW)
    assert quote.direction == -1


def test_a_symbol_that_has_not_traded_has_no_direction() -> None:
    """Neither a tick without a last price nor the first trade after it is a move up or down."""
    shown = watchlist("/MNQ")
    quote = shown.quotes[0]
    for price in (None, 10.0, None, 11.0):
        shown.apply(tick("/MNQ", price, close_price=9.0, bid_price=8.0, ask_price=12.0), NOW)
        assert quote.direction == 0
        assert quote.net_change == (None if price is None else price - 9.0)


def test_a_halt_is_shown_without_a_streamer() -> None:
    """A quote over REST shows a halt by its own trading status."""
    shown = watchlist("AAPL", "MSFT")
    shown.asked_at = NOW
    shown.apply(tick("AAPL", 10.0, security_status="Halted"), NOW)
    shown.apply(tick("MSFT", 10.0, security_status="Normal"), NOW)
    assert [shown.why_stale(quote, NOW) for quote in shown.quotes] == ["halted", None]


def test_two_aliases_share_their_key() -> None:
    """Both rows of one key move; other keys and other events change nothing."""
    shown = watchlist("/MNQ", "/MNQ:XCME", "AAPL")
    shown.apply(tick("/MNQ", 10.0), NOW)
    shown.apply(tick("MSFT", 10.0), NOW)
    bar = {"symbol": "AAPL", "key": "AAPL", "seq": 1, "timestamp": 1, "received_us": 1}
    shown.apply(BarEvent.model_validate({**bar, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}), NOW)
    assert [quote.tick is not None for quote in shown.quotes] == [True, True, False]
    assert shown.keys == {"/MNQ", "AAPL"}


@pytest.mark.parametrize(
    ("changes", "net", "percent"),
    [
        ({"net_change": 5.0, "close_price": 100.0}, 5.0, 5.0),
        ({"close_price": 100.0}, 10.0, 10.0),
        ({"net_change": 5.0}, 5.0, None),
        ({"close_price": 0.0}, None, None),
        ({}, None, None),
    ],
)
def test_changes_come_from_schwab_or_from_the_close(
    changes: dict[str, float], net: float | None, percent: float | None
) -> None:
    """Schwab's percentage counts; else the close; with neither the change is unknown."""
    shown = watchlist("AAPL")
    assert shown.quotes[0].net_change is None
    shown.apply(tick("AAPL", 110.0, **changes), NOW)
    assert (shown.quotes[0].net_change, shown.quotes[0].percent_change) == (net, percent)


def test_spread_is_in_ticks_where_the_tick_is_known() -> None:
    """The streamer's tick comes before the table's; without either the spread is in price units."""
    shown = watchlist("/MNQ", "/FOO")
    for key in ("/MNQ", "/FOO"):
        shown.apply(tick(key, 10.0, bid_price=10.0, ask_price=10.5), NOW)
    assert [quote.spread for quote in shown.quotes] == [2.0, 0.5]
    shown.take_report(report(line("/FOO", tick_size=0.1)))
    assert shown.quotes[1].spread == 5.0
    shown.apply(tick("/MNQ", 10.0, ask_price=10.5), NOW)
    assert shown.quotes[0].spread is None


def test_why_a_row_is_stale() -> None:
    """The first reason that holds is shown: Redis, streamer, session, subscription, data, market, confirmation, age."""
    shown = watchlist("/MNQ")
    quote = shown.quotes[0]
    shown.outage = "gone"
    assert shown.why_stale(quote, NOW) == "no Redis"
    shown.outage = None
    assert shown.why_stale(quote, NOW) == "no streamer"
    shown.starting = True
    assert shown.why_stale(quote, NOW) == "starting"
    shown.take_report(report(line("/MNQ"), state="waiting"))
    assert shown.why_stale(quote, NOW) == "disconnected"
    shown.take_report(report(line("/ES")))
    assert shown.why_stale(quote, NOW) == "not streamed"
    shown.take_report(report(line("/MNQ", fresh=False), reported=int(NOW * 1000)))
    assert shown.why_stale(quote, NOW) == "no data yet"
    shown.apply(tick("/MNQ", 10.0), NOW)
    assert shown.why_stale(quote, NOW) == "unconfirmed"
    shown.take_report(report(line("/MNQ", security_status="Halted")))
    assert shown.why_stale(quote, NOW) == "halted"
    shown.take_report(report(line("/MNQ", security_status="Closed")))
    assert shown.why_stale(quote, NOW) == "closed"
    shown.take_report(report(line("/MNQ", security_status="Normal")))
    assert shown.why_stale(quote, NOW) is None
    assert shown.why_stale(quote, NOW + 91) == "quiet"
    shown.take_report(None)
    assert quote.report is None


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("changes", "age_s", "why"),
    [
        ({"session": "open"}, 91, "quiet"),
        ({"session": "closed", "opens_at": OPENS_MS}, 91, "closed until 17:00"),
        ({"session": "break", "opens_at": OPENS_MS}, 91, "break until 17:00"),
        ({"session": "closed", "opens_at": OPENS_MS + 4 * 86_400_000}, 91, "closed until Fri 17:00"),
        ({"session": "closed"}, 91, "closed"),
        ({"session": "closed", "opens_at": OPENS_MS}, 1, None),
        ({"session": "closed", "opens_at": OPENS_MS, "security_status": "Closed"}, 1, "closed until 17:00"),
        ({"session": "closed", "opens_at": OPENS_MS, "security_status": "Halted"}, 91, "halted"),
        ({"session": "closed", "opens_at": OPENS_MS, "fresh": False}, 91, "closed until 17:00"),
        ({"session": "open", "security_status": "Closed"}, 91, "closed"),
    ],
)
def test_a_quiet_symbol_shows_the_session_of_its_market(changes: dict[str, Any], age_s: float, why: str | None) -> None:
    """Data that has stopped is explained by a break or by a closed market, and when it opens, in local time."""
    shown = watchlist("/MNQ")
    shown.apply(tick("/MNQ", 10.0), NOW)
    shown.take_report(report(line("/MNQ", **changes), reported=int(NOW * 1000) + 1))
    assert shown.why_stale(shown.quotes[0], NOW + age_s) == why


def test_days_to_the_expiration_come_from_the_report_or_from_the_option() -> None:
    """A root rolls by its active contract; what does not expire has no days."""
    shown = watchlist("/MNQ", "/ZN", "AAPL", "SPY 260924C600")
    at = int(NOW * 1000)
    shown.take_report(report(line("/MNQ", expires=at + 88 * 86_400_000), line("/ZN", expires=at + 92 * 86_400_000)))
    assert [quote.expires_in(NOW) for quote in shown.quotes] == [(88, False), (92, False), None, (3, False)]
    shown.apply(tick("/ZN", 110.0, contract="/ZNU26"), NOW)
    assert shown.quotes[1].expires_in(NOW) == (92, True)
    shown.take_report(report(line("/MNQ", contract="/MNQU26", expires=at - 86_400_000)))
    assert shown.quotes[0].expires_in(NOW) == (-1, True)


def test_bars_are_the_history_of_the_course() -> None:
    """Bars of a symbol and its ticks make one course, shared by the aliases of a key."""
    shown = watchlist("/MNQ", "/MNQ:XCME", "AAPL")
    bar = {"symbol": "/MNQ", "key": "/MNQ", "seq": 1, "timestamp": int(NOW * 1000) - 60_000, "received_us": 1}
    prices = {"open": 1, "high": 1, "low": 1, "close": 9, "volume": 1}
    shown.apply_history([BarEvent.model_validate({**bar, **prices})])
    for seq in (2, 3):
        shown.apply(tick("/MNQ", 10.0, last_size=2, seq=seq), NOW)
    assert [quote.course.last_minutes(NOW)[-2:] for quote in shown.quotes] == [(9.0, 10.0), (9.0, 10.0), ()]
    assert [quote.profile.volumes for quote in shown.quotes] == [{10.0: 2}, {10.0: 2}, {}]


def test_symbols_that_are_not_streamed_are_named_with_the_way_to_add_them() -> None:
    """The sentence names what is missing, what is streamed, and how to add it; nothing where all is streamed."""
    shown = watchlist("/MNQ", "AAPL")
    assert shown.not_streamed() is None
    shown.take_report(report(line("/MNQ")))
    assert shown.not_streamed() == ("AAPL is not streamed (streamed: /MNQ): add it with schwabstream stream add AAPL")
    hinted = watchlist("MNQ")
    hinted.take_report(report(line("/MNQ")))
    assert str(hinted.not_streamed()).startswith("MNQ (did you mean /MNQ?) is not streamed")
    shown.take_report(report(*(line(f"S{number}\x1b") for number in range(1_007))))
    missing = shown.not_streamed()
    assert missing is not None
    assert missing.startswith(r"/MNQ, AAPL are not streamed (streamed: S0\u001b, S1\u001b,")
    assert r"S4\u001b and 1,002 more): add them with schwabstream stream add /MNQ AAPL" in missing
    shown.take_report(report(line("/MNQ"), line("AAPL")))
    assert shown.not_streamed() is None
    index = watchlist("$SPX")
    index.take_report(report(line("/MNQ")))
    assert str(index.not_streamed()).endswith("schwabstream stream add '$SPX'")


def test_a_requested_symbol_shows_the_progress_of_its_request() -> None:
    """Its row is being subscribed until the streamer lists it, or refused; the reason is in the sentence."""
    shown = watchlist("/MNQ", "AAPL")
    shown.requested = True
    shown.take_report(report(line("/MNQ")))
    assert shown.why_stale(shown.quotes[1], NOW) == "subscribing"
    assert shown.not_streamed() == "AAPL is not streamed yet: the streamer has been asked for it"
    shown.take_report(report(line("/MNQ"), refused={"AAPL": "AAPL is above the limit\x1b"}))
    assert shown.why_stale(shown.quotes[1], NOW) == "refused"
    assert shown.not_streamed() == r"AAPL is above the limit\u001b"
    shown.take_report(report(line("/MNQ"), line("AAPL", problem="LEVELONE_EQUITIES refused: no")))
    assert shown.why_stale(shown.quotes[1], NOW) == "refused"
    assert shown.not_streamed() == "AAPL is not streamed: LEVELONE_EQUITIES refused: no"
    shown.take_report(report(line("/MNQ"), line("AAPL")))
    assert shown.why_stale(shown.quotes[1], NOW) == "no data yet"
    assert shown.not_streamed() is None


def test_the_first_data_of_a_symbol_shows_that_it_is_streamed() -> None:
    """Data newer than a report that lacks its symbol ends ``subscribing`` without waiting for the next report."""
    shown = watchlist("NVDA")
    shown.requested = True
    shown.apply(tick("NVDA", 10.0), NOW)
    shown.take_report(report(line("AAPL"), reported=int(NOW * 1000)))
    assert shown.why_stale(shown.quotes[0], NOW) == "subscribing"
    shown.apply(tick("NVDA", 11.0, received_us=int(NOW * 1e6) + 1000), NOW)
    assert shown.why_stale(shown.quotes[0], NOW) is None
    assert shown.not_streamed() is None
    shown.take_report(report(line("NVDA", fresh=False), reported=int(NOW * 1000)))
    assert shown.why_stale(shown.quotes[0], NOW) is None


def test_a_replay_names_no_symbols_and_misses_none() -> None:
    """A report without symbols does not show which are streamed."""
    shown = watchlist("/MNQ")
    shown.take_report(report(state="streaming"))
    assert shown.not_streamed() is None


def everything(*lines: SymbolReport, **changes: Any) -> Watchlist:
    """A watchlist of all that is streamed, with the report of a minute ago."""
    shown = Watchlist(everything=True)
    shown.take_report(report(*lines, reported=int(NOW * 1000) - 60_000, **changes))
    return shown


def names(shown: Watchlist) -> list[str]:
    """The symbols of the rows."""
    return [quote.symbol.alias for quote in shown.quotes]


def test_everything_is_what_the_report_lists() -> None:
    """Rows come and go with the symbols of the report, in its order; a row that stays keeps its data."""
    shown = everything(line("/MNQ", symbol="/MNQ:XCME"), line("AAPL", asset="EQUITY"))
    assert names(shown) == ["/MNQ:XCME", "AAPL"]
    shown.apply(tick("AAPL", 10.0, asset="EQUITY"), NOW)
    shown.take_report(report(line("NVDA"), line("AAPL", asset="EQUITY"), reported=int(NOW * 1000) + 1))
    assert names(shown) == ["NVDA", "AAPL"]
    assert shown.quotes[1].tick is not None
    assert shown.not_streamed() is None
    shown.take_report(None)
    assert names(shown) == ["NVDA", "AAPL"]


def test_a_symbol_that_has_just_been_added_shows_its_first_tick() -> None:
    """Data newer than the report adds a row at once, which the next, older report does not remove again."""
    shown = everything(line("AAPL"))
    shown.apply(tick("NVDA", 10.0, symbol="nvda"), NOW)
    assert names(shown) == ["AAPL", "nvda"]
    assert shown.updates == 1
    shown.take_report(shown.report)
    assert names(shown) == ["AAPL", "nvda"]
    shown.take_report(report(line("AAPL"), reported=int(NOW * 1000) + 1))
    assert names(shown) == ["AAPL"]


def test_the_last_value_of_a_symbol_that_is_not_streamed_adds_no_row() -> None:
    """What an earlier run left in Redis is not streamed; nor is anything without a report."""
    shown = everything(line("AAPL"))
    shown.apply(tick("NVDA", 10.0, received_us=int(NOW * 1e6) - 61_000_000), NOW)
    assert names(shown) == ["AAPL"]
    assert shown.updates == 0
    shown = Watchlist(everything=True)
    shown.apply(tick("NVDA", 10.0), NOW)
    assert names(shown) == []


def test_everything_of_a_replay_is_what_it_publishes() -> None:
    """Its report lists no symbols, so each tick adds its row, whatever its time and kind of asset."""
    shown = everything()
    for asset in ("EQUITY", "BOND"):
        shown.apply(tick(asset, 10.0, asset=asset, received_us=1), NOW)
    shown.take_report(shown.report)
    assert names(shown) == ["EQUITY", "BOND"]


def test_a_paused_screen_shows_the_first_book_of_a_row_that_is_opened() -> None:
    """Further books wait for the end of the pause; none counts as an update of a quote."""
    shown = watchlist("AMD")
    known = {"symbol": "AMD", "key": "AMD", "timestamp": 1, "received_us": 1, "bids": (), "asks": ()}
    books = [
        Level2Event.model_validate({**known, "seq": seq, "service": "NASDAQ_BOOK", "source": "book"}) for seq in (1, 2)
    ]
    shown.pause(NOW)
    for book in books:
        shown.take_book(book)
    assert shown.quotes[0].book is books[0]
    shown.pause(NOW + 1)
    assert shown.quotes[0].book is books[1]
    assert shown.updates == 0


def test_an_event_is_about_the_row_of_its_alias() -> None:
    """Of two aliases of a key, the line for an event has the one in the event, else the first."""
    shown = watchlist("/MNQ", "/MNQ:XCME")
    for alias, found in (("/MNQ:XCME", "/MNQ:XCME"), ("/MNQ", "/MNQ"), ("MNQ", "/MNQ")):
        quote = shown.quote(tick("/MNQ", 1.0, symbol=alias))
        assert quote is not None
        assert quote.symbol.alias == found


def test_what_schwab_was_asked_for_is_as_old_as_the_market_made_it() -> None:
    """Without a streamer the age is that of the quote, not of our question, and the row is not stale."""
    shown = watchlist("/MNQ", "AAPL")
    shown.asked_at = NOW
    shown.apply(tick("/MNQ", 10.0, timestamp=int(NOW * 1000) - 4_000), NOW)
    assert shown.age_s(shown.quotes[0], NOW) == 4.0
    assert shown.age_s(shown.quotes[1], NOW) is None
    assert shown.why_stale(shown.quotes[0], NOW) is None


def test_age_is_of_the_newest_of_tick_and_book() -> None:
    """A book that came after the last tick makes the row younger."""
    shown = watchlist("AMD")
    quote = shown.quotes[0]
    assert quote.age_s(NOW) is None
    shown.apply(tick("AMD", 1.0), NOW)
    common = {"symbol": "AMD", "key": "AMD", "seq": 1, "timestamp": 1, "received_us": int((NOW + 3) * 1e6)}
    book = {**common, "service": "NASDAQ_BOOK", "source": "book", "bids": (), "asks": ()}
    shown.apply(Level2Event.model_validate(book), NOW)
    assert quote.age_s(NOW + 5) == pytest.approx(2)


def test_sorts_put_unknown_values_last() -> None:
    """Every sort has a place for a symbol without data: the end."""
    shown = watchlist("C", "A", "B")
    shown.apply(tick("A", 110.0, close_price=100.0, total_volume=5), NOW)
    shown.apply(tick("B", 120.0, close_price=100.0, total_volume=9, received_us=int(NOW * 1e6) + 1), NOW)
    orders = {name: [quote.symbol.key for quote in sorted(shown.quotes, key=key)] for name, key in SORTS.items()}
    assert orders == {
        "symbol": ["A", "B", "C"],
        "change": ["B", "A", "C"],
        "volume": ["B", "A", "C"],
        "age": ["B", "A", "C"],
    }
