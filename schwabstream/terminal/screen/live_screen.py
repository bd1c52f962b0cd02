"""One live loop for all screens: frames at a steady pace, drawn less often where drawing is costly, and keys.

Draws at most eleven times a second, however fast the market is, and at once when a key has been pressed or the window
has another size. A whole frame costs several times as much as the prices that have changed in it: a view that can name
its changes is laid out only every second or two. What is drawn is a ``View``; where it goes is ``alternate_screen``.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, ConsoleDimensions, RenderableType

from schwabstream.errors import RedisUnavailable
from schwabstream.terminal.lines import arrival
from schwabstream.terminal.screen.alternate_screen import AlternateScreen
from schwabstream.terminal.screen.cells import Run
from schwabstream.terminal.screen.keyboard import STDIN, Keyboard
from schwabstream.terminal.screen.keys import REDRAW
from schwabstream.terminal.watchlist import Watchlist

if TYPE_CHECKING:  # a run that only draws loads no client for Redis
    from schwabstream.consumer.subscription import Subscription

FRAME_S, RAREST_S = 0.09, 2.0
LAYOUT_S, LAYOUT_PART = 1.0, 1 / 8
"""How often a view that names its changes is drawn whole at most, and the part of its share that this may take."""
IDLE_FRAME_S = 1.0
WATCHER_SHARE, STREAMER_SHARE = 0.02, 0.008
"""The share of a core for drawing: frames that cost more are drawn less often."""
REPORT_EVERY_S = 1.0


class View(Protocol):
    """Something to draw, and to steer with keys: a quote table, a ladder, the table of a run."""

    @property
    def left(self) -> bool:
        """Whether a key has asked to leave the screen."""

    def press(self, key: str) -> None:
        """Take in a key, by its name; see ``keys``."""

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The screen of that ``size`` at ``now_s``; None: a print with as many lines as it needs."""

    def changes(self, now_s: float) -> Sequence[Run] | None:
        """What has changed at ``now_s`` in the screen that was rendered last; None: it must be rendered again."""


class LiveScreen:
    """Shows one view until closed, with at most that ``share`` of a core for drawing; passes on the keys."""

    def __init__(
        self,
        view: View,
        console: Console | None = None,
        *,
        share: float,
        stdin: int = STDIN,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        self._view, self._share, self._cpu_s = view, share, cpu_s
        self._parent = os.getppid()
        self._woken = asyncio.Event()
        self._layout_due_s = self._rested_s = 0.0
        self._on_wake: Callable[[], None] = lambda: None
        self._screen = AlternateScreen(console, Keyboard(self._press, stdin))
        self._follows_size = signal.getsignal(signal.SIGWINCH) is signal.SIG_DFL
        if self._follows_size:
            asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._wake)

    @property
    def is_left(self) -> bool:
        """Whether it is to be closed: a key has asked for it, or terminal and parent process are gone for good."""
        return self._view.left or (self._screen.is_hidden and os.getppid() != self._parent)

    def on_wake(self, call: Callable[[], None]) -> Self:
        """Call this as soon as something other than new data needs a frame."""
        self._on_wake = call
        return self

    async def draw(self, now_s: float) -> None:
        """Draw one frame, unless another one so soon would cost too much, and wait until the next may be drawn."""
        is_woken = self._woken.is_set()
        self._woken.clear()
        started, clock_s = self._cpu_s(), asyncio.get_running_loop().time()
        if not is_woken and clock_s < self._layout_due_s and self._show_changes(now_s):
            pause_s = (self._cpu_s() - started) / self._share
        elif is_woken or clock_s >= self._rested_s:
            self._screen.show(self._view.render(now_s, self._screen.size))
            rest_s = (self._cpu_s() - started) / self._share
            self._rested_s = clock_s + min(RAREST_S, rest_s)
            self._layout_due_s = clock_s + min(RAREST_S, max(LAYOUT_S, rest_s / LAYOUT_PART))
            pause_s = FRAME_S
        else:  # changes that have not been shown are in the next whole frame
            self._layout_due_s, pause_s = clock_s, self._rested_s - clock_s
        pause_s = min(RAREST_S, max(FRAME_S, pause_s))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._woken.wait()

    def close(self, last: RenderableType | None = None) -> None:
        """Restore the terminal, and print ``last`` on it."""
        if self._follows_size:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGWINCH)
        self._screen.close(last)

    def _show_changes(self, now_s: float) -> bool:
        """Show what has changed in the last frame; returns False when only another frame can show it."""
        runs = self._view.changes(now_s)
        return runs is not None and self._screen.change(runs)

    def _press(self, key: str) -> None:
        if key == REDRAW:
            self._screen.redraw()
        else:
            self._view.press(key)
        self._wake()

    def _wake(self) -> None:
        self._woken.set()
        self._on_wake()


async def watch(
    subscription: "Subscription",
    watchlist: Watchlist,
    view: View,
    *,
    updates: int | None = None,
    check: Callable[[], None] = lambda: None,
    console: Console | None = None,
    stdin: int = STDIN,
) -> None:
    """Draw the events of a subscription until left or cancelled, or for ``updates`` events, then print the last table.

    ``check`` is called before each frame and may raise to end it.
    """
    queue = subscription.queue
    screen = LiveScreen(view, console, share=WATCHER_SHARE, stdin=stdin).on_wake(subscription.notify)
    try:
        async with _reports(subscription, watchlist):
            while not screen.is_left and (updates is None or watchlist.updates < updates):
                check()
                await subscription.samples.refresh()
                now = time.time()
                while (event := queue.take()) is not None:
                    watchlist.apply(event, now)
                watchlist.outage, watchlist.invalid = subscription.outage, queue.counts["invalid"]
                await screen.draw(now)
                if not watchlist.flashing(now) and not subscription.samples.active:
                    await arrival(subscription, IDLE_FRAME_S - FRAME_S)
    finally:
        screen.close(view.render(time.time()) if watchlist.updates else None)


@contextlib.asynccontextmanager
async def _reports(subscription: "Subscription", watchlist: Watchlist) -> AsyncIterator[None]:
    """Renew the report of the watchlist for the duration of the block; it keeps the last one while Redis is away."""

    async def poll() -> None:
        while True:
            with contextlib.suppress(RedisUnavailable):
                report = await subscription.fetch_report()
                watchlist.take_report(report)
                subscription.follow_rate(report)
            await asyncio.sleep(REPORT_EVERY_S)

    task = asyncio.create_task(poll(), name="reports")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
