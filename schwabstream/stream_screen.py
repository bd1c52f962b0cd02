"""The live table of ``stream run``: what is streamed, how fast, and whether all is well; drawn from memory only."""

import asyncio
import re
import textwrap
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console

from schwabstream.formats import safe
from schwabstream.publisher import TradingEventPublisher
from schwabstream.reporter import Reporter, login_due_words
from schwabstream.stdout import FrameWriter, put_all
from schwabstream.stream_table import Paint, StreamTable
from schwabstream.streamer import SchwabStreamClient
from schwabstream.telemetry import logs_kept_aside

REFRESH_S, RAREST_S = 0.25, 1.0
DRAWING_SHARE = 0.004
"""How much of a core drawing may take: many rows are drawn less often instead, but once a second."""
LOG_LINES, PROBLEM_LINES = 6, 4
_OWN_SCREEN, _OLD_SCREEN = b"\x1b[?1049h\x1b[?25l", b"\x1b[?1049l\x1b[?25h"
_STATE_STYLES = {"streaming": "bold green", "connecting": "yellow", "waiting": "bold yellow", "stopped": "dim"}
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


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
        self._console = terminal = console or Console()
        self._paint = Paint(styles=terminal.color_system is not None, colours=not terminal.no_color)
        self._table = StreamTable(client.market.instruments, self._paint)
        self._aside = logs_kept_aside()
        self._logs: deque[str] = deque()

    def __enter__(self) -> Self:
        self._logs = self._aside.__enter__()
        self._frames = FrameWriter(self._put, _OWN_SCREEN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._frames.close(_OLD_SCREEN + f"{self._header()}\n".encode()):
            self._logs.clear()  # nobody sees them on a terminal that is stuck, and they would hold up the end
        self._aside.__exit__(kind, error, trace)

    async def run(self) -> None:
        """Redraw a few times a second until cancelled."""
        while True:
            started = time.thread_time()
            # Each line is cleared behind its end, and below the last one everything.
            frame = "\x1b[K\r\n".join(self.lines())
            self._frames.show(f"\x1b[H{frame}\x1b[K\x1b[J".encode())
            spent_s = time.thread_time() - started
            await asyncio.sleep(min(RAREST_S, max(REFRESH_S, spent_s / DRAWING_SHARE)))

    def _put(self, data: bytes) -> None:
        try:
            descriptor = self._console.file.fileno()
        except OSError:  # a file in memory has none
            self._console.file.write(data.decode())
        else:
            put_all(descriptor, data)

    def lines(self) -> list[str]:
        """The whole screen as it stands now, a text for each line of the terminal, newest log lines last."""
        width, height = self._console.width, self._console.height
        below = self._below(width)
        head = [self._header(width), ""]
        table = self._table.lines(self._reporter.rates, time.time(), width, height - len(head) - len(below))
        return [*head, *table, *below][:height]

    def _below(self, width: int) -> list[str]:
        lines = [""]
        if problem := self._problem():
            wrapped = textwrap.wrap(safe(problem), width, max_lines=PROBLEM_LINES, placeholder=" …")
            lines += [self._paint(line, "bold red") for line in wrapped]
        if (due_s := self._reporter.login_due_s) is not None:
            lines.append(self._cut(f"{login_due_words(due_s)}: schwabstream auth login", width, "bold yellow"))
        if self._reporter.simulated:
            text = "Simulated prices. Futures depth is shown here; live Schwab has none."
            lines.append(self._cut(text, width, "yellow"))
        lines.append(self._cut("Ctrl-C: log out and stop   Ctrl-C twice: stop at once", width, "dim"))
        return lines + [self._cut(line, width, "dim") for line in self._newest_logs()]

    def _cut(self, text: str, width: int, style: str) -> str:
        return self._paint(text if len(text) <= width else f"{text[: width - 1]}…", style)

    def _newest_logs(self) -> list[str]:
        return [safe(_ESCAPES.sub("", line)) for line in list(self._logs)[-LOG_LINES:]]

    def _header(self, width: int | None = None) -> str:
        client, publisher = self._client, self._publisher
        uptime = int(time.time() - self._reporter.started / 1000)
        state = client.state.replace("_", " ")
        facts = (
            f"up {uptime // 3600}:{uptime // 60 % 60:02}:{uptime % 60:02}",
            f"Redis {safe(publisher.url) if publisher.connected else 'away'}",
            f"{publisher.published:,} events",
        )
        rest, taken = " · ".join(facts), len("schwabstream") + len(state) + 6
        if width is not None:
            rest = rest[: max(0, width - taken)]
        painted = self._paint(f" {state} ", _STATE_STYLES.get(client.state, "bold red"))
        return f"{self._paint('schwabstream', 'bold')}  {painted}  {rest}"

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
