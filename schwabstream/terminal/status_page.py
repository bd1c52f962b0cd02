"""The report of a streamer, as a Rich renderable and as a print."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import orjson
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.logs import write_message
from schwabstream.report import RedisReport, StreamerReport, SymbolReport
from schwabstream.terminal import text
from schwabstream.terminal.grid import GAP, Cell, Column, Grid
from schwabstream.terminal.lines import print_lines, print_once
from schwabstream.terminal.page import header
from schwabstream.terminal.watchlist import why_stale

_SYMBOLS: Final = (
    Column("Symbol", 0, left=True),
    Column("Contract", 4, left=True, sparse=True),
    Column("Age", 1),
    Column("Rate", 2),
    Column("State", 3, left=True),
    Column("Book", 5, left=True, sparse=True),
    Column("Description", 6, left=True, cut=True, sparse=True),
)


_MOST_NAMED: Final = 5


async def print_status(report: StreamerReport | None, *, json: bool) -> None:
    """Print the report, as JSON or for people; None: no streamer is running. Raises ``OutputUnwritable``."""
    if json:
        content = {"v": 1} if report is None else report.model_dump(mode="json")
        await print_lines([orjson.dumps({**content, "healthy": report is not None and report.healthy}).decode()])
    elif report is None:
        write_message("no streamer is running: start one with schwabstream stream run")
    else:
        await print_once(render_status(report, time.time()))


def render_status(report: StreamerReport, now_s: float) -> RenderableType:
    """The whole report at ``now_s``."""
    symbols = Grid(_SYMBOLS, [_row(symbol, report) for symbol in report.symbols])
    return Group(header(report, now_s).whole, _Facts(_facts(report, now_s)), Text(), symbols)


class _Facts:
    """Names and values, one to a line; a value that is too long goes on below itself."""

    def __init__(self, facts: Sequence[tuple[str, str]]) -> None:
        self._facts = facts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent = max(len(name) for name, _ in self._facts) + len(GAP)
        for name, value in self._facts:
            shown = Text(name, "dim")
            for line in Text(value).wrap(console, max(1, options.max_width - indent)):
                line.rstrip()
                yield Text.assemble(shown, " " * (indent - shown.cell_len), line)
                shown = Text()


def _facts(report: StreamerReport, now_s: float) -> list[tuple[str, str]]:
    lag, reconnects, gaps = report.lag, text.counted(report.reconnects, "reconnect"), text.counted(report.gaps, "gap")
    counted = ", ".join(f"{safe(name)} {number:,}" for name, number in sorted(report.counts.items()) if number)
    unsaved = f"the new tokens are only in the streamer's memory: {safe(report.token_unsaved or '')}"
    return [
        ("running", f"{text.age(now_s - report.started / 1000)} as pid {report.pid} on {safe(report.host)}"),
        ("version", safe(report.version)),
        ("sessions", f"{report.sessions:,}, {reconnects}, {gaps}"),
        ("events", f"{report.published:,} published, {report.queued:,} queued, {report.dropped:,} dropped"),
        *_redis(report.redis),
        ("delay", f"{_ms(lag.exchange_to_here_ms)} from the exchange, {_ms(lag.here_to_redis_ms)} to Redis"),
        ("token", f"expires {_at(report.token_expires_at)}"),
        *([("unsaved", unsaved)] if report.token_unsaved else []),
        ("login", f"{_at(report.login_at)}, next one due {_at(report.login_due_at)}"),
        *([("also streamed", _services(report))] if report.services else []),
        *_refusals(report),
        ("counters", counted or "all zero"),
    ]


def _redis(redis: RedisReport) -> list[tuple[str, str]]:
    """The Redis to which the streamer writes, the changes of its master, and the events that were lost or repeated."""
    if not redis.master:
        return []
    kind = safe(" ".join([redis.mode, *([redis.name] if redis.name else [])]))
    master = safe(redis.master)
    parts = [master] if redis.mode == "single" else [f"{kind}, master {master}", text.counted(redis.changes, "change")]
    parts += [f"{redis.sent_again:,} sent again"] if redis.sent_again else []
    parts += [f"{redis.lost:,} lost"] if redis.lost else []
    return [("redis", ", ".join(parts))]


def _services(report: StreamerReport) -> str:
    return safe("; ".join(f"{service} {', '.join(keys)}" for service, keys in report.services.items()))


def _refusals(report: StreamerReport) -> list[tuple[str, str]]:
    """The first refused symbols and screeners, a line for each, and the number of the others."""
    lines = [safe(why if why.startswith(name) else f"{name}: {why}") for name, why in report.refused.items()]
    more = [f"and {len(lines) - _MOST_NAMED} more: see schwabstream stream list"] if len(lines) > _MOST_NAMED else []
    return [("refused", line) for line in [*lines[:_MOST_NAMED], *more]]


def _row(symbol: SymbolReport, report: StreamerReport) -> list[Cell]:
    age_s = None if symbol.age_ms is None else symbol.age_ms / 1000
    stale = why_stale(report, symbol, age_s)
    style = "dim" if stale else ""
    return [
        Cell(text.symbol(symbol.symbol), style or "bold"),
        Cell(text.symbol(symbol.contract or ""), style),
        Cell(text.UNKNOWN if age_s is None else text.age(age_s), style),
        Cell(text.rate(symbol.rate), style),
        Cell(stale or safe(symbol.security_status or ""), style),
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
