"""Shows what a subscription brings: a live screen on a terminal, lines in a pipe, JSON lines when asked.

Draws at most eight times a second however fast the market. The terminal is left as it was found whatever ends the
block; a reader of the pipe that goes away ends it quietly.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from schwabstream.board import Board
from schwabstream.consumer import Subscription
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Event
from schwabstream.stdout import LineWriter

FRAME_S = 1 / 8
IDLE_FRAME_S = 1.0
DRAWING_SHARE = 0.06
"""How much of a core drawing may take: a large screen is drawn less often instead."""
REPORT_EVERY_S = 1.0
PRINT_LIMIT_S = 10.0
PIPE_WIDTH = 200


class View(Protocol):
    """What can be drawn: a quote table or a ladder."""

    def render(self, now_s: float, *, invalid: int = 0, live: bool = True) -> RenderableType:
        """The screen as it stands at ``now_s``."""


async def until_signalled(work: "asyncio.Future[None]") -> None:
    """Wait for the work; SIGINT, SIGTERM and SIGHUP end it in order, and quietly."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    told: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        told.append(number)
        loop.remove_signal_handler(number)
        work.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        await work
    except asyncio.CancelledError:
        if not told:
            raise
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def reports(subscription: Subscription, board: Board) -> AsyncIterator[None]:
    """Keep the board's report fresh for the length of the block; an outage of Redis leaves the last one."""

    async def poll() -> None:
        while True:
            with contextlib.suppress(RedisUnavailable):
                board.take_report(await subscription.fetch_report())
            await asyncio.sleep(REPORT_EVERY_S)

    task = asyncio.create_task(poll(), name="reports")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def show_live(
    subscription: Subscription,
    board: Board,
    view: View,
    *,
    updates: int | None = None,
    check: Callable[[], None] = lambda: None,
    console: Console | None = None,
) -> None:
    """Draw the view until cancelled or ``updates`` events came; ``check`` may raise at any frame to end it."""
    inbox = subscription.inbox
    with Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False, redirect_stdout=False) as live:
        async with reports(subscription, board):
            while updates is None or board.updates < updates:
                check()
                now = time.time()
                while (event := inbox.take()) is not None:
                    board.apply(event, now)
                board.outage = subscription.outage
                started = time.process_time()
                live.update(view.render(now, invalid=inbox.counts["invalid"]), refresh=True)
                await asyncio.sleep(max(FRAME_S, (time.process_time() - started) / DRAWING_SHARE))
                if not board.flashing(now):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(subscription.arrived(), IDLE_FRAME_S - FRAME_S)


async def show_lines(
    subscription: Subscription,
    line_of: Callable[[Event], str | None],
    *,
    updates: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write one line for each event that has one, until cancelled, ``updates`` lines, or nobody reads them."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def gone(_error: OSError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be over already
            loop.call_soon_threadsafe(closed.set)

    writer = LineWriter(gone)
    written = 0
    try:
        while not closed.is_set() and (updates is None or written < updates):
            check()
            event = subscription.inbox.take()
            if event is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(subscription.arrived(), REPORT_EVERY_S)
            elif (line := line_of(event)) is not None:
                writer.write(line.encode())
                written += 1
    finally:
        await asyncio.to_thread(writer.close)


def print_lines(lines: Iterable[str]) -> None:
    """Write the lines to standard output; a reader that has gone away is no error."""
    writer = LineWriter(lambda _error: None)
    for line in lines:
        writer.write(line.encode())
    writer.close(PRINT_LIMIT_S)


def print_once(renderable: RenderableType) -> None:
    """Print on a terminal in colour, else as plain lines as wide as they need; nobody reading is no error."""
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    print_lines(capture.get().splitlines())
