"""The streamer's report of itself as a Rich renderable."""

from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.terminal import text
from schwabstream.terminal.grid import Cell, Column, Grid

_FACTS: Final = (Column("Fact", 0, left=True), Column("Value", 1, left=True, cut=True))
_SYMBOLS: Final = (
    Column("Symbol", 0, left=True),
    Column("Contract", 4, left=True),
    Column("Age", 1),
    Column("Rate", 2),
    Column("State", 3, left=True),
    Column("Book", 5, left=True),
    Column("Description", 6, left=True, cut=True),
)


def render_status(report: StreamerReport, now_s: float) -> RenderableType:
    """The whole report, as it reads at ``now_s``."""
    state = Text()
    if report.state == "streaming" and report.trouble:
        state.append(f"unhealthy: {safe(report.trouble)}", "bold yellow").append("  ")
    style = "" if state else "bold green" if report.healthy else "bold red"
    state.append(report.state.replace("_", " "), style)
    state.append(f" for {text.age(now_s - report.since / 1000)}")
    if report.reason:
        state.append(f"  {safe(report.reason)}")
    if report.simulated:
        state.append("  simulated prices", "bold magenta")
    facts = Grid(_FACTS, [[Cell(name, "dim"), Cell(value)] for name, value in _facts(report, now_s)], header=False)
    symbols = Grid(_SYMBOLS, [_row(symbol) for symbol in report.symbols])
    return Group(state, facts, Text(), symbols)


def _facts(report: StreamerReport, now_s: float) -> list[tuple[str, str]]:
    lag = report.lag
    counted = ", ".join(f"{safe(name)} {number:,}" for name, number in sorted(report.counts.items()) if number)
    unsaved = f"the tokens are in the streamer's memory only: {safe(report.token_unsaved or '')}"
    return [
        ("runs", f"{text.age(now_s - report.started / 1000)} as pid {report.pid} on {safe(report.host)}"),
        ("version", safe(report.version)),
        ("sessions", f"{report.sessions}, {report.reconnects} reconnects, {report.gaps} gaps"),
        ("events", f"{report.published:,} published, {report.queued:,} wait, {report.dropped:,} dropped"),
        ("lag", f"{_ms(lag.exchange_to_here_ms)} from the exchange, {_ms(lag.here_to_redis_ms)} to Redis"),
        ("token", f"expires {_at(report.token_expires_at)}"),
        *([("unsaved", unsaved)] if report.token_unsaved else []),
        ("login", f"of {_at(report.login_at)}, due again {_at(report.login_due_at)}"),
        ("counted", counted or "nothing else"),
    ]


def _row(symbol: SymbolReport) -> list[Cell]:
    style = "" if symbol.fresh else "dim"
    age = text.UNKNOWN if symbol.age_ms is None else text.age(symbol.age_ms / 1000)
    state = safe(symbol.security_status or "") if symbol.fresh else "unconfirmed"
    return [
        Cell(safe(symbol.symbol), style or "bold"),
        Cell(safe(symbol.contract or ""), style),
        Cell(age, style),
        Cell(f"{symbol.rate:.1f}/s", style),
        Cell(state, style),
        Cell((symbol.book or "").replace("_", " "), style),
        Cell(safe(symbol.description or ""), style),
    ]


def _ms(value: float | None) -> str:
    return text.UNKNOWN if value is None else f"{value:,.1f} ms"


def _at(milliseconds: int | None) -> str:
    """A time in the local zone, for people."""
    if milliseconds is None:
        return "unknown"
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000).astimezone():%Y-%m-%d %H:%M %Z}"
    except (ValueError, OverflowError, OSError):
        return "unknown"
