"""The live table of ``stream run``: what is streamed, how fast, and whether all is well; drawn from memory only."""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schwabstream.market import Instrument
from schwabstream.publisher import TradingEventPublisher
from schwabstream.report import StreamerReport
from schwabstream.reporter import Reporter
from schwabstream.streamer import SchwabStreamClient
from schwabstream.symbols import price_decimals

REFRESH_S = 0.25
STALE_AFTER_S = 10.0
_STATE_STYLES = {"streaming": "bold green", "connecting": "yellow", "waiting": "bold yellow", "stopped": "dim"}
_ARROWS = {1: Text("▲", "green"), -1: Text("▼", "red"), 0: Text(" ")}


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
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.update(self.render(), refresh=True)
        self._live.stop()

    async def run(self) -> None:
        """Redraw a few times a second until cancelled."""
        while True:
            self._live.update(self.render(), refresh=True)
            await asyncio.sleep(REFRESH_S)

    def render(self) -> RenderableType:
        """The whole screen as it stands now."""
        report = self._reporter.report
        lines: list[RenderableType] = [self._header(report), self._table(report)]
        if report.simulated:
            lines.append(Text("Simulated prices. Futures depth is shown here; live Schwab has none.", "yellow"))
        if problem := self._problem():
            lines.append(Text(problem, "bold red"))
        lines.append(Text("Ctrl-C log out and stop   Ctrl-C twice stop at once", "dim"))
        return Group(*lines)

    def _header(self, report: StreamerReport) -> Text:
        client, publisher = self._client, self._publisher
        uptime = int(time.time() - report.started / 1000)
        state = Text(f" {client.state.replace('_', ' ')} ", _STATE_STYLES.get(client.state, "bold red"))
        parts = (
            f"up {uptime // 3600}:{uptime // 60 % 60:02}:{uptime % 60:02}",
            f"Redis {publisher.url if publisher.connected else 'away'}",
            f"{publisher.published:,} events",
        )
        return Text.assemble(("schwabstream", "bold"), "  ", state, "  ", " · ".join(parts))

    def _problem(self) -> str | None:
        if self._publisher.outage:
            return f"{self._publisher.outage} ({self._publisher.queued:,} events wait, none is lost yet)"
        if self._client.state != "streaming":
            return self._client.reason
        return "; ".join(f"{key}: {why}" for key, why in self._client.refused.items()) or None

    def _table(self, report: StreamerReport) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        table.add_column("Symbol", no_wrap=True, style="bold")
        table.add_column("Contract", no_wrap=True)
        for name in ("Last", "", "Bid", "Ask", "Volume", "Age", "Upd/s"):
            table.add_column(name, justify="right", no_wrap=True)
        instruments = self._client.market.instruments
        for line in report.symbols:
            table.add_row(*self._row(line.symbol, instruments[line.key], line.rate))
        return table

    def _row(self, alias: str, instrument: Instrument, rate: float) -> Sequence[RenderableType]:
        tick = instrument.tick
        decimals = price_decimals(instrument.symbol)
        age_s = time.time() - tick["received_us"] / 1e6 if tick["received_us"] else None
        style = "" if instrument.fresh and age_s is not None and age_s < STALE_AFTER_S else "dim"
        return (
            Text(alias, style),
            Text(tick["contract"] or "", style),
            Text(_price(tick["last_price"], decimals), style),
            self._arrow(instrument.key, tick["last_price"]),
            Text(_side(tick["bid_size"], tick["bid_price"], decimals), style),
            Text(_side(tick["ask_size"], tick["ask_price"], decimals, size_first=False), style),
            Text(_count(tick["total_volume"]), style),
            Text("no data yet" if age_s is None else _age(age_s), style),
            Text(f"{rate:.1f}", style),
        )

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
