"""The last values, read as often as a screen draws: in a fast market, in place of events that it would not show.

Receiving an event costs a few microseconds even if the next one replaces it before the next frame (docs/adr/0017).
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Coroutine
from typing import Final

from redis.exceptions import RedisError

from schwabstream.report import StreamerReport

FAST: Final = 2_000.0
"""Events a second from which on a screen reads samples; it stops at half of them."""
PATIENCE_S: Final = 0.05


class Samples:
    """``wanted`` while the market is fast, ``active`` while they take the place of events; ``read`` queues the values.

    ``read`` may raise what redis-py raises: the connection that waits for StatusEvents notices an outage.
    """

    def __init__(self, read: Callable[[], Coroutine[None, None, None]]) -> None:
        self._read = read
        self._reading: asyncio.Task[None] | None = None
        self.wanted = self.active = False

    def follow(self, report: StreamerReport | None, keys: Collection[str]) -> None:
        """Take in the newest report: how many events a second the streamer publishes of these keys, or of all."""
        lines = report.by_key() if report is not None and report.state == "streaming" else {}
        rate = sum(line.rate for key, line in lines.items() if not keys or key in keys)
        self.wanted = rate > (FAST / 2 if self.wanted else FAST)

    async def refresh(self) -> None:
        """Read the last values if they are ``active``; from a slow Redis they come with a later frame."""
        if not self.active:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_once(), name="samples")
        await asyncio.wait({self._reading}, timeout=PATIENCE_S)

    async def close(self) -> None:
        """Stop reading."""
        self.active = False
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _read_once(self) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await self._read()
