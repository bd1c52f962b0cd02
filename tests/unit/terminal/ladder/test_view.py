"""The book screen, drawn and held to its pictures."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType, RenderResult

from schwabstream.events import Level2Event, TickEvent
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal.ladder.view import Ladder, bar_of, book_line, summary
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


def trade(shown: Watchlist, price: float, *, size: int) -> None:
    """Show one more trade."""
    quote = shown.quotes[0]
    tick = quote.tick
    assert tick is not None
    changes = {"last_price": price, "last_size": size, "is_trade": True, "seq": tick.seq + 1}
    shown.apply(tick.model_copy(update=changes), NOW)


def text_of(renderable: RenderableType, width: int = 200) -> str:
    """The renderable as plain text."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


class AsWideAs:
    """The ladder on a screen of 24 lines, as wide as what it is drawn on."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._ladder.render(NOW, ConsoleDimensions(options.max_width, 24))


def test_ladder_of_a_book(snapshot: Snapshot) -> None:
    """Asks stand above, bids below, the best in the middle, as much around them as the width allows."""
    snapshot("book", lambda: AsWideAs(Ladder(watchlist(book()), depth=3, venues=True)))


def test_ladder_of_a_top_of_book(snapshot: Snapshot) -> None:
    """A symbol without depth shows its one level and a line with the reason."""
    top = {"source": "top_of_book", "service": "LEVELONE_FUTURES"}
    one = {"bids": [level(25210.25) | {"size": 3}], "asks": [level(25210.5) | {"size": 5}]}
    snapshot("book-top", lambda: AsWideAs(Ladder(watchlist(book("/NQ", **top, **one), "/NQ"))))


def many(levels: int, side: int = 1) -> list[dict[str, Any]]:
    """That many asks from 101 upwards, or with -1 bids from 100 downwards; no price holds another."""
    return [level((100 if side < 0 else 101) + side * number / 100, ("NSDQ", 100 + number)) for number in range(levels)]


def lines_of(ladder: Ladder, width: int, height: int) -> list[str]:
    """The lines of a live screen."""
    return text_of(ladder.render(NOW, ConsoleDimensions(width, height)), width).splitlines()


def test_the_best_prices_do_not_jump_when_levels_go() -> None:
    """With fewer levels than before the ladder keeps its height and its middle, also with none on one side."""
    shown = watchlist(book())
    ladder = Ladder(shown, depth=4)
    full = lines_of(ladder, 80, 24)
    for seq, asks in enumerate((ASKS[:1], []), start=2):
        shown.apply(book(asks=asks, seq=seq), NOW)
        thin = lines_of(ladder, 80, 24)
        assert len(full) == len(thin)
        assert row_of(full, "221.38") == row_of(thin, "221.38")


def row_of(lines: list[str], shown: str) -> int:
    """The number of the one line that shows this."""
    (row,) = (number for number, line in enumerate(lines) if shown in line)
    return row


@settings(max_examples=60)
@given(
    width=st.integers(40, 300),
    height=st.integers(8, 60),
    asks=st.integers(0, 50),
    bids=st.integers(0, 50),
    top=st.booleans(),
    invalid=st.integers(0, 1000),
    keys=st.lists(st.sampled_from(["up", "down", "page_up", "page_down", "home", "end", "c", "x"]), max_size=3),
)
def test_every_size_shows_the_best_prices_and_the_summary(
    width: int, height: int, asks: int, bids: int, *, top: bool, invalid: int, keys: list[str]
) -> None:
    """No line too many or too wide; the touch and the summary are always on the screen, scrolled or not."""
    changes = {"source": "top_of_book", "service": "LEVELONE_EQUITIES"} if top else {}
    shown = watchlist(book(asks=many(asks), bids=many(bids, -1), **changes))
    shown.invalid = invalid
    ladder = Ladder(shown, depth=50, venues=True)
    lines_of(ladder, width, height)
    for key in keys:
        ladder.press(key)
    lines = lines_of(ladder, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert ("101.00" in "\n".join(lines)) == (asks > 0)
    assert ("100.00" in "\n".join(lines)) == (bids > 0)
    missing = " and ".join(name for name, levels in (("bids", bids), ("asks", asks)) if not levels)
    assert row_of(lines, f"no {missing}" if missing else "spread 1.00")


def test_a_low_screen_cuts_the_far_levels_of_both_sides() -> None:
    """The touch is in the middle; what is beyond on each side is counted, up to the depth."""
    ladder = Ladder(watchlist(book(asks=many(40), bids=many(50, -1))), depth=30)
    assert [line.strip() for line in lines_of(ladder, 40, 15) if "more" in line] == ["… 26 more", "… 26 more"]
    screen = lines_of(ladder, 40, 15)
    assert len(screen) == 15
    assert row_of(screen, "101.00") + 1 == row_of(screen, "100.00") == 8
    assert screen[-1] == "?: keys   q: leave"


def test_keys_scroll_to_the_far_levels_and_back() -> None:
    """Lines, pages and ends; ``c`` centres; no key beyond an end is stored up."""
    ladder = Ladder(watchlist(book(asks=many(40), bids=many(40, -1))), depth=50)
    centred = lines_of(ladder, 80, 20)
    for key, shown in (("home", "101.39"), ("end", "99.61"), ("page_down", "99.61")):
        ladder.press(key)
        assert shown in "\n".join(lines_of(ladder, 80, 20))
    for _ in range(2):
        ladder.press("up")
    assert "99.61" not in "\n".join(lines_of(ladder, 80, 20))
    ladder.press("c")
    assert lines_of(ladder, 80, 20) == centred
    ladder.press("page_up")
    ladder.press("down")
    assert lines_of(ladder, 80, 20) != centred


def test_makers_and_venues_are_on_the_side_of_their_level() -> None:
    """Those of a bid are left of the price, those of an ask right of it."""
    lines = lines_of(Ladder(watchlist(book()), venues=True), 200, 24)
    ask, bid = lines[row_of(lines, "221.44")], lines[row_of(lines, "221.31")]
    assert ask.index("221.44") < ask.index("arcx:100")
    assert bid.index("batx:1,200") < bid.index("221.31")
    titles = next(line for line in lines if "Price" in line)
    assert titles.count("Makers") == titles.count("Venues") == 2


def test_the_last_trade_is_marked_in_its_row() -> None:
    """The row with the price of the last trade has the mark; no other, and none when no level has that price."""
    shown = watchlist(book())
    ladder = Ladder(shown)
    assert not any("◂" in line for line in lines_of(ladder, 80, 24))
    trade(shown, 221.31, size=300)
    assert [line.split("◂")[0].split()[-1] for line in lines_of(ladder, 80, 24) if "◂" in line] == ["221.31"]


def test_the_volume_traded_at_a_price_is_in_its_row() -> None:
    """Trades add up at their prices; without any, there is no column."""
    shown = watchlist(book())
    ladder = Ladder(shown)
    assert "Traded" not in "\n".join(lines_of(ladder, 80, 24))
    for price, size in ((221.31, 300), (221.44, 100), (221.31, 900)):
        trade(shown, price, size=size)
    lines = lines_of(ladder, 80, 24)
    assert "Traded" in "\n".join(lines)
    assert [lines[row_of(lines, price)].split()[-1] for price in ("221.44 ", "221.31◂")] == ["100", "1,200"]


def test_a_screen_that_was_wide_keeps_its_bars_when_it_is_narrow() -> None:
    """A narrower screen gets shorter bars rather than none."""
    ladder = Ladder(watchlist(book()))
    wide, narrow = (sum(line.count("█") for line in lines_of(ladder, width, 24)) for width in (200, 40))
    assert wide > narrow > 0


@pytest.mark.parametrize("width", [40, 48, 60, 80, 200])
def test_prices_stay_in_their_column_while_sizes_change(width: int) -> None:
    """The bars of both sides have their room from the first drawing, whichever side has the largest size."""
    shown = watchlist(None)
    ladder, places = Ladder(shown), set()
    for seq, (bid, ask) in enumerate([(1, 9), (9, 1), (5, 9), (9, 9)], start=1):
        bids, asks = [level(99.0, ("G", bid * 1_000))], [level(99.5, ("G", ask * 1_000))]
        shown.apply(book(seq=seq, bids=bids, asks=asks), NOW)
        lines = lines_of(ladder, width, 24)
        places.add((lines[row_of(lines, "99.00")].index("99.00"), *(title in lines[2] for title in ("Total", "Bid"))))
    assert len(places) == 1


def test_a_ladder_beside_a_table_shows_the_quote_given() -> None:
    """The body has no line about the streamer, and is about the quote that it was made for."""
    shown = watchlist(book())
    shown.show([*(quote.symbol for quote in shown.quotes), *parse_symbols(["NVDA"], date(2026, 11, 21))])
    shown.apply(book("NVDA", bids=many(3, -1), asks=many(3)), NOW)
    drawn = text_of(Ladder(shown, shown.quotes[1]).body(NOW, ConsoleDimensions(40, 10)), 40)
    assert drawn.startswith("NVDA")
    assert "101.00" in drawn
    assert "Ctrl-C" not in drawn


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize(
    ("width", "title"),
    [
        (60, "AMD  221.41 ▲  0.1s old  NASDAQ_BOOK 14:13:20"),
        (44, "AMD  221.41 ▲  0.1s old"),
        (20, "AMD  221.41 ▲"),
        (10, "AMD  221.…"),
    ],
)
def test_a_narrow_title_has_no_half_facts(width: int, title: str) -> None:
    """The service and the time are left out before they would be cut, and next the age of the book."""
    drawn = text_of(Ladder(watchlist(book())).body(NOW, ConsoleDimensions(width, 10)), width)
    assert drawn.splitlines()[0].rstrip() == title


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "spread 0.06 (6 ticks)  imbalance +34%"),
        ({"asks": []}, "no asks"),
        ({"asks": [], "bids": []}, "no bids and asks"),
        ({"asks": [level(221.38, ("G", 1))]}, "spread 0.00 (0 ticks)  locked  imbalance +100%"),
        ({"asks": [level(221.37, ("G", 1840))]}, "spread -0.01 (-1 tick)  crossed  imbalance +0%"),
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


@pytest.mark.parametrize("symbol", ["$SPX", "EUR/USD", "./ESZ26C6900"])
def test_a_symbol_without_a_book_at_schwab_is_not_awaited(symbol: str) -> None:
    """Indices, currencies and options on futures have no book service, so that no book is on its way."""
    drawn = text_of(Ladder(watchlist(None, symbol)).body(NOW, LIVE))
    assert "Schwab streams no order book for this symbol" in drawn
    assert "no book yet" not in drawn


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


@given(
    size=st.integers(-5, 10**9), largest=st.integers(-5, 10**9), longest=st.integers(4, 24), rightwards=st.booleans()
)
def test_bars_are_to_scale_and_fit(size: int, largest: int, longest: int, rightwards: bool) -> None:
    """No bar is longer than its column, and every size has one, however small; no size has none."""
    bar = bar_of(min(size, largest), largest, longest, rightwards=rightwards)
    assert len(bar) <= longest
    if size >= largest > 0:
        assert bar == "█" * longest
    assert (bar == "") == (size <= 0 or largest <= 0)


def test_a_print_has_levels_and_no_blank_lines() -> None:
    """A print has the levels that exist, up to the depth, and no line for the others."""
    lines = text_of(Ladder(watchlist(book()), depth=50).render(NOW)).splitlines()
    assert all(line.strip() for line in lines)
    assert len(lines) == 3 + len(BIDS) + len(ASKS) + 1
