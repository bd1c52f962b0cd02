"""One subscribed connection: subscribing, its replies in batches, its end."""

from collections.abc import AsyncIterator

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from schwabstream.broker.client import connection_pool
from schwabstream.consumer.subscribed_connection import SubscribedConnection
from tests.support.scripted_node import ScriptedNode, scripted_nodes


@pytest.fixture
async def node() -> AsyncIterator[ScriptedNode]:
    """A server that confirms subscriptions."""
    async with scripted_nodes() as (server,):
        yield server


@pytest.fixture
async def connection(node: ScriptedNode) -> AsyncIterator[SubscribedConnection]:
    """A connection that is subscribed to a channel and to a sharded one."""
    pool = connection_pool(f"redis://127.0.0.1:{node.port}", "market_data", protocol=2)
    opened = SubscribedConnection(pool, 0.05)
    await opened.open({"SUBSCRIBE": [b"a"], "SSUBSCRIBE": [b"b"]})
    yield opened
    await opened.close()
    await pool.aclose()


async def test_earlier_replies_are_all_that_was_published(node: ScriptedNode, connection: SubscribedConnection) -> None:
    """Everything before the answer to a PING is returned, confirmations among it, and nothing twice."""
    node.push("message", "a", b"1")
    node.push("smessage", "b", b"2")
    replies = await connection.earlier_replies()
    assert [reply[0] for reply in replies] == [b"subscribe", b"ssubscribe", b"message", b"smessage", b"pong"]
    node.push("message", "a", b"3")
    assert await connection.replies() == [[b"message", b"a", b"3"]]


async def test_leaving_ends_the_reading_with_its_reason(connection: SubscribedConnection) -> None:
    """A connection that is left raises the reason, not that Redis closed it."""
    connection.leave("Redis is elsewhere")
    with pytest.raises(ConnectionResetError, match="Redis is elsewhere"):
        await connection.replies()


async def test_a_silent_connection_is_probed_and_a_dead_one_raises(
    node: ScriptedNode, connection: SubscribedConnection
) -> None:
    """A quiet connection gets a PING, whose answer is a reply; one that ends raises."""
    assert await connection.replies() == [[b"pong", b""]]
    node.cut()
    with pytest.raises(OSError, match=r"Redis closed the connection|reset"):
        await connection.replies()


@pytest.mark.parametrize(("reply", "error"), [(b"-NOPERM no", NoPermissionError), (b"-MOVED 1 x:1", ResponseError)])
async def test_an_error_reply_is_raised(
    node: ScriptedNode, connection: SubscribedConnection, reply: bytes, error: type[Exception]
) -> None:
    """An error reply in place of a message is redis-py's error."""
    node.subscribed[b"a"].write(reply + b"\r\n")
    with pytest.raises(error):
        await connection.replies()
