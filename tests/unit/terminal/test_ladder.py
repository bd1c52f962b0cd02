"""The book screen, drawn and held to its pictures."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, ConsoleDimensions, RenderableType

from schwabstream.events import Level2Event, TickEvent
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal.ladder import BAR_WIDTH, Ladder, bar_of, book_line, summary
from schwabstream.terminal.watchlist import Watchlist

Snapshot = Callable[[str, Callable[[], RenderableType]], None]

NOW = 1_790_000_000.0
NOW_MS = 1_790_000_000_000
LIVE = ConsoleDimensions(80, 24)


def level(price: float, *venues: tuple[str, int]) -> dict[str, Any]:
    """A level of these venues."""
    return {
        "price": price,
        "size": sum(size for _, size in venues),
        "makers": len(venues),
        "venues": [{"id": name, "size": size, "time_ms": 1} for name, size in venues],
    }


BIDS = [
    level(221.38, ("iexg", 200), ("edgx", 200), ("NSDQ", 140)),
    level(221.31, ("batx", 1200)),
    level(221.3, ("G", 100)),
]
ASKS = [level(221.44, ("arcx", 100)), level(221.45, ("NSDQ", 700), ("memx", 100))]


def book(symbol: str = "AMD", **changes: Any) -> Level2Event:
    """A book that arrived 0.1 s ago."""
    known = {"symbol": symbol, "key": symbol, "seq": 1, "timestamp": NOW_MS, "received_us": NOW_MS * 1000 - 100_000}
    return Level2Event.model_validate(
        {**known, "service": "NASDAQ_BOOK", "source": "book", "bids": BIDS, "asks": ASKS, **changes}
    )


def watchlist(event: Level2Event | None, symbol: str = "AMD") -> Watchlist:
    """A watchlist of one symbol whose streamer streams."""
    shown = Watchlist(parse_symbols([symbol], date(2026, 11, 21)))
    if event is not None:
        shown.apply(event, NOW)
    key = shown.quotes[0].symbol.key
    known = {"symbol": key, "key": key, "seq": 1, "timestamp": 1, "received_us": NOW_MS * 1000, "asset": "EQUITY"}
    for price in (221.4, 221.41):
        shown.apply(TickEvent.model_validate({**known, "last_price": price, "is_trade": True}), NOW)
    line = SymbolReport(symbol=symbol, key=key, asset="EQUITY", fresh=True)
    shown.take_report(
        StreamerReport(
            state="streaming",
            since=NOW_MS - 5000,
            reported=1,
            started=1,
            pid=7,
            host="box",
            version="1",
            symbols=(line,),
        )
    )
    return shown


def text_of(renderable: RenderableType, width: int = 200) -> str:
    """The renderable as plain text."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_ladder_of_a_book(snapshot: Snapshot) -> None:
    """Asks stand above, bids below, the best in the middle, as much around them as the width allows."""
    snapshot("book", lambda: Ladder(watchlist(book()), depth=3, venues=True).render(NOW, LIVE))


def test_ladder_of_a_top_of_book(snapshot: Snapshot) -> None:
    """A symbol without depth shows its one level and a line with the reason."""
    top = {"source": "top_of_book", "service": "LEVELONE_FUTURES"}
    one = {"bids": [level(25210.25) | {"size": 3}], "asks": [level(25210.5) | {"size": 5}]}
    snapshot("book-top", lambda: Ladder(watchlist(book("/NQ", **top, **one), "/NQ")).render(NOW, LIVE))


def test_the_best_prices_do_not_jump_when_levels_come_and_go() -> None:
    """With fewer levels than asked the ladder keeps its height and its middle."""
    full = text_of(Ladder(watchlist(book()), depth=4).render(NOW, LIVE)).splitlines()
    thin = text_of(Ladder(watchlist(book(asks=ASKS[:1])), depth=4).render(NOW, LIVE)).splitlines()
    assert len(full) == len(thin)
    assert next(i for i, line in enumerate(full) if "221.38" in line) == next(
        i for i, line in enumerate(thin) if "221.38" in line
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "spread 0.06 (6 ticks)  imbalance +34%"),
        ({"asks": []}, "no asks"),
        ({"asks": [], "bids": []}, "no bids and asks"),
        ({"asks": [level(221.38, ("G", 1))]}, "spread 0.00 (0 ticks)  imbalance +100%  locked"),
        ({"asks": [level(221.37, ("G", 1840))]}, "spread -0.01 (-1 tick)  imbalance +0%  crossed"),
        ({"asks": [level(221.45)], "bids": [level(221.44)]}, "spread 0.01 (1 tick)"),
    ],
)
def test_summary_shows_spread_imbalance_and_crossing(changes: dict[str, Any], said: str) -> None:
    """Missing sides, locked and crossed books are named."""
    event = book(**changes)
    assert summary(watchlist(event).quotes[0], event, 10).plain == said


def test_a_missing_book_and_invalid_messages_are_shown() -> None:
    """Before the first book the screen states that; messages that could not be parsed are counted on it."""
    shown = watchlist(None)
    shown.invalid = 2
    drawn = text_of(Ladder(shown).render(NOW))
    assert "no book yet" in drawn
    assert "2 messages could not be parsed as events" in drawn
    assert "Ctrl-C" not in drawn


def test_a_low_screen_shows_the_best_levels() -> None:
    """As many levels as fit are shown, the same number of each side, with the last line in sight; a print shows all."""
    many = [level(100 - number, ("NSDQ", 1)) for number in range(20)]
    event = book(bids=many, asks=[{**each, "price": 201 - each["price"]} for each in many])
    ladder = Ladder(watchlist(event), depth=20)
    lines = text_of(ladder.render(NOW, LIVE), 80).splitlines()
    assert len(lines) == LIVE.height - 1
    assert lines[-1] == "Ctrl-C: leave"
    assert sum("100.00" in line or "101.00" in line for line in lines) == 2
    assert len(text_of(ladder.render(NOW), 80).splitlines()) > 40


def test_foreign_text_is_shown_as_text() -> None:
    """A venue's name or a service's cannot draw."""
    drawn = text_of(
        Ladder(watchlist(book(service="[b]\x1b", bids=[level(1, ("\x1b[2J", 5))])), venues=True).render(NOW)
    )
    assert all(character == "\n" or character.isprintable() for character in drawn)
    assert "[b]\\u001b" in drawn
    assert "\\u001b[2J:5" in drawn


@pytest.mark.usefixtures("utc")
def test_lines_for_pipes() -> None:
    """One book is one line, best levels first, cut to the depth."""
    shown = watchlist(book())
    event = shown.quotes[0].book
    assert event is not None
    assert book_line(shown.quotes[0], event, NOW, 2) == (
        "14:13:20  AMD  book  bids 540@221.38 1,200@221.31  asks 100@221.44 800@221.45"
        "  spread 0.06 (6 ticks)  imbalance +32%"
    )


@given(size=st.integers(-5, 10**9), largest=st.integers(-5, 10**9), rightwards=st.booleans())
def test_bars_are_to_scale_and_fit(size: int, largest: int, rightwards: bool) -> None:
    """No bar is longer than its column, something is shown for anything that shows, nothing for nothing."""
    bar = bar_of(min(size, largest), largest, rightwards=rightwards)
    assert len(bar) <= BAR_WIDTH
    if size >= largest > 0:
        assert bar == "█" * BAR_WIDTH
    if size <= 0:
        assert bar == ""
