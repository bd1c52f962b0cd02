"""Gathered acknowledgements: how many go at once, and when at the latest."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from schwabstream.consumer.streams.acknowledgements import GATHER_COUNT, GATHER_S, Acknowledgements
from tests.support.virtual_time import VirtualLoop, run_virtual


class Peer:
    """What the other side received, and at what virtual time; ``failing`` refuses."""

    def __init__(self) -> None:
        self.received: list[tuple[float, list[str]]] = []
        self.failing = False

    async def send(self, ids: list[str]) -> None:
        """Take the ids as one command."""
        if self.failing:
            raise ConnectionError("away")
        self.received.append((round(asyncio.get_running_loop().time(), 6), list(ids)))

    @property
    def ids(self) -> list[str]:
        """All that came."""
        return [each for _, ids in self.received for each in ids]


def play(scene: Callable[[Acknowledgements, Peer], Awaitable[None]]) -> Peer:
    """Play a scene on virtual time, with :meth:`Acknowledgements.run` beside it."""
    peer = Peer()

    async def main() -> None:
        gathered = Acknowledgements(peer.send)
        running = asyncio.create_task(gathered.run())
        try:
            await scene(gathered, peer)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await running

    run_virtual(main(), VirtualLoop())
    return peer


def test_a_hundred_go_at_once_and_the_rest_after_50_ms() -> None:
    """Each hundred is one command without delay; what is left goes 50 ms after the first of it."""

    async def scene(gathered: Acknowledgements, _: Peer) -> None:
        for number in range(250):
            await gathered.add([str(number)])
        await asyncio.sleep(1)

    peer = play(scene)
    assert [(at, len(ids)) for at, ids in peer.received] == [(0, GATHER_COUNT), (0, GATHER_COUNT), (GATHER_S, 50)]
    assert peer.ids == [str(number) for number in range(250)]


def test_nothing_is_sent_that_was_not_given() -> None:
    """Without an acknowledgement nothing is sent, however long it runs; each is sent once."""

    async def scene(gathered: Acknowledgements, _: Peer) -> None:
        await asyncio.sleep(10)
        await gathered.add(["a"])
        await asyncio.sleep(10)
        await gathered.add(["b"])
        await asyncio.sleep(10)

    assert play(scene).received == [(10 + GATHER_S, ["a"]), (20 + GATHER_S, ["b"])]


def test_a_busy_caller_does_not_hold_them_back() -> None:
    """An acknowledgement that comes 50 ms after the first sends all, though ``run`` had no chance to."""

    async def scene(gathered: Acknowledgements, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await gathered.add(["a"])
        loop._jumping.skipped_s += GATHER_S  # computing: time passes, and no other task runs
        await gathered.add(["b"])
        assert peer.ids == ["a", "b"]

    play(scene)


def test_flushing_sends_at_once() -> None:
    """A flush returns when everything gathered has been sent."""

    async def scene(gathered: Acknowledgements, peer: Peer) -> None:
        await gathered.add(["a", "b"])
        await gathered.flush()
        assert peer.received == [(0, ["a", "b"])]

    play(scene)


def test_what_could_not_be_sent_stays() -> None:
    """A failure is raised to the one who flushes, and what failed is sent by the next flush."""

    async def scene(gathered: Acknowledgements, peer: Peer) -> None:
        peer.failing = True
        await gathered.add(["a"])
        with pytest.raises(ConnectionError):
            await gathered.flush()
        assert len(gathered) == 1
        peer.failing = False
        await gathered.flush()
        assert len(gathered) == 0

    assert play(scene).ids == ["a"]
