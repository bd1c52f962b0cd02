"""The quote screen: a watchlist as a Rich renderable, from 60 columns up, and as one plain line per update."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

from rich.console import ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.events import Channel, Event, TickEvent
from schwabstream.market.spark import MINUTES
from schwabstream.protocol.notation import Notation
from schwabstream.terminal import text
from schwabstream.terminal.browsing import TABLE_KEYS, Browse
from schwabstream.terminal.grid import Cell, Column, Grid
from schwabstream.terminal.lines import quote_line
from schwabstream.terminal.page import (
    HEALTH_FROM,
    Header,
    compose,
    delayed,
    footer,
    health,
    key_list,
    one_line,
    paused,
    reader_header,
)
from schwabstream.terminal.screen.cells import Run
from schwabstream.terminal.watchlist import SORTS, Quote, Watchlist

_COLUMNS: Final = (
    Column("Symbol", 0, left=True),
    Column("Contract", 10, left=True, sparse=True),
    Column("Exp", 8, sparse=True),
    Column("Last", 1),
    Column(f"{MINUTES} minutes", 13, left=True, sparse=True),
    Column("Net", 6),
    Column("%", 7),
    Column("Size", 9),
    Column("Bid", 2),
    Column("Ask", 3),
    Column("Size", 9, left=True),
    Column("Spread", 12),
    Column("Volume", 11),
    Column("Low", 15),
    Column("Day range", 14, left=True, sparse=True),
    Column("High", 15),
    Column("Trade", 16),
    Column("Age", 4, left=True, cut=True),
    Column("Rate", 17),
    Column("Description", 18, left=True, cut=True, sparse=True),
)
_SORTED_BY: Final = {"change": "%", "volume": "Volume"}
_RANK_OF_ORDER: Final = 5
_LAST: Final = 3
_NET: Final = 5
_UP, _DOWN, _STALE, _ROLL = "green", "red", "dim", "bold magenta"
_NO_TICK: Final = TickEvent(symbol="", key="", seq=0, timestamp=0, received_us=0, asset="", is_trade=False)
"""Every value of it is unknown."""


class QuoteTable:
    """Draws one watchlist again and again; columns keep their widths while the streamer's state stays the same.

    ``channels`` have the events that it shows. ``browse`` follows the keys; with a ``question`` it leaves at the second
    press only.
    """

    channels = frozenset({Channel.TICKS})

    def __init__(self, watchlist: Watchlist, *, sort: str | None = None, question: str | None = None) -> None:
        self.watchlist = watchlist
        self.browse: Browse[Quote] = Browse(
            SORTS, _matches, lambda: watchlist.pause(self._drawn_at), order=sort, question=question
        )
        self._widths: dict[int, int] = {}
        self._state: str | None = None
        self._drawn_at = 0.0
        self._grid: Grid | None = None
        self._drawn: list[_Row] = []

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
        return reader_header(self.watchlist, now_s)

    def body(self, now_s: float, size: ConsoleDimensions | None) -> RenderableType:
        """The rows that keys have brought into that ``size``, or the list of keys; None: all rows."""
        self._drawn_at, self._grid = now_s, None
        shown = self.browse.window(self.watchlist.quotes, None if size is None else size.height - 1)
        if size is None:
            return self._rows(shown, now_s, None)
        if self.browse.lists_keys:
            return key_list(TABLE_KEYS, size)
        grid = self._rows(shown, now_s, self.browse.selected)
        if len(shown) < size.height:  # otherwise the row that is always drawn may be below the screen
            self._grid = grid
        return grid

    def note(self, now_s: float) -> str:
        """How many rows are on the screen, their order, and since when they are paused."""
        return "  ".join(filter(None, (*self.browse.notes, paused(self.watchlist, now_s))))

    def prompt(self, now_s: float) -> str | None:
        """A question, or the filter."""
        return self.browse.prompt(now_s)

    def changes(self, now_s: float) -> list[Run] | None:
        """What new ticks and the ends of flashes have changed in the prices; None when the rows must be drawn anew.

        The figures of the day and the ages of a fast market are renewed with the rows: they would double the cost.
        """
        if self._grid is None or self.watchlist.paused_at is not None:
            return None
        runs: list[Run] = []
        for line, row in enumerate(self._drawn):
            if row.quote.tick is row.tick and row.flashes == row.quote.flashes(now_s):
                continue
            cells = self._changed(row, now_s)
            changed = None if cells is None else self._grid.change(line, cells, below=1)
            if changed is None:
                return None
            runs += changed
        return runs

    def _changed(self, row: "_Row", now_s: float) -> dict[int, Cell] | None:
        """The cells, by column, that may differ from those of the row; None when it is to be drawn anew."""
        quote, before = row.quote, row.tick
        if before is None or row.look.stale:
            return None
        row.tick = quote.tick
        row.flashes = quote.flashes(now_s)
        look = _Look(now_s, row.look.notation, None, "", _trend(quote))
        cells = {_LAST: _last(quote, look)}
        for index, (shown, cell_of) in enumerate(_PRICES, _NET):
            if shown(row.tick) != shown(before):
                cells[index] = cell_of(quote, look)
        return cells

    def _rows(self, quotes: Iterable[Quote], now_s: float, marked: Quote | None) -> Grid:
        """One row for each of the quotes."""
        now_s = self.watchlist.shown_at(now_s)
        report = self.watchlist.report
        state = None if report is None else report.state
        if state != self._state:  # "disconnected" in each row must not keep its column wide afterwards
            self._state, self._widths = state, {}
        self._drawn = []
        rows = [self._row(quote, now_s, "reverse " if quote is marked else "") for quote in quotes]
        return Grid(_columns(self.browse.order), rows, self._widths)

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """The notes below the rows."""
        watchlist = self.watchlist
        lines = delayed(watchlist.quotes)
        if size is None:
            return lines + footer(watchlist, live=False)
        if missing := watchlist.not_streamed():
            lines.append(one_line(missing, "bold"))
        if watchlist.report is not None and size.height >= HEALTH_FROM:
            lines.append(health(watchlist.report, now_s, size))
        return lines + footer(watchlist, live=True)

    def _row(self, quote: Quote, now_s: float, mark: str) -> list[Cell]:
        tick, report = quote.tick, quote.report
        look = self._look(quote, now_s)
        style = look.style
        self._drawn.append(_Row(quote, tick, look, quote.flashes(now_s)))
        return [
            Cell(text.symbol(quote.symbol.alias) + (" d" if tick and tick.delayed else ""), mark + (style or "bold")),
            Cell(text.symbol(quote.contract or ""), style),
            _expiration(quote, look),
            _last(quote, look),
            Cell(text.course(quote.course.last_minutes(now_s)), style),
            *(cell_of(quote, look) for _, cell_of in _PRICES),
            *_day(quote, look),
            self._age(quote, look),
            Cell(text.rate(report.rate) if report else text.UNKNOWN, style),
            Cell(safe((report and report.description) or ""), style),
        ]

    def _look(self, quote: Quote, now_s: float) -> "_Look":
        stale = self.watchlist.why_stale(quote, now_s)
        return _Look(now_s, quote.notation, stale, _STALE if stale else "", _STALE if stale else _trend(quote))

    def _age(self, quote: Quote, look: "_Look") -> Cell:
        """The age and why the row is stale; a session that is not open explains any age."""
        stale = look.stale
        if stale and stale.startswith(("break", "closed")):
            return Cell(stale, look.style)
        age_s = self.watchlist.age_s(quote, look.now_s)
        return Cell(" ".join(filter(None, (None if age_s is None else text.age(age_s), stale))), look.style)


class _Look(NamedTuple):
    """How a row is drawn: the time, the notation of its prices, why it is stale, its styles."""

    now_s: float
    notation: Notation
    stale: str | None
    style: str
    trend: str


@dataclass(slots=True)
class _Row:
    """What a row on the screen shows: the tick of its quote, how it is drawn, and whether it flashes."""

    quote: Quote
    tick: TickEvent | None
    look: _Look
    flashes: bool


def _columns(order: str | None) -> Sequence[Column]:
    """The columns, of which the one that the rows are sorted by is not left out before the others of the day."""
    title = _SORTED_BY.get(order or "")
    return [column._replace(rank=_RANK_OF_ORDER) if column.title == title else column for column in _COLUMNS]


def _matches(quote: Quote, part: str) -> bool:
    """Whether the symbol or the contract has this part, in lower case; the exchange counts once a colon is typed."""
    symbol = quote.symbol.alias if ":" in part else quote.symbol.alias.partition(":")[0]
    return part in f"{symbol} {quote.contract or ''}".casefold()


def _trend(quote: Quote) -> str:
    """The colour of the day's change."""
    change = quote.net_change or 0.0
    return _UP if change > 0 else _DOWN if change < 0 else ""


def _last(quote: Quote, look: _Look) -> Cell:
    """The price in the colour of the day's change, with an arrow for the last tick, whose colour flashes."""
    if quote.tick is None:
        return Cell(f"{text.UNKNOWN}  ", _STALE)
    shown = f"{text.price(quote.tick.last_price, look.notation)} {' ▲▼'[quote.direction]}"
    if look.stale:
        return Cell(shown, _STALE)
    if quote.flashes(look.now_s):
        return Cell(shown, f"bold reverse {_UP if quote.direction > 0 else _DOWN}")
    return Cell(shown, f"bold {look.trend}".rstrip())


def _expiration(quote: Quote, look: _Look) -> Cell:
    """The days to the expiration, marked in the week in which traders move to the next contract."""
    left = quote.expires_in(look.now_s)
    if left is None:
        return Cell("", look.style)
    days, is_roll_week = left
    return Cell(text.days(days), _ROLL if is_roll_week and not look.style else look.style)


def _net(quote: Quote, look: _Look) -> Cell:
    return Cell(text.signed(quote.net_change, look.notation), look.trend)


def _percent(quote: Quote, look: _Look) -> Cell:
    return Cell(text.percent(quote.percent_change), look.trend)


def _bid_size(quote: Quote, look: _Look) -> Cell:
    return Cell(f"{text.count((quote.tick or _NO_TICK).bid_size)} ×", look.style)


def _bid(quote: Quote, look: _Look) -> Cell:
    return Cell(text.price((quote.tick or _NO_TICK).bid_price, look.notation), look.style)


def _ask(quote: Quote, look: _Look) -> Cell:
    return Cell(text.price((quote.tick or _NO_TICK).ask_price, look.notation), look.style)


def _ask_size(quote: Quote, look: _Look) -> Cell:
    return Cell(f"× {text.count((quote.tick or _NO_TICK).ask_size)}", look.style)


def _spread(quote: Quote, look: _Look) -> Cell:
    spread = quote.spread
    if spread is None:
        return Cell(text.UNKNOWN, look.style)
    return Cell(f"{spread:g}t" if quote.tick_size else text.price(spread, look.notation), look.style)


def _day(quote: Quote, look: _Look) -> list[Cell]:
    """Volume, low, the last price between low and high, high, the time of the last trade."""
    tick = quote.tick or _NO_TICK
    return [
        Cell(text.count(tick.total_volume), look.style),
        Cell(text.price(tick.low_price, look.notation), look.style),
        Cell(text.position(tick.last_price, tick.low_price, tick.high_price), look.style),
        Cell(text.price(tick.high_price, look.notation), look.style),
        Cell(text.clock(tick.trade_time, look.now_s), look.style),
    ]


_PRICES: Final[tuple[tuple[Callable[[Any], object], Callable[[Quote, _Look], Cell]], ...]] = (
    (attrgetter("net_change", "last_price", "close_price"), _net),
    (attrgetter("net_change", "last_price", "close_price"), _percent),
    (attrgetter("bid_size"), _bid_size),
    (attrgetter("bid_price"), _bid),
    (attrgetter("ask_price"), _ask),
    (attrgetter("ask_size"), _ask_size),
    # Rounded: the noise of a subtraction is no change.
    (lambda tick: round((tick.ask_price or 0.0) - (tick.bid_price or 0.0), 9), _spread),
)
"""The columns from ``_NET`` on: the values of a tick that each of them shows, and its cell."""
