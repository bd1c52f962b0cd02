"""The live table of ``stream run``: what is streamed, how fast, and whether all is well; drawn from memory only."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from schwabstream.escapes import safe
from schwabstream.logs import logs_kept_aside
from schwabstream.market.last_values import Instrument
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.symbols import price_decimals
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.streaming.supervisor import SchwabStreamClient
from schwabstream.terminal.live_terminal import LiveTerminal

REFRESH_S, RAREST_S = 0.25, 2.0
DRAWING_SHARE = 0.01
"""How much of a core drawing may take: a frame that costs more is drawn less often."""
_TABLE_FRAME_LINES = 4  # what a table takes beyond its rows
LOG_LINES = 6
STALE_AFTER_S = 10.0
_STATE_STYLES = {"streaming": "bold green", "connecting": "yellow", "waiting": "bold yellow", "stopped": "dim"}
_ARROWS = {1: Text("▲", "green"), -1: Text("▼", "red"), 0: Text(" ")}


class _Column(NamedTuple):
    """A column, and how wide the terminal must be for it to be shown."""

    title: str
    from_width: int = 0
    justify: Literal["left", "right"] = "right"


_COLUMNS = (
    _Column("Symbol", justify="left"),
    _Column("Contract", 100, "left"),
    _Column("Last"),
    _Column(""),
    _Column("Bid", 50),
    _Column("Ask", 70),
    _Column("Volume", 90),
    _Column("Age", 0),
    _Column("Upd/s", 80),
)


class StreamScreen:
    """Shows one streamer while its block lasts; :meth:`run` keeps it moving."""

    def __init__(
        self,
        client: SchwabStreamClient,
        publisher: TradingEventPublisher,
        reporter: Reporter,
        *,
        console: Console | None = None,
    ) -> None:
        self._client, self._publisher, self._reporter = client, publisher, reporter
        self._lasts: dict[str, tuple[float | None, int]] = {}
        self._console = console or Console()
        self._aside = logs_kept_aside()
        self._logs: deque[str] = deque()

    def __enter__(self) -> Self:
        self._logs = self._aside.__enter__()
        self._terminal = LiveTerminal(self._console)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._terminal.close(self._header())
        self._aside.__exit__(kind, error, trace)

    async def run(self) -> None:
        """Redraw a few times a second until cancelled."""
        while True:
            started = time.thread_time()
            self._terminal.show(self.render())
            spent_s = time.thread_time() - started
            await asyncio.sleep(min(RAREST_S, max(REFRESH_S, spent_s / DRAWING_SHARE)))

    def render(self) -> RenderableType:
        """The whole screen as it stands now, newest log lines last."""
        below = self._below()
        width = self._console.width
        taken = 1 + _TABLE_FRAME_LINES + sum(1 if each.no_wrap else -(-each.cell_len // width) for each in below)
        return Group(self._header(), *self._table(max(1, self._console.height - taken)), *below)

    def _below(self) -> list[Text]:
        lines: list[Text] = []
        if problem := self._problem():
            lines.append(Text(safe(problem), "bold red"))
        if reminder := self._reporter.login_reminder:
            lines.append(Text(reminder, "bold yellow"))
        if self._reporter.simulated:
            lines.append(Text("Simulated prices. Futures depth is shown here; live Schwab has none.", "yellow"))
        lines.append(Text("Ctrl-C: log out and stop   Ctrl-C twice: stop at once", "dim"))
        lines += [Text.from_ansi(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._newest_logs()]
        return lines

    def _newest_logs(self) -> list[str]:
        return list(self._logs)[-LOG_LINES:]

    def _header(self) -> Text:
        client, publisher = self._client, self._publisher
        uptime = int(time.time() - self._reporter.started / 1000)
        state = Text(f" {client.state.replace('_', ' ')} ", _STATE_STYLES.get(client.state, "bold red"))
        parts = (
            f"up {uptime // 3600}:{uptime // 60 % 60:02}:{uptime % 60:02}",
            f"Redis {safe(publisher.url) if publisher.connected else 'away'}",
            f"{publisher.published:,} events",
        )
        return Text.assemble(("schwabstream", "bold"), "  ", state, "  ", " · ".join(parts))

    def _problem(self) -> str | None:
        if self._publisher.outage:
            dropped = self._publisher.dropped
            lost = f"the oldest {dropped:,} were given up" if dropped else "none is lost yet"
            return f"{self._publisher.outage} ({self._publisher.queued:,} events wait, {lost})"
        if self._client.state != "streaming":
            return self._client.reason
        troubles = self._client.troubles()
        keys = (key for key in self._client.market.instruments if key in troubles)
        return "; ".join(f"{key}: {why}" for key in keys for why in troubles[key]) or None

    def _table(self, rows: int) -> Iterator[RenderableType]:
        """The symbols that fit into so many lines, and how many do not."""
        width = self._console.width
        columns = [column for column in _COLUMNS if column.from_width <= width]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for column in columns:
            table.add_column(column.title, justify=column.justify, no_wrap=True)
        rates = self._reporter.rates
        every = [(alias, each) for each in self._client.market.instruments.values() for alias in each.aliases]
        shown = every if len(every) <= rows else every[: max(1, rows - 1)]
        for alias, instrument in shown:
            cells = self._cells(alias, instrument, rates.get(instrument.key, 0.0))
            table.add_row(*(cells[column.title] for column in columns))
        yield table
        if len(shown) < len(every):
            yield Text(f"… and {len(every) - len(shown):,} more that do not fit here", "dim", no_wrap=True)

    def _cells(self, alias: str, instrument: Instrument, rate: float) -> dict[str, Text]:
        """One row: a cell for each column's title; dim when the numbers are not from this moment."""
        tick = instrument.tick
        decimals = price_decimals(instrument.symbol)
        age_s = time.time() - tick["received_us"] / 1e6 if tick["received_us"] else None
        style = "" if instrument.fresh and age_s is not None and age_s < STALE_AFTER_S else "dim"
        texts = {
            "Symbol": safe(alias),
            "Contract": safe(tick["contract"] or ""),
            "Last": _price(tick["last_price"], decimals),
            "Bid": _side(tick["bid_size"], tick["bid_price"], decimals),
            "Ask": _side(tick["ask_size"], tick["ask_price"], decimals, size_first=False),
            "Volume": _count(tick["total_volume"]),
            "Age": "no data yet" if age_s is None else _age(age_s),
            "Upd/s": f"{rate:.1f}",
        }
        cells = {title: Text(text, style) for title, text in texts.items()}
        cells["Symbol"].stylize("bold")
        return cells | {"": self._arrow(instrument.key, tick["last_price"])}

    def _arrow(self, key: str, last: float | None) -> Text:
        """Up or down since the last price that differed."""
        known, direction = self._lasts.get(key, (None, 0))
        if last is not None and known is not None and last != known:
            direction = 1 if last > known else -1
        self._lasts[key] = (last, direction)
        return _ARROWS[direction]


def _price(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _side(size: int | None, price: float | None, decimals: int, *, size_first: bool = True) -> str:
    parts: list[Any] = [_count(size), _price(price, decimals)]
    return " × ".join(parts if size_first else reversed(parts))


def _age(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.1f}s"
    return f"{int(seconds) // 60}m{int(seconds) % 60:02}s"
