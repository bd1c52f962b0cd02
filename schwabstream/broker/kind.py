"""Checks the kind of server: a Sentinel or a node of a Cluster needs another URL, and a replica accepts no writes.

Checked once, before any other command, because an unsuitable Redis may accept the first commands and refuse only the
batches.
"""

from typing import Any

from redis.exceptions import ResponseError

from schwabstream.broker.client import RedisClient, redis_client
from schwabstream.broker.nodes import address_in, pairs_in, url_for
from schwabstream.broker.url import IS_NODE, IS_REPLICA, IS_SENTINEL, OTHER_URL, redact_url, translated
from schwabstream.errors import RedisUnsuitable

ANSWER_LIMIT_S = 3.0


async def reach(redis_url: str, prefix: str, *, to_write: bool = False) -> None:
    """Check that the Redis at that URL answers and can serve; raises ``RedisUnavailable`` or ``RedisUnsuitable``."""
    async with redis_client(redis_url, prefix, timeout_s=ANSWER_LIMIT_S, retries=1, decode_responses=True) as redis:
        await refuse_unsuitable(redis, redact_url(redis_url), to_write=to_write)


async def refuse_unsuitable(redis: RedisClient, url: str, *, to_write: bool) -> None:
    """Raise ``RedisUnsuitable`` for a Redis that can never serve, and ``RedisUnavailable`` without an answer."""
    with translated(url):
        await redis.execute_command("PING")
        wrong = await find_unsuitable(redis, to_write=to_write)
    if wrong:
        raise RedisUnsuitable(f"Redis at {url} {': '.join(wrong)}")


async def find_unsuitable(redis: RedisClient, *, to_write: bool) -> tuple[str, str] | None:
    """Why a Sentinel, a node of a Cluster or, ``to_write``, a replica can never serve, and the next step.

    None if it can serve or its kind is unknown. The next step names the URL to use if Redis reveals it. Raises
    redis-py's errors.
    """
    if redis.route.mode != "single":
        return None  # the route checks each server

    async def ask(*words: str) -> Any:
        try:
            return await redis.execute_command(*words)
        except ResponseError as error:  # a right that this user lacks, or HELLO before Redis 6 and at a proxy
            return error

    server, node = pairs_in(await ask("HELLO")), await redis.route.find()
    scheme = "rediss" if redis.secure else "redis"
    if server.get("mode") in ("cluster", "sentinel"):
        trouble = IS_NODE if server["mode"] == "cluster" else IS_SENTINEL
        return trouble, f"set REDIS_URL or --redis to {await url_for(ask, node, scheme)}"
    if to_write and server.get("role") in ("replica", "slave"):
        role = await ask("ROLE")
        master = address_in(role[1:3], node) if isinstance(role, list) else None
        return IS_REPLICA, OTHER_URL if master is None else f"{OTHER_URL} ({scheme}://{master})"
    return None
