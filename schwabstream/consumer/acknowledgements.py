"""Acknowledgements on their way to Redis, gathered: a command for each entry costs ten times what reading it does.

Sends what it was given and nothing else, in order. What could not be sent stays gathered: an acknowledgement may be
repeated. Does not know Redis.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

GATHER_COUNT: Final = 100
GATHER_S: Final = 0.05


class Acknowledgements:
    """Passes ids to ``send``: a hundred at once, or fewer 50 ms after the first; :meth:`run` keeps that time."""

    def __init__(self, send: Callable[[list[str]], Awaitable[object]]) -> None:
        self._send = send
        self._gathered: list[str] = []
        self._first_at = 0.0
        self._any = asyncio.Event()
        self._sending = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._gathered)

    async def add(self, ids: Iterable[str]) -> None:
        """Take the ids; waits only when a hundred have gathered, or when the first has waited too long."""
        now = asyncio.get_running_loop().time()
        if not self._gathered:
            self._first_at = now
        self._gathered += ids
        self._any.set()
        # A caller that computes between two entries leaves no time to ``run``.
        if len(self._gathered) >= GATHER_COUNT or now - self._first_at >= GATHER_S:
            await self.flush()

    async def flush(self) -> None:
        """Send all that is gathered; raises what ``send`` raises."""
        async with self._sending:
            while batch := self._gathered[:GATHER_COUNT]:
                await self._send(batch)
                del self._gathered[: len(batch)]

    async def run(self) -> None:
        """Send what has waited for 50 ms, until cancelled; raises what ``send`` raises."""
        while True:
            await self._any.wait()
            self._any.clear()
            await asyncio.sleep(GATHER_S)
            await self.flush()
