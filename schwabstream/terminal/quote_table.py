"""The quote screen: a watchlist as a Rich renderable, from 60 columns up, and as one plain line per update."""

from collections.abc import Iterable
from typing import Final

from rich.console import ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.events import Channel, Event, TickEvent
from schwabstream.market.spark import MINUTES
from schwabstream.terminal import text
from schwabstream.terminal.browsing import TABLE_KEYS, Browse
from schwabstream.terminal.grid import Cell, Column, Grid
from schwabstream.terminal.page import (
    HEALTH_FROM,
    Header,
    compose,
    footer,
    health,
    key_list,
    one_line,
    paused,
    reader_header,
    uncut,
)
from schwabstream.terminal.watchlist import SORTS, Quote, Watchlist

_COLUMNS: Final = (
    Column("Symbol", 0, left=True),
    Column("Contract", 9, left=True, sparse=True),
    Column("Exp", 7, sparse=True),
    Column("Last", 1),
    Column(f"{MINUTES} minutes", 12, left=True, sparse=True),
    Column("Net", 5),
    Column("%", 6),
    Column("Size", 8),
    Column("Bid", 2),
    Column("Ask", 3),
    Column("Size", 8, left=True),
    Column("Spread", 11),
    Column("Volume", 10),
    Column("Low", 14),
    Column("Day range", 13, left=True, sparse=True),
    Column("High", 14),
    Column("Trade", 15),
    Column("Age", 4, left=True, cut=True),
    Column("Rate", 16),
    Column("Description", 17, left=True, cut=True, sparse=True),
)
_UP, _DOWN, _STALE, _ROLL = "green", "red", "dim", "bold magenta"
_DESCRIPTION_WIDTH: Final = 44


class QuoteTable:
    """Draws one watchlist again and again; columns keep their widths while the streamer's state stays the same.

    ``channels`` have the events that it shows. ``browse`` follows the keys; with a ``question`` it leaves at the second
    press only.
    """

    channels = frozenset({Channel.TICKS})

    def __init__(self, watchlist: Watchlist, *, sort: str | None = None, question: str | None = None) -> None:
        self.watchlist = watchlist
        self.browse: Browse[Quote] = Browse(SORTS, _searched, self._pause, order=sort, question=question)
        self._widths: dict[int, int] = {}
        self._state: str | None = None
        self._drawn_at = 0.0
        self._header = Header(Text())

    @property
    def left(self) -> bool:
        """Whether keys have asked to leave."""
        return self.browse.left

    @property
    def takes_all_keys(self) -> bool:
        """Whether the next key is for the table alone: text of a filter, or the end of the list of keys."""
        return self.browse.is_typing or self.browse.lists_keys

    @property
    def selected(self) -> Quote | None:
        """The quote of the selected row; None without one."""
        return self.browse.selected

    def choose(self) -> Quote | None:
        """The quote of the selected row, or of the first, which is selected from now on; None without rows."""
        return self.browse.choose()

    def press(self, key: str) -> None:
        """Take in a key."""
        self.browse.press(key)

    def _pause(self) -> None:
        self.watchlist.pause(self._drawn_at)

    def shown(self, quote: Quote) -> TickEvent | None:
        """The event that the table shows of a quote; None before the first."""
        return quote.tick

    def line_of(self, event: Event, now_s: float) -> str | None:
        """The event as a plain line, once the watchlist has it; None when this table does not show it."""
        quote = self.watchlist.quote(event)
        return None if quote is None or not isinstance(event, TickEvent) else quote_line(quote, now_s)

    def json_of(self, event: Event) -> str | None:
        """The event as a JSON line; None when this table does not show it."""
        return event.model_dump_json() if isinstance(event, TickEvent) else None

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The screen of that ``size`` at ``now_s``; None: a print of all quotes."""
        return compose(self, now_s, size)

    def header(self, now_s: float, size: ConsoleDimensions | None) -> Header:
        """The state of the streamer."""
        del size
        self._header = reader_header(self.watchlist, now_s)
        return self._header

    def body(self, now_s: float, size: ConsoleDimensions | None) -> RenderableType:
        """The rows that keys have brought into that ``size``, or the list of keys; None: all rows."""
        self._drawn_at = now_s
        shown = self.browse.window(self.watchlist.quotes, None if size is None else size.height - 1)
        if size is not None and self.browse.lists_keys:
            return key_list(TABLE_KEYS, size.height)
        return self._grid(shown, now_s, None if size is None else self.browse.selected)

    def note(self, now_s: float) -> str:
        """How many rows are on the screen, their order, and since when they are paused."""
        return "  ".join(filter(None, (*self.browse.notes, paused(self.watchlist, now_s))))

    def prompt(self, now_s: float) -> str | None:
        """A question, or the filter."""
        return self.browse.prompt(now_s)

    def _grid(self, quotes: Iterable[Quote], now_s: float, marked: Quote | None) -> Grid:
        """One row for each of the quotes."""
        now_s = self.watchlist.shown_at(now_s)
        report = self.watchlist.report
        state = None if report is None else report.state
        if state != self._state:  # "disconnected" in each row must not keep its column wide afterwards
            self._state, self._widths = state, {}
        rows = [self._row(quote, now_s, "reverse " if quote is marked else "") for quote in quotes]
        return Grid(_COLUMNS, rows, self._widths)

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """The notes below the rows."""
        watchlist, lines = self.watchlist, delayed(self.watchlist.quotes)
        if size is None:
            return lines + footer(watchlist, live=False)
        lines += uncut(self._header, size)
        if missing := watchlist.not_streamed():
            lines.append(one_line(missing, "bold"))
        if watchlist.report is not None and size.height >= HEALTH_FROM:
            lines.append(health(watchlist.report, now_s))
        return lines + footer(watchlist, live=True)

    def _row(self, quote: Quote, now_s: float, mark: str) -> list[Cell]:
        tick, report, notation = quote.tick, quote.report, quote.notation
        stale = self.watchlist.why_stale(quote, now_s)
        style = _STALE if stale else ""
        trend = _STALE if stale else _trend(quote)
        bid, bid_size, ask, ask_size = _top(quote)
        volume, low, high, last = (
            (tick.total_volume, tick.low_price, tick.high_price, tick.last_price) if tick else (None, None, None, None)
        )
        description = safe((report and report.description) or "")
        return [
            Cell(safe(quote.symbol.alias) + (" d" if tick and tick.delayed else ""), mark + (style or "bold")),
            Cell(safe(quote.contract or ""), style),
            _expiration(quote, now_s, style),
            _last(quote, now_s, stale=bool(stale)),
            Cell(text.course(quote.course.last_minutes(now_s)), style),
            Cell(text.signed(quote.net_change, notation), trend),
            Cell(text.percent(quote.percent_change), trend),
            Cell(f"{text.count(bid_size)} ×", style),
            Cell(text.price(bid, notation), style),
            Cell(text.price(ask, notation), style),
            Cell(f"× {text.count(ask_size)}", style),
            Cell(_spread(quote), style),
            Cell(text.count(volume), style),
            Cell(text.price(low, notation), style),
            Cell(text.position(last, low, high), style),
            Cell(text.price(high, notation), style),
            Cell(text.clock(tick.trade_time if tick else None, now_s), style),
            Cell(_age(self.watchlist.age_s(quote, now_s), stale), style),
            Cell(text.rate(report.rate) if report else text.UNKNOWN, style),
            Cell(description[:_DESCRIPTION_WIDTH], style),
        ]


def quote_line(quote: Quote, now_s: float) -> str:
    """One update as plain text, for pipes."""
    tick = quote.tick
    if tick is None:
        return f"{safe(quote.symbol.alias)}  no data yet"
    bid, bid_size, ask, ask_size = _top(quote)
    parts = (
        text.clock(tick.timestamp, now_s),
        safe(quote.symbol.alias),
        text.price(tick.last_price, quote.notation),
        text.signed(quote.net_change, quote.notation),
        text.percent(quote.percent_change),
        f"{text.count(bid_size)} × {text.price(bid, quote.notation)}",
        f"{text.price(ask, quote.notation)} × {text.count(ask_size)}",
        f"vol {text.count(tick.total_volume)}",
        "delayed" if tick.delayed else "",
        "halted" if tick.security_status == "Halted" else "",
    )
    return "  ".join(part for part in parts if part)


def delayed(quotes: Iterable[Quote]) -> list[Text]:
    """The meaning of the mark after a symbol, if a symbol has it."""
    marked = any(quote.tick and quote.tick.delayed for quote in quotes)
    return [one_line("d: delayed quotes")] if marked else []


def _searched(quote: Quote) -> str:
    """The text that a filter searches."""
    return f"{quote.symbol.alias} {quote.contract or ''}"


def _trend(quote: Quote) -> str:
    """The colour of the day's change."""
    change = quote.net_change or 0.0
    return _UP if change > 0 else _DOWN if change < 0 else ""


def _last(quote: Quote, now_s: float, *, stale: bool) -> Cell:
    """The price in the colour of the day's change, with an arrow for the last tick, whose colour flashes."""
    if quote.tick is None:
        return Cell(f"{text.UNKNOWN}  ", _STALE)
    arrow = {1: "▲", -1: "▼"}.get(quote.direction, " ")
    shown = f"{text.price(quote.tick.last_price, quote.notation)} {arrow}"
    if stale:
        return Cell(shown, _STALE)
    if quote.flashes(now_s):
        return Cell(shown, f"bold reverse {_UP if quote.direction > 0 else _DOWN}")
    return Cell(shown, f"bold {_trend(quote)}".rstrip())


def _expiration(quote: Quote, now_s: float, style: str) -> Cell:
    """The days to the expiration, marked in the week in which traders move to the next contract."""
    left = quote.expires_in(now_s)
    if left is None:
        return Cell("", style)
    days, is_roll_week = left
    return Cell(text.days(days), _ROLL if is_roll_week and not style else style)


def _top(quote: Quote) -> tuple[float | None, int | None, float | None, int | None]:
    """Bid, its size, ask, its size."""
    tick = quote.tick
    return (tick.bid_price, tick.bid_size, tick.ask_price, tick.ask_size) if tick else (None, None, None, None)


def _spread(quote: Quote) -> str:
    spread = quote.spread
    if spread is None:
        return text.UNKNOWN
    return f"{spread:g}t" if quote.tick_size else text.price(spread, quote.notation)


def _age(age_s: float | None, stale: str | None) -> str:
    """The age and why the row is stale; a session that is not open explains any age."""
    if stale and stale.startswith(("break", "closed")):
        return stale
    return " ".join(filter(None, (None if age_s is None else text.age(age_s), stale)))
