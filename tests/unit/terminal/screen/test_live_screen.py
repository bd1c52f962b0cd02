"""The frame loop: how often it draws, what keys do to it, what ends it, and how it leaves the terminal."""

import asyncio
import contextlib
import io
import os
import pty
import select
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import orjson
import pytest
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.text import Text

from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.samples import Samples
from schwabstream.errors import RedisUnavailable, SchwabUnavailable
from schwabstream.events import Channel
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.report import StreamerReport
from schwabstream.terminal.screen.cells import Run
from schwabstream.terminal.screen.keyboard import ESCAPE_AFTER_S
from schwabstream.terminal.screen.live_screen import FRAME_S, IDLE_FRAME_S, RAREST_S, LiveScreen, View, watch
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
        self.samples = Samples(self._read_sample)
        self.sampled: list[float] = []

    async def _read_sample(self) -> None:
        self.sampled.append(asyncio.get_running_loop().time())
        self.deliver(float(len(self.sampled)))

    async def arrived(self) -> None:
        """Wait for the next delivery."""
        await self._arrived.wait()
        self._arrived.clear()

    async def fetch_report(self) -> StreamerReport | None:
        """Fail as a Redis that is away does."""
        raise RedisUnavailable("away")

    def notify(self) -> None:
        """Let it look at the queue."""
        self._arrived.set()

    def deliver(self, price: float) -> None:
        """One tick of A."""
        self.seq += 1
        event = {"v": 1, "type": "tick", "symbol": "A", "key": "A", "seq": self.seq, "timestamp": 1, "received_us": 1}
        payload = orjson.dumps(event | {"asset": "EQUITY", "last_price": price, "is_trade": True})
        self.queue.receive(Channel.TICKS, payload, 1)
        self._arrived.set()


class Frames:
    """A view that notes when it was drawn, what it showed, and which keys it got; ``q`` leaves it."""

    def __init__(self, watchlist: Watchlist) -> None:
        self._watchlist = watchlist
        self.drawn: list[tuple[float, float | None]] = []
        self.pressed: list[tuple[float, str]] = []

    @property
    def left(self) -> bool:
        """Whether q has been pressed."""
        return any(key == "q" for _, key in self.pressed)

    def press(self, key: str) -> None:
        """Note the key."""
        self.pressed.append((asyncio.get_running_loop().time(), key))

    def changes(self, now_s: float) -> None:
        """Each frame is whole."""

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


def test_each_frame_of_a_fast_market_has_its_own_sample() -> None:
    """The last values are read just before a frame, and as often, so the newest price waits for one frame at most."""
    subscription, watchlist, frames, console = stage()
    subscription.samples.active = True

    async def main() -> None:
        showing = asyncio.ensure_future(watch(cast("Subscription", subscription), watchlist, frames, console=console))
        await asyncio.sleep(1.0)
        showing.cancel()
        await asyncio.wait({showing})

    run_virtual(main(), VirtualLoop())
    drawn = frames.drawn[:-1]  # the last is the page that stays
    assert len(drawn) > 3
    assert [subscription.sampled[int(last or 0) - 1] for _, last in drawn] == [at for at, _ in drawn]


def test_a_fast_market_is_drawn_at_the_frame_rate_at_most() -> None:
    """Hundreds of updates a second are as many frames as fit at the frame rate, each showing the newest."""
    subscription, watchlist, frames, console = stage()
    run_virtual(fast_market(subscription, watchlist, frames, console), VirtualLoop())
    times = [at for at, _ in frames.drawn[:-1]]  # the last is the page that stays
    assert len(times) > 3
    assert min(later - earlier for earlier, later in pairwise(times)) > FRAME_S * 0.95
    shown = [last for _, last in frames.drawn if last is not None]
    assert shown == sorted(shown)


@pytest.mark.parametrize(
    ("cost_s", "pause_s"),
    [(0.0, FRAME_S), (0.006, 0.6), (9.0, RAREST_S)],
    ids=["cheap", "dear", "vast"],
)
def test_a_screen_that_is_costly_to_draw_is_drawn_less_often(cost_s: float, pause_s: float) -> None:
    """Drawing takes at most its share of a core, but the screen moves every two seconds whatever it costs."""
    _, _, frames, console = stage()
    run_virtual(drawn_for(5.0, frames, console, lambda: cost_s if frames.drawn else 0.0), VirtualLoop())
    times = [at for at, _ in frames.drawn]
    pauses = [later - earlier for earlier, later in pairwise(times[1:])]
    assert pauses == pytest.approx([pause_s] * len(pauses))
    assert pauses


async def drawn_for(seconds: float, view: View, console: Console, cost_s: Callable[[], float]) -> None:
    """Draw for that long, on a core that each frame takes for ``cost_s``."""
    spent, time_of = 0.0, asyncio.get_running_loop().time

    def cpu_s() -> float:
        nonlocal spent
        while screen._screen.is_behind:  # the thread that writes needs time that is not virtual
            time.sleep(0.0001)
        spent += cost_s()
        return spent

    with contextlib.closing(LiveScreen(view, console, share=0.01, cpu_s=cpu_s)) as screen:
        while time_of() < seconds:
            await screen.draw(time_of())


class Prices(Frames):
    """A view that names its changes, each of which costs as much as ``costs`` has for it."""

    def __init__(self, watchlist: Watchlist) -> None:
        super().__init__(watchlist)
        self.changed: list[float] = []

    def changes(self, now_s: float) -> list[Run]:  # type: ignore[override]
        """One character."""
        self.changed.append(now_s)
        return [Run(0, 0, str(len(self.changed) % 10))]


def test_a_view_that_names_its_changes_is_seldom_laid_out() -> None:
    """Its changes come at the frame rate, whole frames once a second, or less often where that costs too much."""
    for cost_s, layouts, changes in ((0.0001, 5, 49), (0.004, 3, 10)):
        _, watchlist, _, console = stage()
        prices = Prices(watchlist)
        run_virtual(drawn_for(4.9, prices, console, lambda cost_s=cost_s: cost_s), VirtualLoop())  # type: ignore[misc]
        assert len(prices.drawn) == layouts
        assert len(prices.changed) == pytest.approx(changes, abs=3)


class Keys:
    """A terminal for standard input, with a person at its other end."""

    def __init__(self) -> None:
        self.person, self.stdin = pty.openpty()

    def type(self, sent: bytes) -> None:
        """Press keys, and wait until the kernel has passed them on."""
        os.write(self.person, sent)
        assert select.select([self.stdin], [], [], 5.0)[0]


@pytest.fixture
def keys() -> Iterator[Keys]:
    """A terminal for standard input."""
    made = Keys()
    yield made
    os.close(made.person)
    os.close(made.stdin)


def test_a_key_is_passed_on_and_shown_at_once(keys: Keys) -> None:
    """The view gets the key, and the next frame does not wait for the market; Ctrl-L only draws again."""
    subscription, watchlist, frames, console = stage()

    async def main() -> None:
        watched = watch(cast("Subscription", subscription), watchlist, frames, console=console, stdin=keys.stdin)
        showing = asyncio.ensure_future(watched)
        await asyncio.sleep(0.3)
        for sent in (b"s", b"\x0c", b"\x1b[B"):
            drawn, at = len(frames.drawn), asyncio.get_running_loop().time()
            keys.type(sent)
            await asyncio.sleep(0.1)
            assert frames.drawn[drawn][0] - at < 0.05
        keys.type(b"q")
        await asyncio.wait_for(showing, IDLE_FRAME_S / 2)

    run_virtual(main(), VirtualLoop())
    assert [key for _, key in frames.pressed] == ["s", "down", "q"]


def test_an_arrow_in_pieces_does_not_leave_the_screen(keys: Keys) -> None:
    """Over a slow connection the rest of the sequence may come half a second after its escape."""
    subscription, watchlist, frames, console = stage()

    async def main() -> None:
        watched = watch(cast("Subscription", subscription), watchlist, frames, console=console, stdin=keys.stdin)
        showing = asyncio.ensure_future(watched)
        await asyncio.sleep(0.01)
        for sent in (b"\x1b", b"[", b"A"):
            keys.type(sent)
            await asyncio.sleep(ESCAPE_AFTER_S * 0.9)
        keys.type(b"q")
        await showing

    run_virtual(main(), VirtualLoop())
    assert [key for _, key in frames.pressed] == ["up", "q"]


def test_the_last_table_stays_on_the_terminal(keys: Keys) -> None:
    """Whatever ends the screen, its last content is printed; nothing is before the first data."""
    subscription, watchlist, frames, console = stage()

    async def main() -> None:
        watched = watch(cast("Subscription", subscription), watchlist, frames, console=console, stdin=keys.stdin)
        showing = asyncio.ensure_future(watched)
        subscription.deliver(233.25)
        await asyncio.sleep(0.01)
        keys.type(b"q")
        await showing

    run_virtual(main(), VirtualLoop())
    assert "233.25" in cast("io.StringIO", console.file).getvalue().rpartition("\x1b[?25h")[2]


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
