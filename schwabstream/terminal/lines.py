"""Lines on standard output: one for each event of a subscription, or a whole print.

A closed pipe ends them without an error. A stuck terminal does not delay the end after a signal.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from schwabstream.escapes import safe
from schwabstream.events import Event
from schwabstream.output import LineWriter, safe_lines
from schwabstream.terminal import text
from schwabstream.terminal.watchlist import Quote

if TYPE_CHECKING:  # a run that only draws loads no client for Redis
    from schwabstream.consumer.subscription import Subscription

CHECK_EVERY_S = 1.0
PRINT_POLL_S = 0.005
PIPE_WIDTH = 200


async def show_lines(
    subscription: "Subscription",
    line_of: Callable[[Event], str | None],
    *,
    updates: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write one line for each event that has one, until cancelled, after ``updates`` lines, or until the pipe closes.

    Raises ``OutputUnwritable`` when standard output cannot be written.
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
                await arrival(subscription, CHECK_EVERY_S)
            elif (line := line_of(event)) is not None:
                writer.write(line.encode())
                written += 1
    finally:
        await asyncio.to_thread(writer.close)
    writer.check()


async def arrival(subscription: "Subscription", limit_s: float) -> None:
    """Wait up to ``limit_s`` for an event; ``wait_for`` would lose a cancellation that comes at the same moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await subscription.arrived()


def quote_line(quote: Quote, now_s: float) -> str:
    """One update as plain text, for pipes."""
    tick = quote.tick
    if tick is None:
        return f"{safe(quote.symbol.alias)}  no data yet"
    parts = (
        text.clock(tick.timestamp, now_s),
        safe(quote.symbol.alias),
        text.price(tick.last_price, quote.notation),
        text.signed(quote.net_change, quote.notation),
        text.percent(quote.percent_change),
        f"{text.count(tick.bid_size)} × {text.price(tick.bid_price, quote.notation)}",
        f"{text.price(tick.ask_price, quote.notation)} × {text.count(tick.ask_size)}",
        f"vol {text.count(tick.total_volume)}",
        "delayed" if tick.delayed else "",
        "halted" if tick.security_status == "Halted" else "",
    )
    return "  ".join(part for part in parts if part)


async def print_lines(lines: Iterable[str]) -> None:
    """Write the lines to standard output, however long that takes; raises ``OutputUnwritable``."""
    await _print((line.encode() for line in lines), safe_lines)


async def print_once(renderable: RenderableType) -> None:
    """Print in colour on a terminal, else as plain lines of any width; raises ``OutputUnwritable``."""
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH, force_terminal=False, no_color=True)
    with console.capture() as capture:
        console.print(renderable)
    await _print(capture.get().encode().splitlines(), bytes)


async def _print(lines: Iterable[bytes], escape: Callable[[bytes], bytes]) -> None:
    writer = LineWriter(escape=escape)
    for line in lines:
        writer.write(line)
    while writer.queued:  # noqa: ASYNC110 - a thread empties the queue, and a signal must end the wait for a stuck terminal
        await asyncio.sleep(PRINT_POLL_S)
    writer.close()
    writer.check()
