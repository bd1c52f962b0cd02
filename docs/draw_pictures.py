"""Draws the pictures of the documentation from the simulator, so that they show what the program shows.

``python docs/draw_pictures.py`` writes quote.svg, book.svg, book-futures.svg and status.svg into docs/pictures.
"""  # noqa: INP001 - a script, not part of the package

import asyncio
import io
import time
from pathlib import Path

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.terminal_theme import MONOKAI

from schwabstream.clock import today
from schwabstream.commands.child_streamer import own_stream
from schwabstream.commands.embedded_redis import embedded_redis
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.subscription import Subscription
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.terminal.ladder import Ladder
from schwabstream.terminal.quote_table import QuoteTable
from schwabstream.terminal.status_page import render_status
from schwabstream.terminal.watchlist import Watchlist

PICTURES = Path(__file__).parent / "pictures"
SYMBOLS = ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME", "AAPL", "NVDA", "AMD"]
WATCHED_S = 20.0
HEIGHT = 40


def draw(name: str, renderable: RenderableType, width: int) -> None:
    """Write one picture."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(renderable)
    PICTURES.mkdir(exist_ok=True)
    console.save_svg(str(PICTURES / f"{name}.svg"), title=f"schwabstream {name}", theme=MONOKAI, unique_id=name)


async def watch() -> tuple[Watchlist, Watchlist, Watchlist]:
    """A market that has run for a while: all symbols, one stock, one future."""
    watchlists = tuple(Watchlist(parse_symbols(texts, today())) for texts in (SYMBOLS, ["NVDA"], ["/NQ:XCME"]))
    async with (
        embedded_redis() as redis,
        own_stream(SYMBOLS, redis.url, simulate=True) as stream,
        Subscription(ConflatingQueue(), redis_url=redis.url) as subscription,
    ):
        ends = time.monotonic() + WATCHED_S
        while time.monotonic() < ends:
            stream.check()
            await subscription.arrived()
            while (event := subscription.queue.take()) is not None:
                for watchlist in watchlists:
                    watchlist.apply(event, time.time())
        report = await subscription.fetch_report()
    shown = report and report.model_copy(update={"host": "desk", "pid": 4711})
    for watchlist in watchlists:
        watchlist.take_report(shown)
    return watchlists[0], watchlists[1], watchlists[2]


def main() -> None:
    """Draw them all."""
    market, stock, future = asyncio.run(watch())
    now = time.time()
    for name, view, width in (
        ("quote", QuoteTable(market), 130),
        ("book", Ladder(stock, venues=True), 120),
        ("book-futures", Ladder(future), 80),
    ):
        draw(name, view.render(now, ConsoleDimensions(width, HEIGHT)), width)
    if market.report is not None:
        draw("status", render_status(market.report, now), 100)


if __name__ == "__main__":
    main()
