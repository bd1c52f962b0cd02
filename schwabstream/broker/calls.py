"""Single commands over redis-py's own connections, for those who need a handful of them.

Errors are redis-py's; URLs, TLS, AUTH and unix sockets are its connections' business.
"""

import asyncio
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from schwabstream.broker.url import connection_pool, redact_url


def heed_cancellation() -> None:
    """Raise the cancellation that redis-py has lost, to be called when it has answered.

    Before Python 3.12 ``asyncio.wait_for``, which it uses, returns an answer that meets a cancellation.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class RedisCalls:
    """Commands to the Redis at a URL, replies as text; close it when done. Nothing is connected before the first.

    ``url`` is fit to be shown; ``connections`` counts how often it had to connect: when it rises, Redis may have been
    away in between. Raises ``ConfigurationError`` for a wrong URL.
    """

    def __init__(self, redis_url: str, *, timeout_s: float) -> None:
        self.url = redact_url(redis_url)
        self.connections = 0
        # One repetition: a connection that died during a pause must not pass for a Redis that is away.
        self._pool = connection_pool(
            redis_url,
            decode_responses=True,
            encoding_errors="replace",
            redis_connect_func=self._greet,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
        )

    async def call(self, *words: str | int) -> Any:
        """The answer to one command."""
        connection: AbstractConnection = await self._pool.get_connection()
        try:
            answer = await connection.retry.call_with_retry(
                lambda: _ask(connection, words), lambda _error: connection.disconnect()
            )
            heed_cancellation()
            return answer
        finally:
            await self._pool.release(connection)

    async def _greet(self, connection: AbstractConnection) -> None:
        """Count a new connection, and open it as redis-py does."""
        self.connections += 1
        await connection.on_connect()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._pool.disconnect()


async def _ask(connection: AbstractConnection, words: tuple[str | int, ...]) -> Any:
    await connection.send_command(*words)
    return await connection.read_response()
