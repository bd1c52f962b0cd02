"""The frame of every screen: headline, notes and keys around the table, and how many rows fit between them."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.report import StreamerReport
from schwabstream.terminal import text
from schwabstream.terminal.grid import Cell, Column, Grid
from schwabstream.terminal.watchlist import Watchlist

_LINES_ABOVE: Final = 2  # the headline and the titles of the columns


def headline(watchlist: Watchlist, now_s: float) -> Text:
    """One line for a screen that reads Redis: the state of the streamer and its lag."""
    report = watchlist.report
    line = Text(no_wrap=True, overflow="ellipsis")
    if watchlist.outage:
        return line.append("Redis is away", "bold red").append(f"  {safe(watchlist.outage)}; reconnecting")
    if report is None and watchlist.starting:
        return line.append("starting a streamer", "bold").append("  it stops with this screen")
    if report is None and watchlist.asked_at is not None:
        at = text.clock(int(watchlist.asked_at * 1000), now_s)
        return line.append("no streamer is running", "bold").append(f"  asked Schwab at {at}")
    if report is None:
        return line.append("no streamer is running", "bold red").append("  showing the last values")
    line.append_text(state(report, now_s))
    if report.state != "streaming" and report.reason:
        line.append(f": {safe(report.reason)}")
    if report.simulated:
        line.append("  simulated prices", "bold magenta")
    return line.append(lag(report))


def state(report: StreamerReport, now_s: float, style: str | None = None) -> Text:
    """The state in words, green while it streams unless ``style`` says otherwise, and how long it has lasted."""
    colour = "bold green" if report.state == "streaming" else "bold red"
    shown = Text().append(report.state.replace("_", " "), colour if style is None else style)
    return shown.append(f" for {text.age(now_s - report.since / 1000)}")


def lag(report: StreamerReport) -> str:
    """The lag from the exchange to the streamer and from there to Redis, each once it has been measured."""
    exchange, redis = report.lag.exchange_to_here_ms, report.lag.here_to_redis_ms
    shown = "" if exchange is None else f"  lag {exchange:,.0f} ms"
    return shown if redis is None else f"{shown}, {redis:.1f} ms to Redis"


def footer(watchlist: Watchlist, *, live: bool) -> list[Text]:
    """The last lines: how many messages could not be shown, and how to leave a ``live`` screen."""
    lines = [Text("q: leave   ?: keys", "dim", no_wrap=True, overflow="ellipsis")] if live else []
    if watchlist.invalid:
        unread = f"{text.counted(watchlist.invalid, 'message')} could not be parsed as events"
        lines.insert(0, Text(unread, "bold red", no_wrap=True, overflow="ellipsis"))
    return lines


def lines_for_rows(below: Sequence[Text], size: ConsoleDimensions | None) -> int | None:
    """How many rows fit on a screen of that size, with those lines ``below``; None on a print."""
    if size is None:
        return None
    taken = _LINES_ABOVE + sum(1 if line.no_wrap else -(-line.cell_len // size.width) for line in below)
    return max(1, size.height - taken)


def noted(line: Text, notes: Iterable[str], size: ConsoleDimensions | None) -> Text:
    """The headline with notes at its right end, which are never cut; None: a print, which has none."""
    note = "  ".join(filter(None, notes))
    if size is None or not note:
        return line
    width = max(1, size.width - len(note) - 2)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line.append("  ").append(note, "bold")


def prompted(below: list[Text], prompt: str | None) -> list[Text]:
    """The lines below a table with the last one replaced by what waits for a key, if anything does."""
    return below if prompt is None else [*below[:-1], Text(safe(prompt), "bold", no_wrap=True, overflow="ellipsis")]


def paused(watchlist: Watchlist, now_s: float) -> str:
    """Since when the quotes are paused; empty while they are not."""
    at = watchlist.paused_at
    return "" if at is None else f"paused since {text.clock(int(at * 1000), now_s)}"


def key_list(keys: Sequence[tuple[str, str]], lines: int) -> RenderableType:
    """The keys with their meanings, one to a line if they fit into so many lines."""
    if len(keys) <= lines:
        columns = Column("", 0, left=True), Column("", 0, left=True)
        return Grid(columns, [(Cell(key, "bold"), Cell(meaning)) for key, meaning in keys], header=False)
    return Text("   ".join(f"{key}: {meaning}" for key, meaning in keys))
