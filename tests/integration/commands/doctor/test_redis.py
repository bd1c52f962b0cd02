"""``doctor`` on Redis: the server, its keys and rules, the lease and the report of the running streamer."""

from collections.abc import Callable
from typing import Any

import pytest

from schwabstream.commands.doctor.examine import examine
from schwabstream.commands.doctor.findings import Verdict
from schwabstream.publishing.fence import lease_key
from schwabstream.report import SymbolReport
from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.diagnosis import of, report, verdicts


async def test_names_that_something_else_has_taken(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A key of the wrong type, to which nothing could be written, is named; repaired, all is well."""
    redis_server.client.rpush("market_data:stream:ticks", "somebody's")
    redis_server.client.set("market_data:last:ticks", "somebody's")
    diagnosis = await examine()
    keys = of(diagnosis, "redis keys")
    assert (keys.verdict, diagnosis.exit_code) == (Verdict.FAILED, 8)
    assert "market_data:stream:ticks holds a list and must be a stream" in keys.detail
    assert "market_data:last:ticks holds a string and must be a hash" in keys.detail
    redis_server.client.delete("market_data:stream:ticks", "market_data:last:ticks")
    assert verdicts(await examine()) == {}


async def test_a_cluster_is_named(
    good: SchwabSimulator, start_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of a Cluster is Redis's failure, with what it is and what to do."""
    monkeypatch.setenv("REDIS_URL", start_redis("--cluster-enabled", "yes").url)
    diagnosis = await examine()
    redis = of(diagnosis, "redis")
    assert (redis.verdict, diagnosis.exit_code) == (Verdict.FAILED, 8)
    assert "is a node of a Redis Cluster" in redis.detail
    assert "set REDIS_URL or --redis to redis+cluster://" in redis.fix


async def test_redis_that_is_away(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A Redis that cannot be reached is code 8, and what needs it is not checked."""
    redis_server.kill()
    diagnosis = await examine()
    assert diagnosis.exit_code == 8
    names = ("redis keys", "redis memory", "redis readers", "redis wanted", "lease", "report")
    assert {of(diagnosis, name).verdict for name in names} == {Verdict.UNCHECKED}


async def test_redis_rules(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """An eviction policy that drops keys is a warning with its fix; the limit for readers is shown."""
    redis_server.client.config_set("maxmemory", "100mb")
    redis_server.client.config_set("maxmemory-policy", "volatile-lru")
    diagnosis = await examine()
    memory = of(diagnosis, "redis memory")
    assert (memory.verdict, "of 100 MB, policy volatile-lru" in memory.detail) == (Verdict.WARNING, True)
    assert "noeviction" in memory.fix
    assert "32 MB, or at 8 MB for 60 s" in of(diagnosis, "redis readers").detail
    redis_server.client.config_set("maxmemory-policy", "noeviction")
    assert of(await examine(), "redis memory").verdict is Verdict.OK


async def test_replica(good: SchwabSimulator, redis_server: RedisServer, unused_port: int) -> None:
    """A read-only replica cannot be published to."""
    redis_server.client.replicaof("127.0.0.1", str(unused_port))
    assert "read-only replica" in of(await examine(), "redis").detail


async def test_redis_that_shows_no_configuration(
    good: SchwabSimulator, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A managed Redis that forbids CONFIG is not a failure; its password is not shown."""
    redis_server.client.acl_setuser(
        "app",
        enabled=True,
        passwords=["+s3cret"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        commands=["-config"],
    )
    monkeypatch.setenv("REDIS_URL", f"redis://app:s3cret@127.0.0.1:{redis_server.port}/0")
    diagnosis = await examine()
    assert verdicts(diagnosis) == {"redis readers": Verdict.UNCHECKED}
    assert "s3cret" not in str(diagnosis.as_json())


@pytest.mark.parametrize("denied", ["-zrangebyscore", "-zrevrangebyscore", "-zremrangebyscore", "-pubsub|channels"])
async def test_a_user_who_may_not_see_the_wanted_symbols(
    good: SchwabSimulator, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    """Each permission that reading the wanted symbols needs is checked; a run without it streams configured ones."""
    redis_server.client.execute_command("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all", denied)
    monkeypatch.setenv("REDIS_URL", f"redis://app:s3cret@127.0.0.1:{redis_server.port}/0")
    monkeypatch.setenv("SCHWAB_REDIS_SYMBOL_CHANNELS", "true")
    diagnosis = await examine()
    wanted = of(diagnosis, "redis wanted")
    assert (verdicts(diagnosis), diagnosis.exit_code) == ({"redis wanted": Verdict.WARNING}, 0)
    assert denied[1:].partition("|")[0] in wanted.detail
    assert "+zrangebyscore" in (wanted.fix or "")


async def test_wanted_symbols_are_described(
    good: SchwabSimulator, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of symbols and the ways to ask for more are shown; a key of another type is named."""
    redis_server.client.zadd("market_data:wanted", {"NVDA": "+inf", "MSFT": 5})
    assert of(await examine(), "redis wanted").detail == "at most 500 symbols, configured or requested by readers"
    assert redis_server.client.zcard("market_data:wanted") == 2
    monkeypatch.setenv("SCHWAB_REDIS_SYMBOL_CHANNELS", "true")
    assert of(await examine(), "redis wanted").detail == (
        "at most 500 symbols, configured or requested by readers; listening to the channel of a symbol requests it"
    )
    redis_server.client.set("market_data:wanted", "somebody's")
    wanted = of(await examine(), "redis wanted")
    assert (wanted.verdict, wanted.fix) == (Verdict.WARNING, "rename or delete market_data:wanted")


async def test_wrong_password(
    good: SchwabSimulator, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused password is Redis's failure, shown without the password."""
    monkeypatch.setenv("REDIS_URL", f"redis://app:s3cret@127.0.0.1:{redis_server.port}/0")
    diagnosis = await examine()
    assert (of(diagnosis, "redis").verdict, diagnosis.exit_code) == (Verdict.FAILED, 8)
    assert "s3cret" not in str(diagnosis.as_json())


async def test_running_streamer(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """The holder of the lease and the state of the running streamer are shown; it is left alone."""
    redis_server.client.set(lease_key("market_data", good.customer_id), "7:tower:4711")
    redis_server.client.set("market_data:streamer", report())
    diagnosis = await examine()
    assert of(diagnosis, "lease").detail == "held by host tower, pid 4711"
    assert "streaming on tower, pid 4711" in of(diagnosis, "report").detail
    assert diagnosis.exit_code == 0
    assert good.streamer_connections == 0


async def test_a_prefix_of_another_account(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A prefix under which another account publishes is found before a run is refused for it."""
    redis_server.client.set("market_data:owner", "another")
    diagnosis = await examine()
    assert of(diagnosis, "lease").verdict is Verdict.FAILED
    assert diagnosis.exit_code == 6
    assert good.streamer_connections == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "evicted", "reason": "another session"}, "another session"),
        (
            {"refusing": ("market_data:stream:bars",)},
            "Redis refuses writes to market_data:stream:bars: allow them in the ACL",
        ),
        ({"symbols": (SymbolReport(symbol="X", key="X", asset="EQUITY"),)}, "1 of 1 symbols without data (X)"),
    ],
)
async def test_unhealthy_streamer(
    good: SchwabSimulator, redis_server: RedisServer, changes: dict[str, Any], words: str
) -> None:
    """A streamer that runs but does not stream everything is code 4, with its own reason."""
    redis_server.client.set("market_data:streamer", report(**changes))
    diagnosis = await examine()
    assert (of(diagnosis, "report").verdict, diagnosis.exit_code) == (Verdict.FAILED, 4)
    assert words in of(diagnosis, "report").detail


async def test_value_that_is_not_a_report(good: SchwabSimulator, redis_server: RedisServer) -> None:
    """A value of another kind under the report's name is a finding, not an exception."""
    redis_server.client.set("market_data:streamer", "{}")
    assert "not the report of a streamer" in of(await examine(), "report").detail
