"""The signals that end a command cleanly: SIGINT, SIGTERM, and SIGHUP when the terminal goes away."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def ending_signals() -> tuple[signal.Signals, ...]:
    """The signals to end for; a SIGHUP that was ignored at the start, as by nohup, is not one of them."""
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return every if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else every[:2]


async def until_signalled(work: "asyncio.Future[None]") -> None:
    """Wait for the work. A signal cancels it without an error; a second SIGINT or SIGTERM gets Python's handling."""
    loop = asyncio.get_running_loop()
    signals = ending_signals()
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        # A closing terminal sends SIGHUP twice, from the kernel and from the shell; the second is not a second Ctrl-C.
        if number is signal.SIGHUP and received:
            return
        received.append(number)
        if number is not signal.SIGHUP:
            loop.remove_signal_handler(number)
        work.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        await work
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def run_until_interrupted(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end or until Ctrl-C, also while a thread waits for input, which asyncio alone would not interrupt."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    return asyncio.run(work)
