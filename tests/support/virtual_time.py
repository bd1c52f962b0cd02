"""An event loop on which hours pass in milliseconds: real sockets, but a clock that jumps to the next timer.

Whenever no socket is ready the clock moves to the next timer at once. Simulator and streamer run in the one process
over loopback, so what one has sent the other can read without any time passing.
Refuses threads: the clock would not wait for them.
"""

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from schwabstream.clock import Clock

T = TypeVar("T")
START = 1_795_536_000.0
"""Tuesday 2026-11-24, 16:00 UTC: every market is open."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: what the loop would have waited for timers is added to ``skipped_s``."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # No timer at all: only a socket, or a bug, can go on from here.
            ready = super().select(5)
            if not ready:
                raise RuntimeError("everything waits, and nothing will ever happen")
            return ready
        self.skipped_s += max(timeout, 0.0)
        return ready


class SocketlessSelector(_JumpingSelector):
    """The same for a loop without sockets: asks the system for nothing."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        self.skipped_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; ``time`` starts at 0 and moves by jumps only. ``crashes`` holds what no task or callback caught."""

    def __init__(self, selector: type[_JumpingSelector] = _JumpingSelector) -> None:
        self._jumping = selector()
        super().__init__(self._jumping)
        self.crashes: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.crashes.append(context))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.skipped_s

    def run_in_executor(self, *args: Any, **_: Any) -> Any:  # type: ignore[override]  # it takes nothing at all
        """Refuse."""
        raise RuntimeError(f"no threads on virtual time: {args}")


class VirtualTime:
    """The clocks of one run: ``wall`` for the simulator and the login, ``clock`` for the streamer."""

    def __init__(self, loop: VirtualLoop, seed: int = 0, start: float = START, *, nap_s: float = 0.0) -> None:
        self._loop, self._start, self._nap_s = loop, start, nap_s
        self.random = random.Random(seed)
        self.clock = Clock(self.wall, loop.time, self._sleep, self.random.random)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, at least ``nap_s``: days of looking about once a second would cost minutes."""
        await asyncio.sleep(max(seconds, self._nap_s) if seconds > 0 else 0)

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._start + self._loop.time()


def run_virtual(main: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run ``main`` on the loop and close it; raises what was left unhandled anywhere."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main)
    assert not loop.crashes, loop.crashes
    return result
