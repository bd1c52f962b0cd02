"""The book screen: asks above, bids below, the best in the middle, as a Rich renderable and as plain text.

``layout`` decides which levels fit.
"""

from collections.abc import Sequence
from typing import Final

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.events import Channel, Event, Level, Level2Event
from schwabstream.protocol.subscriptions import book_services
from schwabstream.terminal import text
from schwabstream.terminal.browsing import SCREEN_KEYS, Controls
from schwabstream.terminal.grid import CUT_TO, GAP, Cell, Column, Grid
from schwabstream.terminal.ladder.layout import Line, Side, bar_width, fit
from schwabstream.terminal.page import Header, compose, footer, key_list, one_line, paused, reader_header
from schwabstream.terminal.watchlist import Quote, Watchlist

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_EMPTY: Final = Cell("")
_COLUMNS: Final = (
    Column("Venues", 5, cut=True, sparse=True),
    Column("Makers", 6, sparse=True),
    Column("Total", 3),
    Column("", 2),
    Column("Bid", 1),
    Column("Price ", 0),  # above the mark of the last trade too
    Column("Ask", 1, left=True),
    Column("", 2, left=True),
    Column("Total", 3, left=True),
    Column("Makers", 6, left=True, sparse=True),
    Column("Venues", 5, left=True, cut=True, sparse=True),
    Column("Traded", 4, sparse=True),
)
_BARS: Final = (3, 7)
_BLANK: Final = (_EMPTY,) * 5  # the columns on one side of the price
_BID, _ASK = "green", "red"
_LAST_TRADE: Final = "◂"
_NO_BOOK: Final = "Schwab streams no order book for this symbol"
_TITLES_FROM: Final = 7  # lines for levels; with fewer, another level is worth more than the titles of the columns
_PRINT_WIDTH: Final = 80
_VENUES_WIDTH: Final = 2 * (CUT_TO + len(GAP))
_TO_THE_END: Final = 10**6
_KEYS: Final = (
    ("↑ ↓", "scroll"),
    ("PgUp PgDn", "half a page"),
    ("Home End", "far asks, far bids"),
    ("c", "centre"),
    *SCREEN_KEYS,
)


class Ladder:
    """Draws the book of one symbol, the first of the watchlist unless a ``quote`` of it is given.

    Shows up to ``depth`` levels of each side; ``venues`` adds the venues of each level. ``channels`` have the events
    that it shows.
    """

    channels = frozenset({Channel.LEVEL2, Channel.TICKS})

    def __init__(
        self, watchlist: Watchlist, quote: Quote | None = None, *, depth: int = 10, venues: bool = False
    ) -> None:
        self.watchlist = watchlist
        self._quote = quote or watchlist.quotes[0]
        self._depth, self._venues = depth, venues
        self._widths: dict[int, int] = {}
        self._width = 0
        self._most_asks = self._most_bids = 0
        self._scroll, self._page = 0, 1
        self._controls = Controls(lambda: watchlist.pause(self._drawn_at))
        self._drawn_at = 0.0

    @property
    def left(self) -> bool:
        """Whether a key has asked to leave."""
        return self._controls.left

    def shown(self, quote: Quote) -> Level2Event | None:
        """The event that the ladder shows of a quote; None before the first."""
        return quote.book

    def line_of(self, event: Event, now_s: float) -> str | None:
        """The event as a plain line; None when the ladder does not show it."""
        return book_line(self._quote, event, now_s, self._depth) if isinstance(event, Level2Event) else None

    def json_of(self, event: Event) -> str | None:
        """The event as a JSON line, cut to the depth; None when the ladder does not show it."""
        if not isinstance(event, Level2Event):
            return None
        cut = {"bids": event.bids[: self._depth], "asks": event.asks[: self._depth]}
        return event.model_copy(update=cut).model_dump_json()

    def press(self, key: str) -> None:
        """Scroll by a line, by a page or to an end; ``c`` centres the ladder; else a key of every screen."""
        if self._controls.press(key):
            return
        steps = {"up": 1, "page_up": self._page, "home": _TO_THE_END, "c": -self._scroll}
        steps |= {"down": -1, "page_down": -self._page, "end": -_TO_THE_END}
        self._scroll += steps.get(key, 0)

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The screen of that ``size`` at ``now_s``, with the levels that fit; None: a print of all levels."""
        return compose(self, now_s, size)

    def changes(self, now_s: float) -> None:
        """A new book changes most of the ladder."""

    def header(self, now_s: float, size: ConsoleDimensions | None) -> Header:
        """The state of the streamer."""
        del size
        self._drawn_at = now_s
        return reader_header(self.watchlist, now_s)

    def body(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The title, the levels that fit into that ``size``, and the summary, or the list of keys; None: all levels."""
        if size is not None and self._controls.lists_keys:
            return key_list(_KEYS, size)
        quote, book = self._quote, self._quote.book
        now_s = self.watchlist.shown_at(now_s)
        title = self._title(now_s)
        if book is None:
            awaited = "no book yet" if book_services(quote.symbol, {}) else _NO_BOOK
            return Group(title, Text(self.watchlist.not_streamed() or awaited, "dim"))
        note = [] if book.source == "book" else [one_line(why_top_of_book(book))]
        depth = self._depth if book.source == "book" else 1
        parts = (summary(quote, book, depth), *note)
        if size is None:
            return Group(title.whole, self._print(book, depth), *parts)
        lines = size.height - 1 - len(parts)
        return Group(title, self._window(book, depth, lines, size.width), *parts)

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """The notes below the levels."""
        del now_s
        return footer(self.watchlist, live=size is not None)

    def note(self, now_s: float) -> str:
        """Since when the book is paused."""
        return paused(self.watchlist, now_s)

    def prompt(self, now_s: float) -> None:
        """Nothing is asked."""

    def _title(self, now_s: float) -> Header:
        quote, book = self._quote, self._quote.book
        lead = Text(safe(quote.symbol.alias), "bold")
        if quote.tick is not None:
            arrow, colour = {1: (" ▲", _BID), -1: (" ▼", _ASK)}.get(quote.direction, ("", ""))
            lead.append(f"{GAP}{text.price(quote.tick.last_price, quote.notation)}{arrow}", colour)
        stale = self.watchlist.why_stale(quote, now_s)
        facts: list[Text | str] = [Text(stale, "bold red")] if stale else []
        if book is not None:
            facts += [f"{text.age(now_s - book.received_us / 1e6)} old"]
            facts += [f"{safe(book.service)} {text.clock(book.timestamp, now_s)}"]
        return Header(Text.assemble(lead), *facts)

    def _print(self, book: Level2Event, depth: int) -> Grid:
        """All levels to the depth."""
        asks, bids = book.asks[:depth], book.bids[:depth]
        return Grid(_COLUMNS, self._rows(asks, range(len(asks)), bids, range(len(bids)), self._bar(_PRINT_WIDTH)))

    def _window(self, book: Level2Event, depth: int, lines: int, width: int) -> Grid:
        """The levels that fit into those lines, and the titles of the columns if they fit too."""
        asks, bids = book.asks[:depth], book.bids[:depth]
        # Lines are kept for as many levels as there were, so that the best prices stay in place.
        self._most_asks = max(self._most_asks, len(asks))
        self._most_bids = max(self._most_bids, len(bids))
        bar = self._bar(width)
        if width != self._width:
            # Bars that grow into their columns would move the prices.
            self._width, self._widths = width, dict.fromkeys(_BARS, bar)
        titled = lines > _TITLES_FROM
        lines -= titled
        layout = fit(Side(len(asks), self._most_asks), Side(len(bids), self._most_bids), lines, self._scroll)
        self._scroll, self._page = layout.scroll, max(1, lines // 2)
        rows = self._rows(asks, layout.asks, bids, layout.bids, bar)
        return Grid(_COLUMNS, rows, self._widths, header=titled)

    def _rows(
        self, asks: Sequence[Level], above: Sequence[Line], bids: Sequence[Level], below: Sequence[Line], bar: int
    ) -> list[list[Cell]]:
        """The lines ``above`` the touch, the farthest first, and those ``below``; ``bar`` is the longest bar."""
        sizes = [asks[line].size for line in above if isinstance(line, int)]
        sizes += [bids[line].size for line in below if isinstance(line, int)]
        largest = max(sizes, default=0)
        ask_rows = [self._row(asks, line, largest, bar, bid=False) for line in above]
        return ask_rows[::-1] + [self._row(bids, line, largest, bar, bid=True) for line in below]

    def _row(self, levels: Sequence[Level], line: Line, largest: int, bar: int, *, bid: bool) -> list[Cell]:
        if not isinstance(line, int):
            left_out = "" if line is None else f"… {line.levels:,} more"
            return [*_BLANK, Cell(left_out, "dim"), *_BLANK, _EMPTY]
        level = levels[line]
        colour = _BID if bid else _ASK
        weight = "" if line else "bold "
        tick = self._quote.tick
        volume = self._quote.profile.volumes.get(level.price)
        mark = _LAST_TRADE if tick is not None and tick.last_price == level.price else " "
        price = Cell(text.price(level.price, self._quote.notation) + mark, weight.strip())
        outwards = (
            Cell(text.count(level.size), weight + colour),
            Cell(bar_of(level.size, largest, bar, rightwards=not bid), colour),
            Cell(text.count(sum(each.size for each in levels[: line + 1])), "dim"),
            Cell(text.count(level.makers) if level.makers else "", "dim"),
            Cell(self._venue_text(level), "dim"),
        )
        around = [*outwards[::-1], price, *_BLANK] if bid else [*_BLANK, price, *outwards]
        return [*around, Cell("" if volume is None else text.count(volume), "dim")]

    def _bar(self, width: int) -> int:
        return bar_width(width - (_VENUES_WIDTH if self._venues else 0))

    def _venue_text(self, level: Level) -> str:
        if not self._venues:
            return ""
        return " ".join(f"{safe(venue.id)}:{text.count(venue.size)}" for venue in level.venues)


def bar_of(size: int, largest: int, longest: int, *, rightwards: bool) -> str:
    """A bar, the ``longest`` for the largest size, in eighths of a cell to the right, in halves to the left."""
    eighths = max(1, round(8 * longest * size / largest)) if largest > 0 and size > 0 else 0
    if not rightwards:
        halves = -(-eighths // 4)
        return ("▐" if halves % 2 else "") + _EIGHTHS[-1] * (halves // 2)
    return _EIGHTHS[-1] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def summary(quote: Quote, book: Level2Event, depth: int) -> Text:
    """Spread, whether the book is crossed or locked, and imbalance of the sizes to the depth."""
    line = Text(no_wrap=True, overflow="ellipsis")
    if not book.bids or not book.asks:
        missing = " and ".join(name for name, side in (("bids", book.bids), ("asks", book.asks)) if not side)
        return line.append(f"no {missing}", "bold")
    spread = book.asks[0].price - book.bids[0].price
    line.append(f"spread {text.price(spread, quote.notation)}")
    if quote.tick_size:
        ticks = round(spread / quote.tick_size, 2)
        line.append(f" ({ticks:g} tick{'' if abs(ticks) == 1 else 's'})")
    if spread <= 0:
        line.append("  crossed" if spread < 0 else "  locked", "bold magenta")
    bids, asks = (sum(level.size for level in side[:depth]) for side in (book.bids, book.asks))
    if bids + asks:
        line.append(f"  imbalance {100 * (bids - asks) / (bids + asks):+.0f}%")
    return line


def why_top_of_book(book: Level2Event) -> str:
    """Why there is only one level."""
    return f"top of book only, from {safe(book.service)}: Schwab streams no depth for this symbol"


def book_line(quote: Quote, book: Level2Event, now_s: float, depth: int) -> str:
    """One book as one line of plain text, best levels first, for pipes."""
    sides = [
        f"{name} " + " ".join(f"{text.count(level.size)}@{text.price(level.price, quote.notation)}" for level in side)
        for name, side in (("bids", book.bids[:depth]), ("asks", book.asks[:depth]))
    ]
    start = f"{text.clock(book.timestamp, now_s)}  {safe(quote.symbol.alias)}  {book.source}"
    return "  ".join((start, *sides, summary(quote, book, depth).plain))
