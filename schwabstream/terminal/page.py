"""What all screens share: the header with what needs attention, the health line, the notes below, and how rows fit.

The header has the state and how long it has lasted, the trouble, whether prices are simulated, and the delay.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.report import StreamerReport
from schwabstream.terminal import text
from schwabstream.terminal.grid import GAP, Cell, Column, Grid
from schwabstream.terminal.watchlist import Quote, Watchlist

_GOOD, _BAD, _SIMULATED = "bold green", "bold red", "bold magenta"
_LEAST_LEAD: Final = 24
HEALTH_FROM: Final = 12
"""Lines of a screen that has a health line; on a lower one, another row is worth more."""
_UNBROKEN: Final = "\N{NO-BREAK SPACE}"
_NOT_OPEN: Final = ("break", "closed")


class Header:
    """One line: the ``lead``, and the ``facts``, of which the last give way first.

    The lead is cut for the first fact alone, and only while enough of it is left to read. ``note`` is at the right end
    and never cut.
    """

    def __init__(self, lead: Text, *facts: Text | str) -> None:
        self.lead, self._facts = lead, facts
        self.note = ""

    @property
    def whole(self) -> Text:
        """The line uncut, for a print."""
        return self._joined(self.lead, self._facts)

    def fitted(self, width: int) -> Text:
        """The line in that ``width``."""
        room = width - (len(GAP) + len(self.note) if self.note else 0)
        facts, whole = list(self._facts), self.lead.cell_len
        while facts and (min(whole, _LEAST_LEAD) if len(facts) == 1 else whole) + _length(facts) > room:
            facts.pop()
        lead = self.lead.copy()
        lead.truncate(max(1, room - _length(facts)), overflow="ellipsis")
        line = self._joined(lead, facts)
        if self.note:
            line.append(" " * max(len(GAP), width - line.cell_len - len(self.note))).append(self.note, "bold")
        line.truncate(width)
        return line

    def is_cut(self, width: int) -> bool:
        """Whether the lead does not fit into that ``width``."""
        return not self.fitted(width).plain.startswith(self.lead.plain)

    def _joined(self, lead: Text, facts: Sequence[Text | str]) -> Text:
        line = lead.copy()
        for fact in facts:
            line.append(GAP).append(fact)
        return line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.fitted(options.max_width)


def _length(facts: Sequence[Text | str]) -> int:
    return sum(len(GAP) + (len(fact) if isinstance(fact, str) else fact.cell_len) for fact in facts)


class Parts(Protocol):
    """The parts of a screen of one table, each for a screen of that ``size``; None: for a print."""

    def header(self, now_s: float, size: ConsoleDimensions | None) -> Header:
        """The first line; asked for before the other parts."""

    def body(self, now_s: float, size: ConsoleDimensions | None) -> RenderableType:
        """The rows, in that ``size``."""

    def below(self, now_s: float, size: ConsoleDimensions | None) -> list[Text]:
        """The notes."""

    def note(self, now_s: float) -> str:
        """What keys have changed, for the right end of the header; asked for after the rows."""

    def prompt(self, now_s: float) -> str | None:
        """A question or a filter, in place of the last line; None when there is neither."""


def compose(parts: Parts, now_s: float, size: ConsoleDimensions | None) -> RenderableType:
    """The screen of these parts, whose body gets the lines that the others leave."""
    first = parts.header(now_s, size)
    below = parts.below(now_s, size)
    if size is None:
        return Group(first.whole, parts.body(now_s, None), *below)
    if first.is_cut(size.width):
        below.insert(0, Text(first.lead.plain, _BAD))
    if prompt := parts.prompt(now_s):
        below[-1:] = [one_line(safe(prompt), "bold")]
    rows = parts.body(now_s, ConsoleDimensions(size.width, lines_between(below, size)))
    first.note = parts.note(now_s)
    return Group(first, rows, *below)


def header(report: StreamerReport, now_s: float, *, trouble: str | None = None) -> Header:
    """The header of a streamer with that report and that ``trouble``; None: the trouble in the report."""
    trouble = report.trouble if trouble is None else trouble
    simulated = [Text("simulated prices", _SIMULATED)] if report.simulated else []
    lasted = f"{report.state.replace('_', ' ')} for {text.age(now_s - report.since / 1000)}"
    if report.state != "streaming":
        reason = f": {safe(report.reason)}" if report.reason else ""
        return Header(_lead(lasted, _BAD, reason), *simulated)
    delay = [shown] if (shown := _delay(report)) else []
    if trouble:
        return Header(_lead(f"unhealthy: {safe(trouble)}", _BAD), *simulated, lasted, *delay)
    return Header(_lead(lasted, _GOOD), *simulated, *delay)


def _lead(marked: str, style: str, rest: str = "") -> Text:
    """Text in a style that what follows it does not get."""
    return Text.assemble((marked, style), rest)


def reader_header(watchlist: Watchlist, now_s: float) -> Header:
    """The header of a screen that reads Redis, or that has asked Schwab over REST."""
    if watchlist.outage:
        return Header(_lead("Redis is away", _BAD, f": {safe(watchlist.outage)}; reconnecting"))
    if watchlist.report is not None:
        return header(watchlist.report, now_s)
    if watchlist.starting:
        return Header(_lead("starting a streamer", "bold"), "it stops with this screen")
    none = "no streamer is running"
    if watchlist.asked_at is not None:
        return Header(_lead(none, "bold"), f"asked Schwab at {text.clock(int(watchlist.asked_at * 1000), now_s)}")
    return Header(_lead(none, _BAD), "showing the last values")


def _delay(report: StreamerReport) -> str | None:
    """The time from the exchange to Redis; None before it is measured, and while no market is open."""
    exchange, redis = report.lag.exchange_to_here_ms, report.lag.here_to_redis_ms
    # The last trade before a break or a weekend comes again with each new session, hours late.
    is_open = report.simulated or any(symbol.session not in _NOT_OPEN for symbol in report.symbols)
    if exchange is None or not is_open:
        return None
    return f"delay {text.delay(exchange + (redis or 0.0))}"


def health(
    report: StreamerReport,
    now_s: float,
    size: ConsoleDimensions | None = None,
    *,
    rate: float | None = None,
    redis: str | None = None,
) -> Text:
    """One line of figures of the run, as many as fit on a screen of that ``size``; None: all.

    ``rate`` is the number of updates a second, ``redis`` the address that is written to; None: those in the report.
    """
    rate = sum(symbol.rate for symbol in report.by_key().values()) if rate is None else rate
    redis = report.redis.master if redis is None else redis
    events = f"{text.counted(report.published, 'event')} in {text.age(now_s - report.started / 1000)}"
    parts = [f"{rate:,.1f} updates/s", f"{report.dropped:,} dropped"]
    parts += [text.counted(report.gaps, "gap")] if report.gaps else []
    parts += [f"Redis {safe(redis)}"] if redis else []
    return _fitting([*parts, events], size)


def keys_line(size: ConsoleDimensions | None, *keys: str) -> Text:
    """One line of keys with their meanings, as many as fit on a screen of that ``size``; None: all."""
    return _fitting(keys, size, "   ")


def _fitting(parts: Sequence[str], size: ConsoleDimensions | None, gap: str = GAP) -> Text:
    """As many of the parts as fit, from the first, which is always there."""
    shown = parts[0]
    for part in parts[1:]:
        wider = f"{shown}{gap}{part}"
        if size is not None and cell_len(wider) > size.width:
            break
        shown = wider
    return one_line(shown)


def one_line(shown: str, style: str = "dim") -> Text:
    """A note of one line, cut where the screen ends."""
    return Text(shown, style, no_wrap=True, overflow="ellipsis")


def delayed(quotes: Iterable[Quote]) -> list[Text]:
    """The meaning of the mark after a symbol, if a symbol has it."""
    marked = any(quote.tick and quote.tick.delayed for quote in quotes)
    return [one_line("d: delayed quotes")] if marked else []


def footer(watchlist: Watchlist, *, live: bool) -> list[Text]:
    """The last lines: how many messages could not be shown, and the keys of a ``live`` screen."""
    lines = [one_line("?: keys   q: leave")] if live else []
    if watchlist.invalid:
        unread = f"{text.counted(watchlist.invalid, 'message')} could not be parsed as events"
        lines.insert(0, one_line(unread, _BAD))
    return lines


def lines_between(below: Sequence[Text], size: ConsoleDimensions) -> int:
    """How many lines a screen of that ``size`` has between the header and the notes ``below``."""
    taken = sum(1 if line.no_wrap else len(line.wrap(Console(), max(1, size.width))) for line in below)
    return max(0, size.height - 1 - taken)


def paused(watchlist: Watchlist, now_s: float) -> str:
    """Since when the quotes are paused; empty while they are not."""
    at = watchlist.paused_at
    return "" if at is None else f"paused since {text.clock(int(at * 1000), now_s)}"


def key_list(keys: Sequence[tuple[str, str]], size: ConsoleDimensions) -> RenderableType:
    """The keys with their meanings, one to a line if they fit into that ``size``, else as many as fit on each."""
    if len(keys) <= size.height:
        columns = Column("", 0, left=True), Column("", 0, left=True)
        return Grid(columns, [(Cell(key, "bold"), Cell(meaning)) for key, meaning in keys], header=False)
    joined = GAP.join(f"{key}: {meaning}".replace(" ", _UNBROKEN) for key, meaning in keys)
    lines = textwrap.wrap(joined, max(1, size.width), break_on_hyphens=False)
    return Text("\n".join(lines).replace(_UNBROKEN, " "), no_wrap=True)
