"""Which signals end a command in order."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from schwabstream.commands.signals import ending_signals, until_signalled


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Leave the handlers as the test runner had them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_a_sighup_that_was_ignored_stays_ignored() -> None:
    """Nohup starts a command with SIGHUP ignored, and means it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert ending_signals() == (signal.SIGINT, signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert ending_signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def no_nohup() -> Iterator[None]:
    """SIGHUP is not ignored, even where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("no_nohup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_work_quietly(number: signal.Signals) -> None:
    """The work is cancelled, and waiting for it raises nothing."""
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
    await until_signalled(work)
    assert work.cancelled()


@pytest.mark.usefixtures("no_nohup")
async def test_a_second_sighup_does_not_cut_the_end_short() -> None:
    """The kernel and the shell both send SIGHUP when a window closes: what the first one began is finished."""
    finished = asyncio.Event()

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            for _ in range(10):
                await asyncio.sleep(0)
            finished.set()

    await until_signalled(asyncio.ensure_future(work()))
    assert finished.is_set()


async def test_a_cancellation_of_our_own_is_passed_on() -> None:
    """Without a signal a cancelled work is a cancellation."""
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await until_signalled(work)
