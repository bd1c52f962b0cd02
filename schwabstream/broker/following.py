"""A client whose connections follow the master, also while the old one still answers.

redis-py reconnects when a connection breaks. A demoted or isolated master keeps its connections, so a
:class:`MasterWatch` has to notice, and the client has to let go of them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio.connection import AbstractConnection

from schwabstream.broker.client import address_of, redis_client
from schwabstream.broker.url import Address
from schwabstream.broker.watch import following


class FollowingClient:
    """The client ``redis``, which follows the master in a block of :meth:`following`, between two of :meth:`call`.

    ``connections`` counts the connections that were opened: after each of them another server may answer.
    """

    def __init__(self, url: str, prefix: str, **options: Any) -> None:
        self.redis = redis_client(url, prefix, redis_connect_func=self._begin, **options)
        self.connections = 0
        self._newest: AbstractConnection | None = None
        self._moves = self._followed = 0

    async def _begin(self, connection: AbstractConnection) -> None:
        self.connections, self._newest = self.connections + 1, connection
        await connection.on_connect()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Notice in the block that the master has moved."""
        async with following(self.redis.route, lambda: address_of(self._newest), self._note_move):
            yield

    def _note_move(self, _to: Address) -> None:
        self._moves += 1

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Let the commands in the block use no connection that was open when the master moved."""
        moves = self._moves
        if self._followed != moves:
            self._followed = moves
            await self.disconnect()
        yield
        if self._moves != moves:  # a call beside this one may have followed, and could not close this connection
            await self.disconnect()

    async def disconnect(self) -> None:
        """Close the connections that no command uses; they open again when they are used."""
        await self.redis.connection_pool.disconnect(inuse_connections=False)
