"""Collects acknowledgements and sends them in groups: a command for each entry costs ten times as much as reading it.

Sends every id, in order. An id that could not be sent is kept and sent again: repeating an acknowledgement is safe.
Does not use Redis itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

GATHER_COUNT: Final = 100
GATHER_S: Final = 0.05


class Acknowledgements:
    """Passes ids to ``send``, 100 at once, or fewer 50 ms after the first, for which :meth:`run` must run."""

    def __init__(self, send: Callable[[list[str]], Awaitable[object]]) -> None:
        self._send = send
        self._gathered: list[str] = []
        self._first_at = 0.0
        self._any = asyncio.Event()
        self._sending = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._gathered)

    async def add(self, ids: Iterable[str]) -> None:
        """Add ids; waits only when 100 are collected, or when the first is older than 50 ms."""
        now = asyncio.get_running_loop().time()
        if not self._gathered:
            self._first_at = now
        self._gathered += ids
        self._any.set()
        # A caller that computes between two entries gives ``run`` no time.
        if len(self._gathered) >= GATHER_COUNT or now - self._first_at >= GATHER_S:
            await self.flush()

    async def flush(self) -> None:
        """Send everything collected; raises what ``send`` raises."""
        async with self._sending:
            while batch := self._gathered[:GATHER_COUNT]:
                await self._send(batch)
                del self._gathered[: len(batch)]

    async def run(self) -> None:
        """Send ids that are 50 ms old, until cancelled; raises what ``send`` raises."""
        while True:
            await self._any.wait()
            self._any.clear()
            await asyncio.sleep(GATHER_S)
            await self.flush()
