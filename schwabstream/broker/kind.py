"""Checks the kind of Redis: replicas, Sentinels and nodes of a Cluster cannot serve a streamer.

Checked once, before any other command, because an unsuitable Redis may accept the first commands and refuse only the
batches.
"""

from itertools import pairwise
from typing import Any

from redis.exceptions import ResponseError

from schwabstream.broker.client import RedisClient, redis_client
from schwabstream.broker.url import NO_CLUSTER, NO_SENTINEL, OTHER_URL, REPLICA, redact_url, translated
from schwabstream.errors import RedisUnsuitable
from schwabstream.escapes import safe

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
    """Why it can never serve, and the next step: a Sentinel, a node of a Cluster or, ``to_write``, a replica.

    None when it can serve or its kind is unknown. The next step names the primary when Redis does. ``redis`` must
    decode its answers. Raises redis-py's errors.
    """
    try:
        server = _pairs(await redis.execute_command("HELLO"))  # no ACL can forbid it
    except ResponseError:  # before Redis 6, or a proxy
        return None
    if server.get("mode") == "cluster" and redis.route.mode != "cluster":
        return NO_CLUSTER, OTHER_URL
    if server.get("mode") == "sentinel":
        masters = [_pairs(master) for master in await _asked(redis, "SENTINEL", "MASTERS")]
        return NO_SENTINEL, _give([(master.get("ip"), master.get("port")) for master in masters])
    if to_write and server.get("role") in ("replica", "slave"):
        return REPLICA, _give([tuple((await _asked(redis, "ROLE"))[1:3])])
    return None


async def _asked(redis: RedisClient, *words: str) -> list[Any]:
    """The answer; empty when this user lacks the right to ask."""
    try:
        return list(await redis.execute_command(*words))
    except ResponseError:
        return []


def _give(places: list[tuple[Any, ...]]) -> str:
    """The next step: use the URL of the primary at one of these hosts and ports."""
    urls = [
        f"redis://{safe(str(place[0]))}:{safe(str(place[1]))}" for place in places if len(place) == 2 and all(place)
    ]
    return f"set REDIS_URL or --redis to the URL of its primary ({' or '.join(urls)})" if urls else OTHER_URL


def _pairs(answer: Any) -> dict[str, Any]:
    """Names and values, from a flat list (RESP2) or a map (RESP3)."""
    if isinstance(answer, dict):
        return answer
    return dict(list(pairwise(answer))[::2]) if isinstance(answer, list) else {}
