"""The frame loop: how often it draws, what ends it, and how it leaves the terminal."""

import asyncio
import contextlib
import io
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import orjson
import pytest
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.errors import RedisUnavailable, SchwabUnavailable
from schwabstream.events import Channel
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import StreamerReport
from schwabstream.terminal.alternate_screen import AlternateScreen
from schwabstream.terminal.live_screen import DRAWING_SHARE, FRAME_S, RAREST_S, draw_frame, watch
from schwabstream.terminal.watchlist import Watchlist
from tests.support.virtual_time import VirtualLoop, run_virtual

if TYPE_CHECKING:
    from schwabstream.consumer.subscription import Subscription


class QuietSubscription:
    """A subscription to which the test delivers."""

    def __init__(self) -> None:
        self.queue = ConflatingQueue(newest_only=True)
        self.queue.catch_up({}, 1)
        self.outage: str | None = None
        self.seq = 1_700_000_000_000_000
        self._arrived = asyncio.Event()

    async def arrived(self) -> None:
        """Wait for the next delivery."""
        await self._arrived.wait()
        self._arrived.clear()

    async def fetch_report(self) -> StreamerReport | None:
        """Fail as a Redis that is away does."""
        raise RedisUnavailable("away")

    def deliver(self, price: float) -> None:
        """One tick of A."""
        self.seq += 1
        event = {"v": 1, "type": "tick", "symbol": "A", "key": "A", "seq": self.seq, "timestamp": 1, "received_us": 1}
        payload = orjson.dumps(event | {"asset": "EQUITY", "last_price": price, "is_trade": True})
        self.queue.receive(Channel.TICKS, payload, 1)
        self._arrived.set()


class Frames:
    """A view that notes when it was drawn and what it showed."""

    def __init__(self, watchlist: Watchlist) -> None:
        self._watchlist = watchlist
        self.drawn: list[tuple[float, float | None]] = []

    def render(self, now_s: float, size: ConsoleDimensions | None = None) -> RenderableType:
        """The last price."""
        tick = self._watchlist.quotes[0].tick
        last = None if tick is None else tick.last_price
        self.drawn.append((asyncio.get_running_loop().time(), last))
        return Text(str(last))


def stage() -> tuple[QuietSubscription, Watchlist, Frames, Console]:
    """All that a showing needs, on a terminal made of memory."""
    watchlist = Watchlist(parse_symbols(["A"], date(2026, 11, 21)))
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, color_system="standard")
    return QuietSubscription(), watchlist, Frames(watchlist), console


async def fast_market(subscription: QuietSubscription, watchlist: Watchlist, frames: Frames, console: Console) -> None:
    """Show a market that moves 500 times a second, for three seconds."""
    showing = asyncio.ensure_future(watch(cast("Subscription", subscription), watchlist, frames, console=console))
    for price in range(1, 1_501):
        subscription.deliver(float(price))
        await asyncio.sleep(0.002)
    showing.cancel()
    await asyncio.wait({showing})


def test_a_fast_market_is_drawn_eight_times_a_second_at_most() -> None:
    """Hundreds of updates a second are as many frames as fit at the frame rate, each showing the newest."""
    subscription, watchlist, frames, console = stage()
    run_virtual(fast_market(subscription, watchlist, frames, console), VirtualLoop())
    times = [at for at, _ in frames.drawn]
    assert len(times) > 3
    assert min(later - earlier for earlier, later in pairwise(times)) > FRAME_S * 0.95
    shown = [last for _, last in frames.drawn if last is not None]
    assert shown == sorted(shown)


@pytest.mark.parametrize(
    ("cost_s", "pause_s"),
    [(0.0, FRAME_S), (0.006, 0.006 / DRAWING_SHARE), (9.0, RAREST_S)],
    ids=["cheap", "dear", "vast"],
)
async def test_a_screen_that_is_costly_to_draw_is_drawn_less_often(cost_s: float, pause_s: float) -> None:
    """Drawing takes at most its share of a core, but the screen moves every two seconds whatever it costs."""
    _, _, frames, console = stage()
    spent = iter([1.0, 1.0 + cost_s])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with contextlib.closing(AlternateScreen(console)) as screen:
        await draw_frame(screen, frames, 0.0, cpu_s=lambda: next(spent), sleep=sleep)
    assert slept == [pytest.approx(pause_s)]
    assert len(frames.drawn) == 1


async def test_it_ends_after_so_many_updates() -> None:
    """``updates`` counts the events shown."""
    subscription, watchlist, frames, console = stage()
    subscription.deliver(1.0)
    await asyncio.wait_for(watch(cast("Subscription", subscription), watchlist, frames, updates=1, console=console), 10)
    assert frames.drawn[-1][1] == 1.0


async def test_a_failure_leaves_the_terminal_as_it_was() -> None:
    """After any end the alternate screen is left and the cursor shown again."""
    subscription, watchlist, frames, console = stage()

    def check() -> None:
        raise SchwabUnavailable("gone")

    with pytest.raises(SchwabUnavailable):
        await watch(cast("Subscription", subscription), watchlist, frames, check=check, console=console)
    output = cast("io.StringIO", console.file).getvalue()
    assert output.index("\x1b[?1049h") < output.index("\x1b[?1049l")
    assert output.rindex("\x1b[?25h") > output.index("\x1b[?25l")
