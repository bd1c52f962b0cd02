"""One live loop for all screens: frames at a steady pace, drawn less often where drawing is costly.

Draws at most eight times a second, however fast the market is. What is drawn is a ``View``; where it goes is
``alternate_screen``.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, ConsoleDimensions, RenderableType

from schwabstream.errors import RedisUnavailable
from schwabstream.terminal.alternate_screen import AlternateScreen
from schwabstream.terminal.lines import arrival
from schwabstream.terminal.watchlist import Watchlist

if TYPE_CHECKING:  # a run that only draws loads no client for Redis
    from schwabstream.consumer.subscription import Subscription

FRAME_S, RAREST_S = 1 / 8, 2.0
IDLE_FRAME_S = 1.0
DRAWING_SHARE = 0.01
"""The share of a core for drawing: frames that cost more are drawn less often."""
REPORT_EVERY_S = 1.0


class View(Protocol):
    """Something to draw: a quote table, a ladder, the table of a run."""

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The screen of that ``size`` at ``now_s``; None: a print with as many lines as it needs."""


async def draw_frame(
    screen: AlternateScreen,
    view: View,
    now_s: float,
    *,
    cpu_s: Callable[[], float] = time.thread_time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Draw one frame of a live screen, and wait until the next may be drawn."""
    started = cpu_s()
    screen.show(view.render(now_s, screen.size))
    await sleep(min(RAREST_S, max(FRAME_S, (cpu_s() - started) / DRAWING_SHARE)))


async def watch(
    subscription: "Subscription",
    watchlist: Watchlist,
    view: View,
    *,
    updates: int | None = None,
    check: Callable[[], None] = lambda: None,
    console: Console | None = None,
) -> None:
    """Draw the events of a subscription until cancelled, or for ``updates`` events.

    ``check`` is called before each frame and may raise to end it.
    """
    queue = subscription.queue
    with contextlib.closing(AlternateScreen(console)) as screen:
        async with _reports(subscription, watchlist):
            while updates is None or watchlist.updates < updates:
                check()
                now = time.time()
                while (event := queue.take()) is not None:
                    watchlist.apply(event, now)
                watchlist.outage, watchlist.invalid = subscription.outage, queue.counts["invalid"]
                await draw_frame(screen, view, now)
                if not watchlist.flashing(now):
                    await arrival(subscription, IDLE_FRAME_S - FRAME_S)


@contextlib.asynccontextmanager
async def _reports(subscription: "Subscription", watchlist: Watchlist) -> AsyncIterator[None]:
    """Renew the report of the watchlist for the duration of the block; it keeps the last one while Redis is away."""

    async def poll() -> None:
        while True:
            with contextlib.suppress(RedisUnavailable):
                watchlist.take_report(await subscription.fetch_report())
            await asyncio.sleep(REPORT_EVERY_S)

    task = asyncio.create_task(poll(), name="reports")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
