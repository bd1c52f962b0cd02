"""Looks at Redis as a streamer needs it, at the lease, and at what the running streamer says of itself."""

import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, TypeVar

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from schwabstream.diagnosis import Finding, bounded, failed, ok, unchecked, warning
from schwabstream.errors import RedisUnavailable
from schwabstream.fence import describe, digest, lease_key
from schwabstream.redis_writer import cause_of, redact_url
from schwabstream.report import parse_report

T = TypeVar("T")

PINGS = 5
SLOW_S = 0.05
_START = "start Redis or correct REDIS_URL; without one: stream run --redis embedded"
_NO_EVICTION = "set maxmemory-policy noeviction and leave room: the lease and the streams must not be evicted"


class RedisExaminer:
    """Looks at one Redis; close it when done."""

    def __init__(self, url: str, prefix: str, *, wall: Callable[[], float] = time.time) -> None:
        self._url, self._prefix, self._wall = redact_url(url), prefix, wall
        self._redis: Redis = Redis.from_url(
            url, decode_responses=True, socket_connect_timeout=3, socket_timeout=3, retry=Retry(NoBackoff(), 0)
        )

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.aclose()

    async def examine_server(self) -> list[Finding]:
        """Reachable and quick, writable, with memory rules and reader limits that suit."""
        server = await bounded("redis", self._server(), fix=_START, code=8)
        if server.code:
            return [server, *(unchecked(name, "Redis cannot be reached") for name in ("redis memory", "redis readers"))]
        return [
            server,
            await bounded("redis memory", self._memory(), fix=_START, code=8),
            await bounded("redis readers", self._readers(), fix=_START, code=8),
        ]

    async def examine_streamer(self, customer_id: str | None) -> list[Finding]:
        """Who has the account, and how the one that runs is."""
        lease = unchecked("lease", "the account is not known")
        if customer_id is not None:
            lease = await bounded("lease", self._lease(customer_id), fix=_START, code=8)
        return [lease, await bounded("report", self._report(), fix=_START, code=8)]

    async def _server(self) -> Finding:
        times = []
        for _ in range(PINGS):
            began = time.perf_counter()
            await self._ask(self._redis.ping())
            times.append(time.perf_counter() - began)
        latency = median(times)
        server = await self._info("server")
        replication = await self._info("replication")
        what = f"{self._url}: version {server.get('redis_version', 'unknown')}, {latency * 1000:.1f} ms"
        if replication.get("role") == "slave":
            return failed("", f"{what}, a read-only replica", "point REDIS_URL to the primary", 8)
        if latency > SLOW_S:
            return warning("", what, "a Redis nearer by: each batch waits that long")
        return ok("", what)

    async def _memory(self) -> Finding:
        memory = await self._info("memory")
        policy, bound = memory.get("maxmemory_policy"), int(memory.get("maxmemory", 0))
        if policy is None:
            return unchecked("", "this Redis does not tell")
        used = f"{int(memory.get('used_memory', 0)) / 2**20:.0f} MB used"
        if not bound:
            return ok("", f"{used}, no bound, policy {policy}")
        what = f"{used} of {bound / 2**20:.0f} MB, policy {policy}"
        return ok("", what) if policy == "noeviction" else warning("", what, _NO_EVICTION)

    async def _readers(self) -> Finding:
        """The output buffer limit of pub/sub readers: beyond it Redis cuts a slow one off."""
        try:
            answer: Any = await self._ask(self._redis.config_get("client-output-buffer-limit"))
        except RedisUnavailable:
            return unchecked("", "this Redis does not show its configuration")
        words = str(answer.get("client-output-buffer-limit", "")).split()
        if "pubsub" not in words:
            return unchecked("", "this Redis has no limit for readers")
        hard, soft, seconds = (int(word) for word in words[words.index("pubsub") + 1 :][:3])
        return ok("", f"a slow reader is cut off at {_bytes(hard)}, or at {_bytes(soft)} for {seconds} s")

    async def _lease(self, customer_id: str) -> Finding:
        account: Any = await self._ask(self._redis.get(f"{self._prefix}:account"))
        if account not in (None, digest(customer_id)):
            fix = "set another SCHWAB_REDIS_PREFIX, or stop that streamer"
            return failed("", "a streamer of another account publishes under this prefix", fix, 6)
        holder: Any = await self._ask(self._redis.get(lease_key(self._prefix, customer_id)))
        return ok("", "free: no streamer runs for this account" if holder is None else f"held by {describe(holder)}")

    async def _report(self) -> Finding:
        payload: Any = await self._ask(self._redis.get(f"{self._prefix}:streamer"))
        if payload is None:
            return ok("", "no streamer is running")
        try:
            report = parse_report(payload)
        except ValidationError:
            fix = "run the same version everywhere, or use another SCHWAB_REDIS_PREFIX"
            return failed("", f"what stands at {self._prefix}:streamer is no streamer's report", fix, 4)
        age_s = max(0.0, self._wall() - report.reported / 1000)
        what = f"{report.state} on {report.host}, pid {report.pid}, told {age_s:.0f} s ago"
        if report.healthy:
            return ok("", f"{what}; {len(report.symbols)} symbols")
        missing = [line.symbol for line in report.symbols if not line.fresh]
        because = report.reason if report.state != "streaming" else f"nothing yet for {', '.join(missing[:5])}"
        return failed("", f"{what}: {because}", "see schwabstream status", 4)

    async def _info(self, section: str) -> dict[str, Any]:
        """One section of INFO; empty where a Redis does not have it."""
        try:
            return dict(await self._redis.info(section))
        except ResponseError:
            return {}
        except (RedisError, OSError) as error:
            raise RedisUnavailable(f"Redis at {self._url} does not answer ({cause_of(error)})") from error

    async def _ask(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except (RedisError, OSError) as error:
            raise RedisUnavailable(f"Redis at {self._url} does not answer ({cause_of(error)})") from error


def _bytes(count: int) -> str:
    return f"{count / 2**20:.0f} MB" if count else "no bound"
