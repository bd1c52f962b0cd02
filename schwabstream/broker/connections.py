"""Connections of redis-py that ask a route for the address each time they connect."""

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.exceptions import ResponseError

from schwabstream.broker.routes import Route
from schwabstream.broker.url import is_away

Begin = Callable[[AbstractConnection], Awaitable[None]]


class RoutedConnection(Connection):
    """A connection to the server that ``route`` finds; closed by a reply which means that another node serves now."""

    def __init__(self, *, route: Route, **options: Any) -> None:
        super().__init__(**options)
        self._route = route

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """As in redis-py, but each attempt asks the route; redis-py would retry at the same address."""
        del retry_socket_connect
        if not self.is_connected:
            self.host, self.port = await self._route.find()
        connection: Any = super()  # untyped there
        await connection.connect_check_health(check_health=check_health, retry_socket_connect=False)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """As in redis-py; closes the connection when this node no longer serves, so that the route is asked again."""
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if is_away(error):
                await self.disconnect(nowait=True)
            raise


class RoutedTlsConnection(RoutedConnection, SSLConnection):
    """A :class:`RoutedConnection` over TLS."""


async def begin(connection: AbstractConnection) -> None:
    """Open a connection as redis-py does."""
    await connection.on_connect()


def read_only(begin: Begin) -> Begin:
    """Extend ``begin`` with READONLY, without which a replica in a Cluster does not answer reads."""

    async def begin_reading(connection: AbstractConnection) -> None:
        await begin(connection)
        await connection.send_command("READONLY")
        await connection.read_response()

    return begin_reading


def follow_route(pool: ConnectionPool, route: Route, *, to_replicas: bool) -> None:
    """Have the connections of a pool follow a route; none may be open yet."""
    tls = issubclass(pool.connection_class, SSLConnection)
    pool.connection_class = RoutedTlsConnection if tls else RoutedConnection
    pool.connection_kwargs["route"] = route
    if to_replicas and route.mode == "cluster":
        pool.connection_kwargs["redis_connect_func"] = read_only(
            pool.connection_kwargs.get("redis_connect_func", begin)
        )
