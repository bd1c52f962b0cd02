"""Asks Sentinels and nodes questions, over connections that stay open between the questions."""

import contextlib
from collections.abc import Callable
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError

from schwabstream.broker.url import Address


class Nodes:
    """Connections to servers, at most one kept for each; ``make`` makes one that is not open yet."""

    def __init__(self, make: Callable[[Address], AbstractConnection]) -> None:
        self._make = make
        self._kept: dict[Address, AbstractConnection] = {}

    async def ask(self, node: Address, *commands: tuple[str, ...]) -> list[Any]:
        """The replies to the commands, error replies among them. Raises redis-py's errors and OSError."""
        kept = self._kept.pop(node, None)
        if kept is not None:
            # It may have ended since the last question, which means nothing.
            with contextlib.suppress(RedisConnectionError, OSError):
                return await self._exchange(node, kept, commands)
        return await self._exchange(node, self._make(node), commands)

    async def close(self) -> None:
        """Close the connections; the next question opens one."""
        while self._kept:
            _, connection = self._kept.popitem()
            await connection.disconnect(nowait=True)

    async def _exchange(
        self, node: Address, connection: AbstractConnection, commands: tuple[tuple[str, ...], ...]
    ) -> list[Any]:
        try:
            await connection.connect()
            for command in commands:
                await connection.send_command(*command)
            replies = [await _reply(connection) for _ in commands]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, hiredis.HiredisError):
                raise InvalidResponse(str(error)) from error
            raise
        if self._kept.setdefault(node, connection) is not connection:  # of another question at the same time
            await connection.disconnect(nowait=True)
        return replies


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
