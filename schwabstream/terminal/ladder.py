"""The book screen: asks above, bids below, the best in the middle, as a Rich renderable and as plain text."""

from collections.abc import Sequence
from typing import Final

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.events import Channel, Event, Level, Level2Event
from schwabstream.terminal import text
from schwabstream.terminal.grid import Cell, Column, Grid
from schwabstream.terminal.page import footer, headline
from schwabstream.terminal.watchlist import Quote, Watchlist

BAR_WIDTH: Final = 14
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_EMPTY: Final = Cell("")
_COLUMNS: Final = (
    Column("Total", 3),
    Column("", 2),
    Column("Bid", 1),
    Column("Price", 0),
    Column("Ask", 1, left=True),
    Column("", 2, left=True),
    Column("Total", 3, left=True),
    Column("Makers", 4),
    Column("Venues", 5, left=True, cut=True, sparse=True),
)
_BID, _ASK = "green", "red"
_OTHER_LINES: Final = 4  # the headline, the title, the titles of the columns and the summary


class Ladder:
    """Draws one symbol's book, ``depth`` levels per side; ``venues`` adds the venues of each level.

    ``channels`` have the events that it shows.
    """

    channels = frozenset({Channel.LEVEL2, Channel.TICKS})

    def __init__(self, watchlist: Watchlist, *, depth: int = 10, venues: bool = False) -> None:
        self.watchlist, self._quote = watchlist, watchlist.quotes[0]
        self._depth, self._venues = depth, venues
        self._widths: dict[int, int] = {}

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

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The screen of that ``size`` at ``now_s``, with the levels that fit; None: a print of all levels."""
        quote, book = self._quote, self._quote.book
        parts: list[RenderableType] = [headline(self.watchlist, now_s), self._title(now_s)]
        below = footer(self.watchlist, live=size is not None)
        if book is None:
            parts.append(Text(self.watchlist.not_streamed() or "no book yet", "dim"))
            return Group(*parts, *below)
        if book.source == "top_of_book":
            below.insert(0, Text(why_top_of_book(book), "dim"))
        depth = 1 if book.source == "top_of_book" else self._depth
        if size is not None:
            depth = max(1, min(depth, (size.height - _OTHER_LINES - len(below)) // 2))
        return Group(*parts, Grid(_COLUMNS, self._rows(book, depth), self._widths), summary(quote, book, depth), *below)

    def _title(self, now_s: float) -> Text:
        quote, book = self._quote, self._quote.book
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(safe(quote.symbol.alias), "bold")
        if quote.tick is not None:
            arrow, colour = {1: (" ▲", _BID), -1: (" ▼", _ASK)}.get(quote.direction, ("", ""))
            line.append(f"  {text.price(quote.tick.last_price, quote.notation)}{arrow}", f"bold {colour}")
        if book is not None:
            age_s = now_s - book.received_us / 1e6
            line.append(f"  {safe(book.service)} {text.clock(book.timestamp, now_s)}, {text.age(age_s)} old")
        if stale := self.watchlist.why_stale(quote, now_s):
            line.append(f"  {stale}", "bold red")
        return line

    def _rows(self, book: Level2Event, depth: int) -> list[list[Cell]]:
        """Asks from the worst to the best, then bids from the best; blank rows keep the best prices in place."""
        asks, bids = book.asks[:depth], book.bids[:depth]
        largest = max((level.size for level in (*asks, *bids)), default=0)
        rows = self._side(asks, largest, bid=False)
        blank = [[_EMPTY] * len(_COLUMNS)]
        return (
            blank * (depth - len(rows)) + rows[::-1] + self._side(bids, largest, bid=True) + blank * (depth - len(bids))
        )

    def _side(self, levels: Sequence[Level], largest: int, *, bid: bool) -> list[list[Cell]]:
        rows, total = [], 0
        colour = _BID if bid else _ASK
        for position, level in enumerate(levels):
            total += level.size
            weight = "bold " if position == 0 else ""
            size = Cell(text.count(level.size), weight + colour)
            bar = Cell(bar_of(level.size, largest, rightwards=not bid), colour)
            cumulated = Cell(text.count(total), "dim")
            price = Cell(text.price(level.price, self._quote.notation), weight.strip())
            around = [cumulated, bar, size, price, _EMPTY, _EMPTY, _EMPTY]
            if not bid:
                around = [_EMPTY, _EMPTY, _EMPTY, price, size, bar, cumulated]
            rows.append([*around, Cell(text.count(level.makers), "dim"), Cell(self._venue_text(level), "dim")])
        return rows

    def _venue_text(self, level: Level) -> str:
        if not self._venues:
            return ""
        return " ".join(f"{safe(venue.id)}:{text.count(venue.size)}" for venue in level.venues)


def bar_of(size: int, largest: int, *, rightwards: bool) -> str:
    """A bar as long as the size is of the largest: in eighths of a cell to the right, in halves to the left."""
    eighths = round(8 * BAR_WIDTH * size / largest) if largest > 0 and size > 0 else 0
    if not rightwards:
        halves = -(-eighths // 4)
        return ("▐" if halves % 2 else "") + _EIGHTHS[-1] * (halves // 2)
    return _EIGHTHS[-1] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def summary(quote: Quote, book: Level2Event, depth: int) -> Text:
    """Spread, imbalance of the shown sizes, and whether the book is crossed or locked."""
    line = Text(no_wrap=True, overflow="ellipsis")
    if not book.bids or not book.asks:
        missing = " and ".join(name for name, side in (("bids", book.bids), ("asks", book.asks)) if not side)
        return line.append(f"no {missing}", "bold")
    spread = book.asks[0].price - book.bids[0].price
    line.append(f"spread {text.price(spread, quote.notation)}")
    if quote.tick_size:
        ticks = round(spread / quote.tick_size, 2)
        line.append(f" ({ticks:g} tick{'' if abs(ticks) == 1 else 's'})")
    bids, asks = (sum(level.size for level in side[:depth]) for side in (book.bids, book.asks))
    if bids + asks:
        line.append(f"  imbalance {100 * (bids - asks) / (bids + asks):+.0f}%")
    if spread <= 0:
        line.append("  crossed" if spread < 0 else "  locked", "bold magenta")
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
