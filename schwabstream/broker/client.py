"""Clients of redis-py for the Redis at a URL, which answer or fail in time."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from redis.asyncio.client import Redis
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from schwabstream.broker.routes import Plain, Route
from schwabstream.broker.url import Address, parse_redis_url, prefix_at, redact_url, slot_of
from schwabstream.errors import ConfigurationError


class RoutedPool(ConnectionPool):
    """A pool of redis-py with the ``route`` of its connections; closing them also closes those of the route."""

    route: Route

    if TYPE_CHECKING:  # redis-py has no types for it

        async def get_connection(
            self, command_name: str | None = None, *keys: Any, **options: Any
        ) -> AbstractConnection:
            """A connection that is open."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; they open again when they are used."""
        await super().disconnect(inuse_connections)
        await self.route.close()


def connection_pool(url: str, prefix: str, *, reads: bool = False, **options: Any) -> RoutedPool:
    """A pool of redis-py without an open connection; raises ``ConfigurationError`` for an invalid URL.

    In a topology its connections lead to the master, on a Cluster to that of the prefix's slot. With ``reads``, they
    lead to a replica if the URL asks for one and one answers.
    """
    try:
        parsed = parse_redis_url(url)
        pool = RoutedPool.from_url(parsed.connection_url, **options)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"the Redis URL {redact_url(url)} {error}") from None
    if parsed.mode == "single":
        pool.route = Plain(parsed.connection_url)
    else:
        # A single Redis needs neither module, so they are loaded only here.
        from schwabstream.broker.connections import follow_route
        from schwabstream.broker.topologies import Sentinels, Slots

        slot = slot_of(prefix_at(url, prefix))
        pool.route = Sentinels(parsed, reads=reads) if parsed.mode == "sentinel" else Slots(parsed, slot, reads=reads)
        follow_route(pool, pool.route, to_replicas=reads and parsed.from_replica)
    return pool


def address_of(connection: AbstractConnection | None) -> Address | None:
    """The address to which an open connection leads; None for a closed one, and for none."""
    if connection is None or not connection.is_connected:
        return None
    if isinstance(connection, Connection):
        return Address(connection.host, connection.port)
    return Address(str(getattr(connection, "path", "")), 0)


class RedisClient(Redis):
    """redis-py's client, which never loses a cancellation; raises redis-py's errors."""

    @property
    def secure(self) -> bool:
        """Whether its connections use TLS."""
        return issubclass(self.connection_pool.connection_class, SSLConnection)

    @property
    def route(self) -> Route:
        """The route of its connections."""
        return cast("RoutedPool", self.connection_pool).route

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return its answer, unless the task was cancelled in the meantime."""
        client: Any = super()  # untyped there
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        answer = await client.execute_command(*args, **options)
        heed_cancellation(before)
        return answer


def redis_client(
    url: str, prefix: str, *, timeout_s: float, retries: int = 0, reads: bool = False, **options: Any
) -> RedisClient:
    """A client whose commands answer or fail within ``timeout_s``; raises ``ConfigurationError`` for an invalid URL.

    ``retries``: how often a command is sent again after its connection broke. ``prefix`` and ``reads`` decide which
    node it leads to, as in :func:`connection_pool`.
    """
    retry = Retry(NoBackoff(), retries)
    limits = {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s}
    # Anyone may have stored bytes that are not UTF-8: decoding them must not raise.
    pool = connection_pool(url, prefix, reads=reads, retry=retry, encoding_errors="replace", **limits, **options)
    return cast("RedisClient", RedisClient.from_pool(pool))


@contextlib.contextmanager
def cancellation_heeded() -> Iterator[None]:
    """Raise at the end of the block a cancellation of the current task that redis-py has lost in it."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        heed_cancellation(before)


def heed_cancellation(before: int = 0) -> None:
    """Raise a cancellation that redis-py has lost; call it after each answer.

    ``before`` is how often the task had been cancelled before the command. Until Python 3.11, ``asyncio.wait_for``,
    which redis-py uses, can return an answer in place of a cancellation.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
