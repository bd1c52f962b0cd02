"""Shows what a subscription brings: a live screen on a terminal, lines in a pipe, JSON lines when asked.

Draws at most eight times a second however fast the market. A reader of the pipe that goes away ends it quietly.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

from rich.console import Console, RenderableType

from schwabstream.consumer.subscription import Subscription
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Event
from schwabstream.output import LineWriter, safe_lines
from schwabstream.terminal.live_terminal import LiveTerminal
from schwabstream.terminal.watchlist import Board

FRAME_S = 1 / 8
IDLE_FRAME_S = 1.0
DRAWING_SHARE = 0.06
"""How much of a core drawing may take: a large screen is drawn less often instead."""
REPORT_EVERY_S = 1.0
PRINT_POLL_S = 0.005
PIPE_WIDTH = 200


class View(Protocol):
    """What can be drawn: a quote table or a ladder."""

    def render(self, now_s: float, *, invalid: int = 0, live: bool = True) -> RenderableType:
        """The screen as it stands at ``now_s``."""


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
    queue = subscription.queue
    with contextlib.closing(LiveTerminal(console)) as terminal:
        async with reports(subscription, board):
            while updates is None or board.updates < updates:
                check()
                now = time.time()
                while (event := queue.take()) is not None:
                    board.apply(event, now)
                board.outage = subscription.outage
                started = time.thread_time()
                terminal.show(view.render(now, invalid=queue.counts["invalid"]))
                await asyncio.sleep(max(FRAME_S, (time.thread_time() - started) / DRAWING_SHARE))
                if not board.flashing(now):
                    await arrival(subscription, IDLE_FRAME_S - FRAME_S)


async def show_lines(
    subscription: Subscription,
    line_of: Callable[[Event], str | None],
    *,
    updates: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write one line for each event that has one, until cancelled, ``updates`` lines, or nobody reads them.

    Raises ``OutputUnwritable`` when standard output refuses them.
    """
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def gone(_error: OSError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be over already
            loop.call_soon_threadsafe(closed.set)

    writer = LineWriter(gone, escape=safe_lines)
    written = 0
    try:
        while not closed.is_set() and (updates is None or written < updates):
            check()
            event = subscription.queue.take()
            if event is None:
                await arrival(subscription, REPORT_EVERY_S)
            elif (line := line_of(event)) is not None:
                writer.write(line.encode())
                written += 1
    finally:
        await asyncio.to_thread(writer.close)
    writer.check()


async def arrival(subscription: Subscription, limit_s: float) -> None:
    """Wait for something new, for so long at most; ``wait_for`` would lose a cancellation that meets it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await subscription.arrived()


async def print_lines(lines: Iterable[str]) -> None:
    """Write the lines to standard output, however long that takes; raises ``OutputUnwritable`` when it takes none."""
    await _print((line.encode() for line in lines), safe_lines)


async def print_once(renderable: RenderableType) -> None:
    """Print on a terminal in colour, else as plain lines as wide as they need; raises ``OutputUnwritable``."""
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    await _print(capture.get().encode().splitlines(), bytes)


async def _print(lines: Iterable[bytes], escape: Callable[[bytes], bytes]) -> None:
    writer = LineWriter(escape=escape)
    for line in lines:
        writer.write(line)
    while writer.queued:  # noqa: ASYNC110 - a thread empties the queue, and a stuck terminal must not outlast a signal
        await asyncio.sleep(PRINT_POLL_S)
    writer.close()
    writer.check()
