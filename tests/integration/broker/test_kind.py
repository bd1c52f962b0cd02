"""A Redis that answers and cannot serve: what it is, and which URL would."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from schwabstream.broker.kind import reach
from schwabstream.commands.embedded_redis import embedded_redis
from schwabstream.consumer.subscription import read_report
from schwabstream.errors import RedisUnavailable, RedisUnsuitable
from tests.conftest import RedisServer
from tests.support.waiting import block_until

Start = Callable[..., RedisServer]


async def test_a_primary_serves(redis_server: RedisServer) -> None:
    """A Redis that takes writes passes."""
    await reach(redis_server.url, "market_data", to_write=True)


async def test_none_at_all(redis_server: RedisServer) -> None:
    """Where nothing answers, the message reports exactly that."""
    redis_server.kill()
    with pytest.raises(RedisUnavailable, match=r"does not answer \(Connection refused\): start it") as raised:
        await reach(redis_server.url, "market_data")
    assert type(raised.value) is RedisUnavailable


async def test_a_replica_cannot_be_written_to(redis_server: RedisServer) -> None:
    """A replica serves readers; a writer learns the URL of its master."""
    redis_server.client.replicaof("127.0.0.1", "6400")
    await reach(redis_server.url, "market_data")
    with pytest.raises(RedisUnsuitable, match=r"is a read-only replica: .*\(redis://127.0.0.1:6400\)"):
        await reach(redis_server.url, "market_data", to_write=True)


@pytest.mark.parametrize("to_write", [False, True])
async def test_a_cluster_has_a_url_of_its_own(start_redis: Start, *, to_write: bool) -> None:
    """A node of a Cluster, even one that has every slot, is refused behind another URL, and serves behind its own."""
    node = start_redis("--cluster-enabled", "yes")
    with pytest.raises(RedisUnsuitable, match=rf"is a node .*: set .* redis\+cluster://127.0.0.1:{node.port}$"):
        await reach(node.url, "market_data", to_write=to_write)
    node.client.cluster("ADDSLOTS", *range(16384))
    with pytest.raises(RedisUnsuitable, match="Cluster"):
        await read_report(node.url, "market_data")
    await reach(f"redis+cluster://127.0.0.1:{node.port}", "market_data", to_write=to_write)
    block_until(lambda: node.client.cluster("INFO")["cluster_state"] == "ok")
    assert await read_report(f"redis+cluster://127.0.0.1:{node.port}", "market_data") is None


async def test_a_sentinel_has_a_url_of_its_own(redis_server: RedisServer, start_redis: Start, tmp_path: Path) -> None:
    """The port of a Sentinel cannot serve; the message names the URL of the master that it watches, which serves."""
    config = tmp_path / "sentinel.conf"
    config.write_text(f"sentinel monitor mymaster 127.0.0.1 {redis_server.port} 1\n")
    sentinel = start_redis(str(config), "--sentinel")
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster"
    with pytest.raises(RedisUnsuitable, match=rf"is a Sentinel: set .* to {re.escape(url)}$"):
        await reach(sentinel.url, "market_data")
    await reach(url, "market_data", to_write=True)


async def test_a_user_without_rights_serves_until_it_is_refused(redis_server: RedisServer) -> None:
    """The question itself needs no right beyond PING."""
    redis_server.client.acl_setuser("app", enabled=True, passwords=["+pw"], commands=["+ping"])
    await reach(f"redis://app:pw@127.0.0.1:{redis_server.port}", "market_data", to_write=True)
    with pytest.raises(RedisUnavailable, match="refuses a command"):
        await read_report(f"redis://app:pw@127.0.0.1:{redis_server.port}", "market_data")
    with pytest.raises(RedisUnavailable, match="does not accept the login: correct the user and password"):
        await reach(f"redis://app:wrong@127.0.0.1:{redis_server.port}", "market_data", to_write=True)


async def test_the_embedded_one_serves() -> None:
    """So does the one that we start ourselves."""
    async with embedded_redis(0) as embedded:
        await reach(embedded.url, "market_data", to_write=True)
