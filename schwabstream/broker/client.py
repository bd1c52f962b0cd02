"""Clients of redis-py for the Redis at a URL, which answer or fail in time."""

import asyncio
from typing import Any, cast

from redis.asyncio.client import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from schwabstream.broker.url import check_redis_url, redact_url
from schwabstream.errors import ConfigurationError


def connection_pool(url: str, **options: Any) -> ConnectionPool:
    """Redis-py's connections to that URL, none open yet; raises ``ConfigurationError`` for an invalid URL."""
    try:
        return ConnectionPool.from_url(check_redis_url(url), **options)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"the Redis URL {redact_url(url)} {error}") from None


class RedisClient(Redis):
    """redis-py's client, which never loses a cancellation; raises redis-py's errors."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return its answer, unless the task was cancelled in the meantime."""
        client: Any = super()  # untyped there
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        answer = await client.execute_command(*args, **options)
        heed_cancellation(before)
        return answer


def redis_client(url: str, *, timeout_s: float, retries: int = 0, **options: Any) -> RedisClient:
    """A client whose commands answer or fail within ``timeout_s``; raises ``ConfigurationError`` for an invalid URL.

    ``retries``: how often a command is sent again after its connection broke.
    """
    retry = Retry(NoBackoff(), retries)
    limits = {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s}
    # Anyone may have stored bytes that are not UTF-8: decoding them must not raise.
    pool = connection_pool(url, retry=retry, encoding_errors="replace", **limits, **options)
    return cast("RedisClient", RedisClient.from_pool(pool))


def heed_cancellation(before: int = 0) -> None:
    """Raise a cancellation that redis-py has lost; call it after each answer.

    ``before`` is how often the task had been cancelled before the command. Until Python 3.11, ``asyncio.wait_for``,
    which redis-py uses, can return an answer in place of a cancellation.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
