"""Detects that another node has become the master while the connection to the old one still answers.

An answered probe proves that a server is alive, not that it is the master: a demoted or isolated master also answers,
and keeps its connections open. redis-py reconnects only when a connection breaks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from schwabstream.broker.client import address_of, redis_client
from schwabstream.broker.routes import Route
from schwabstream.broker.url import Address

EVERY_S: Final = 1.0


class MasterWatch:
    """Asks the route once a second, and calls ``moved`` when two answers in a row name the same other address.

    ``leads_to``: where the connection in use leads, None without one. ``asked`` is called after each question, with or
    without an answer.
    """

    def __init__(
        self,
        route: Route,
        leads_to: Callable[[], Address | None],
        moved: Callable[[Address], None],
        *,
        asked: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._route, self._leads_to, self._moved, self._asked, self._sleep = route, leads_to, moved, asked, sleep

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
            self._asked()


@contextlib.asynccontextmanager
async def following(
    route: Route, leads_to: Callable[[], Address | None], moved: Callable[[Address], None]
) -> AsyncIterator[None]:
    """Run a :class:`MasterWatch` for the duration of the block."""
    if route.mode == "single":
        yield
        return
    watching = asyncio.create_task(MasterWatch(route, leads_to, moved).run(), name="master watch")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


class FollowingClient:
    """The client ``redis``; in a block of :meth:`following`, each :meth:`call` goes to the present master.

    ``connections`` counts the connections opened so far; behind each new one may be another server.
    """

    def __init__(self, url: str, prefix: str, **options: Any) -> None:
        self.redis = redis_client(url, prefix, redis_connect_func=self._begin, **options)
        self.connections = 0
        self._newest: AbstractConnection | None = None
        self._moves = self._followed = 0

    async def _begin(self, connection: AbstractConnection) -> None:
        self.connections, self._newest = self.connections + 1, connection
        await connection.on_connect()

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Watch the master for the duration of the block."""
        async with following(self.redis.route, lambda: address_of(self._newest), self._note_move):
            yield

    def _note_move(self, _to: Address) -> None:
        self._moves += 1

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Commands in the block use no connection that was opened before the master moved."""
        moves = self._moves
        if self._followed != moves:
            self._followed = moves
            await self.disconnect()
        yield
        if self._moves != moves:  # a call beside this one may have followed, and could not close this connection
            await self.disconnect()

    async def disconnect(self) -> None:
        """Close the idle connections; the next command opens a new one."""
        await self.redis.connection_pool.disconnect(inuse_connections=False)
