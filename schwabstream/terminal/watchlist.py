"""The symbols on a screen: the newest tick and book of each wanted symbol, and why it may be stale.

Pure: events, reports and the time come in. Two symbols of one key share its ticks.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schwabstream.escapes import safe
from schwabstream.events import BarEvent, Event, Level2Event, TickEvent
from schwabstream.market.expiration import days_left
from schwabstream.market.spark import PriceCourse
from schwabstream.market.trading_hours import NEW_YORK
from schwabstream.market.volume_profile import VolumeProfile
from schwabstream.protocol.notation import Notation
from schwabstream.protocol.symbols import Asset, Symbol, future_meant, notation_of, tick_size
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal import text

FLASH_S: Final = 0.4
STALE_AFTER_S: Final = 90.0
_MOST_NAMED: Final = 5
_PAUSED: Final = {"Halted": "halted", "Closed": "closed"}
_NOT_OPEN: Final = ("break", "closed")
_ASSETS: Final = {str(asset): asset for asset in Asset}


@dataclass(slots=True)
class Quote:
    """One symbol: ``direction`` of its last change of price (1, -1, or 0 before any), ``changed_at`` the time of it.

    ``course``: its price over the last minutes; ``profile``: the volume seen at each price.
    """

    symbol: Symbol
    tick: TickEvent | None = None
    book: Level2Event | None = None
    direction: int = 0
    changed_at: float = 0.0
    report: SymbolReport | None = None
    course: PriceCourse = field(default_factory=PriceCourse)
    profile: VolumeProfile = field(default_factory=VolumeProfile)

    @property
    def contract(self) -> str | None:
        """The contract that a future's root stands for; None when Schwab has not named one."""
        return (self.tick and self.tick.contract) or (self.report and self.report.contract) or None

    def expires_in(self, now_s: float) -> tuple[int, bool] | None:
        """The days to its expiration, and whether this is the week of the roll; None when it has none."""
        expires_ms = self.report.expires if self.report else None
        return days_left(self.symbol, self.contract, expires_ms, datetime.fromtimestamp(now_s, NEW_YORK).date())

    @property
    def notation(self) -> Notation:
        """How its prices are written."""
        return notation_of(self.symbol, self.report.tick_size if self.report else None)

    @property
    def net_change(self) -> float | None:
        """The net change from Schwab, else the last price less the close."""
        tick = self.tick
        if tick is None:
            return None
        if tick.net_change is None and tick.last_price is not None and tick.close_price:
            return tick.last_price - tick.close_price
        return tick.net_change

    @property
    def percent_change(self) -> float | None:
        """The net change in percent of the close."""
        change = self.net_change
        if self.tick is None or change is None or not self.tick.close_price:
            return None
        return 100 * change / self.tick.close_price

    @property
    def tick_size(self) -> float | None:
        """The tick size from Schwab, else from our table."""
        return (self.report and self.report.tick_size) or tick_size(self.symbol)

    @property
    def spread(self) -> float | None:
        """Ask less bid, in ticks if the tick size is known, else in price units."""
        tick = self.tick
        if tick is None or not tick.bid_price or not tick.ask_price:
            return None
        spread, step = tick.ask_price - tick.bid_price, self.tick_size
        return round(spread / step, 2) if step else spread

    def flashes(self, now_s: float) -> bool:
        """Whether its price changed just now."""
        return bool(self.direction) and now_s - self.changed_at < FLASH_S

    @property
    def received_us(self) -> int | None:
        """When its newest tick or book arrived at the streamer; None without one."""
        return max((event.received_us for event in (self.tick, self.book) if event is not None), default=None)

    def age_s(self, now_s: float) -> float | None:
        """Seconds since its newest tick or book arrived at the streamer; None without one."""
        received_us = self.received_us
        return None if received_us is None else now_s - received_us / 1e6


class Watchlist:
    """The quotes, in the order given, or, with ``everything``, of all symbols that the streamer streams.

    ``outage`` is the reason while Redis is away, ``invalid`` the number of messages that could not be parsed as events,
    ``report`` the newest of the streamer, ``starting`` whether a child streamer has been started, ``requested`` whether
    the streamer has been asked for the symbols that are missing. ``asked_at`` is when Schwab was asked over REST, in
    seconds since the epoch; None when the values come from a streamer. ``paused_at`` is when the quotes were paused;
    None while they follow the events.
    """

    def __init__(self, symbols: Iterable[Symbol] = (), *, everything: bool = False) -> None:
        self.everything = everything
        self.quotes: list[Quote] = []
        self._by_key: dict[str, list[Quote]] = {}
        self.show(symbols)
        self.outage: str | None = None
        self.invalid = 0
        self.report: StreamerReport | None = None
        self.starting = False
        self.requested = False
        self.asked_at: float | None = None
        self.paused_at: float | None = None
        self._held: dict[tuple[str, str], tuple[TickEvent | Level2Event, float]] = {}
        self.updates = 0

    def show(self, symbols: Iterable[Symbol]) -> None:
        """Show these symbols from now on; those shown before keep their quotes."""
        former = {quote.symbol: quote for quote in self.quotes}
        self.quotes = [former.get(symbol) or Quote(symbol) for symbol in symbols]
        self._by_key = {}
        for quote in self.quotes:
            self._by_key.setdefault(quote.symbol.key, []).append(quote)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all symbols."""
        return frozenset(self._by_key)

    def quote(self, event: Event) -> Quote | None:
        """The quote that the event is about: of several aliases of its key, the one in the event, else the first."""
        quotes = self._by_key.get(event.key or "", [])
        return next((quote for quote in quotes if quote.symbol.alias == event.symbol), quotes[0] if quotes else None)

    def apply(self, event: Event, now_s: float) -> None:
        """Take in one event; only ticks and books are kept."""
        if not isinstance(event, TickEvent | Level2Event):
            return
        if self.paused_at is not None:
            self._held[event.key, event.type] = event, now_s
            self.updates += 1 if event.key in self._by_key else 0
            return
        self._add_if_streamed(event)
        quotes = self._by_key.get(event.key, ())
        self.updates += 1 if quotes else 0
        for quote in quotes:
            if isinstance(event, Level2Event):
                quote.book = event
                continue
            before = quote.tick.last_price if quote.tick else None
            if before is not None and event.last_price is not None and event.last_price != before:
                quote.direction = 1 if event.last_price > before else -1
                quote.changed_at = now_s
            quote.tick = event
            quote.profile.add(event)
            if event.last_price is not None:
                quote.course.add(event.received_us / 1e6, event.last_price)

    def take_book(self, event: Event) -> None:
        """Take in a book that is shown beside the quotes; other events are ignored, and none is counted.

        While the quotes are paused, only the first book of a row is shown: its ladder has just been opened.
        """
        if not isinstance(event, Level2Event):
            return
        for quote in self._by_key.get(event.key, ()):
            if self.paused_at is None or quote.book is None:
                quote.book = event
            else:
                self._held[event.key, event.type] = event, self.paused_at

    def pause(self, now_s: float) -> None:
        """Leave the quotes as they are, or, if they are paused, take in the newest events since."""
        if self.paused_at is None:
            self.paused_at = now_s
            for quote in self.quotes:
                quote.changed_at = 0.0  # a price that flashed would do so all the time
            return
        self.paused_at = None
        held, self._held = self._held, {}
        updates = self.updates
        for event, arrived_at in held.values():
            self.apply(event, arrived_at)
        self.updates = updates  # they have been counted
        self.take_report(self.report)

    def shown_at(self, now_s: float) -> float:
        """The time that the quotes show: ``now_s``, or when they were paused."""
        return now_s if self.paused_at is None else self.paused_at

    def apply_history(self, bars: Iterable[BarEvent]) -> None:
        """Take in the bars of the last minutes, for the time before the first tick."""
        for bar in bars:
            for quote in self._by_key.get(bar.key, ()):
                quote.course.add_bar(bar.timestamp / 1000, bar.close)

    def take_report(self, report: StreamerReport | None) -> None:
        """Take in the report of the streamer; None when no streamer is running."""
        self.report = report
        if self.paused_at is not None:
            return
        by_key = {line.key: line for line in report.symbols} if report else {}
        if self.everything and by_key:
            self._show_streamed(by_key)
        for quote in self.quotes:
            quote.report = by_key.get(quote.symbol.key)

    def _show_streamed(self, by_key: Mapping[str, SymbolReport]) -> None:
        """Show the symbols of the report, and those that have data newer than the report."""
        symbols = [_symbol(line.symbol, line.key, line.asset) for line in (self.report.symbols if self.report else ())]
        others = (quote for quote in self.quotes if quote.symbol.key not in by_key)
        symbols += [quote.symbol for quote in others if self._is_newer(quote)]
        if symbols != [quote.symbol for quote in self.quotes]:
            self.show(symbols)

    def _add_if_streamed(self, event: TickEvent | Level2Event) -> None:
        """Show one more symbol if ``everything`` is to be shown; an old last value shows no symbol as streamed."""
        report = self.report
        if not self.everything or event.key in self._by_key or report is None or not isinstance(event, TickEvent):
            return
        # The report of a replay lists no symbols.
        if not report.symbols or event.received_us > report.reported * 1000:
            added = _symbol(event.symbol, event.key, event.asset)
            self.show([*(quote.symbol for quote in self.quotes), added])

    def why_stale(self, quote: Quote, now_s: float) -> str | None:
        """Why the row is not current, in a word or two; None when it is."""
        report = self.report
        if self.outage:
            return "no Redis"
        if self.asked_at is not None:
            return _PAUSED.get((quote.tick and quote.tick.security_status) or "")
        if report is None:
            return "starting" if self.starting else "no streamer"
        if report.state == "streaming" and self.refusal(quote):
            return "refused"
        if quote.report is None and report.state == "streaming":
            return self._why_absent(quote.symbol) if self._is_absent(quote) else None
        line = quote.report
        if line is not None and not line.fresh and self._is_newer(quote):
            line = line.model_copy(update={"fresh": True})
        return why_stale(report, line, quote.age_s(now_s))

    def not_streamed(self) -> str | None:
        """The symbols that the running streamer does not stream, with the reason and the next step; or None."""
        if self.report is None or not self.report.symbols:  # the report of a replay lists no symbols
            return None
        refusals = [self.refusal(quote) for quote in self.quotes]
        reasons = [reason for reason in refusals if reason][:_MOST_NAMED]
        missing = [
            quote.symbol
            for quote, refused in zip(self.quotes, refusals, strict=True)
            if not refused and self._is_absent(quote)
        ]
        return safe("; ".join([*reasons, *([self._awaited(missing)] if missing else [])])) or None

    def _awaited(self, missing: list[Symbol]) -> str:
        """What happens with symbols that the streamer does not stream and has not refused."""
        names = ", ".join(map(_with_hint, missing))
        verb, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        if self.requested:
            return f"{names} {verb} not streamed yet: the streamer has been asked for {them}"
        streamed = [line.symbol for line in self.report.symbols] if self.report else []
        more = f" and {len(streamed) - _MOST_NAMED:,} more" if len(streamed) > _MOST_NAMED else ""
        add = f"add {them} with schwabstream stream add {shlex.join(symbol.alias for symbol in missing)}"
        return f"{names} {verb} not streamed (streamed: {', '.join(streamed[:_MOST_NAMED])}{more}): {add}"

    def refusal(self, quote: Quote) -> str | None:
        """Why the streamer or Schwab refuses the symbol, as a sentence; None when neither does."""
        if quote.report is not None:
            return quote.report.refusal
        return self.report.refused.get(quote.symbol.alias) if self.report else None

    def _is_absent(self, quote: Quote) -> bool:
        """Whether the streamer does not stream the symbol."""
        return quote.report is None and not self._is_newer(quote)

    def _is_newer(self, quote: Quote) -> bool:
        """Whether data has arrived since the report: the symbol is streamed, whatever the report shows."""
        return self.report is not None and (quote.received_us or 0) > self.report.reported * 1000

    def _why_absent(self, symbol: Symbol) -> str:
        """Why a row has no data, in a word or two: the streamer does not stream its symbol."""
        if self.requested:
            return "subscribing"
        future = future_meant(symbol)
        return f"not streamed: {future}?" if future else "not streamed"

    def age_s(self, quote: Quote, now_s: float) -> float | None:
        """Seconds since its newest event arrived at the streamer; of a REST answer, since its exchange time."""
        if self.asked_at is None or quote.tick is None:
            return quote.age_s(now_s)
        return now_s - quote.tick.timestamp / 1000

    def flashing(self, now_s: float) -> bool:
        """Whether any row still flashes, so that the screen must be redrawn without new data."""
        return any(quote.flashes(now_s) for quote in self.quotes)


def why_stale(report: StreamerReport, line: SymbolReport | None, age_s: float | None) -> str | None:
    """Why data of that age is not current, in a few words; None when it is."""
    if report.state != "streaming":
        return "disconnected"
    if age_s is None or line is None:
        return "no data yet"
    paused = _PAUSED.get(line.security_status or "")
    if paused != "halted" and (paused or age_s > STALE_AFTER_S) and line.session in _NOT_OPEN:
        opens = text.opening(line.opens_at, report.reported / 1000)
        return f"{line.session} until {opens}" if opens else line.session
    if paused:
        return paused
    if not line.fresh:
        return "unconfirmed"
    return "quiet" if age_s > STALE_AFTER_S else None


def _symbol(alias: str, key: str, asset: str) -> Symbol:
    """A symbol as the streamer names it, which may be newer and have other kinds of assets."""
    return Symbol(alias, key, _ASSETS.get(asset, Asset.EQUITY))


def _with_hint(symbol: Symbol) -> str:
    future = future_meant(symbol)
    return f"{symbol.alias} (did you mean {future}?)" if future else symbol.alias


SORTS: Final[dict[str, Callable[[Quote], tuple[bool, float | str]]]] = {
    "symbol": lambda quote: (False, quote.symbol.alias),
    "change": lambda quote: (quote.percent_change is None, -(quote.percent_change or 0.0)),
    "volume": lambda quote: (quote.tick is None, -((quote.tick and quote.tick.total_volume) or 0)),
    "age": lambda quote: (quote.tick is None, -(quote.tick.received_us if quote.tick else 0)),
}
"""The orders of quotes: by symbol, percent change, volume, newest first; unknown values come last."""
