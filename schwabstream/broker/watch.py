"""Notices that another node has become the master while the connection to the old one still answers.

An answered probe proves that a server lives, not that it is the master: a demoted or isolated one answers, too.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError

from schwabstream.broker.routes import Route
from schwabstream.broker.url import Address

EVERY_S: Final = 1.0


class MasterWatch:
    """Asks the route once a second, and calls ``moved`` when two answers in a row name the same other address.

    ``leads_to``: where the connection in use leads, None without one.
    """

    def __init__(
        self,
        route: Route,
        leads_to: Callable[[], Address | None],
        moved: Callable[[Address], None],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._route, self._leads_to, self._moved, self._sleep = route, leads_to, moved, sleep

    async def run(self) -> None:
        """Watch until cancelled; returns at once where the address never changes."""
        other: Address | None = None
        while self._route.mode != "single":
            await self._sleep(EVERY_S)
            with contextlib.suppress(RedisError, OSError, TimeoutError):  # no answer is not another master
                found = await self._route.find()
                if self._leads_to() in (None, found):
                    other = None
                elif found == other:
                    other = None
                    self._moved(found)
                else:
                    other = found


@contextlib.asynccontextmanager
async def following(
    route: Route, leads_to: Callable[[], Address | None], moved: Callable[[Address], None]
) -> AsyncIterator[None]:
    """Run a :class:`MasterWatch` in the block."""
    if route.mode == "single":
        yield
        return
    watching = asyncio.create_task(MasterWatch(route, leads_to, moved).run(), name="master watch")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
