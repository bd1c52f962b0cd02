"""What we rely on in redis-py's private attributes, each listed in docs/adr/0003."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio.connection import AbstractConnection


@pytest.fixture
async def connection(redis_server: Any) -> "AsyncIterator[AbstractConnection]":
    """A connection that redis-py has opened."""
    client = Redis.from_url(redis_server.url)
    pool: Any = client.connection_pool
    connection: AbstractConnection = await pool.get_connection()
    try:
        yield connection
    finally:
        await pool.release(connection)
        await client.aclose()


async def test_a_connection_has_its_transport_in_its_writer(connection: "AbstractConnection") -> None:
    """``_writer``, which the publisher takes the transport of: a stream while connected, and None afterwards."""
    assert isinstance(connection._writer, asyncio.StreamWriter)
    assert isinstance(connection._writer.transport.get_protocol(), asyncio.StreamReaderProtocol)
    await connection.disconnect()
    assert connection._writer is None


async def test_a_connection_has_its_bytes_in_its_reader(connection: "AbstractConnection") -> None:
    """``_reader``, from which a subscription reads: the replies as they come, and None afterwards."""
    assert isinstance(connection._reader, asyncio.StreamReader)
    await connection.send_command("PING")
    assert await connection._reader.read(100) == b"+PONG\r\n"
    await connection.disconnect()
    assert connection._reader is None
