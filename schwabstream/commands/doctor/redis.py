"""The checks of Redis: the server, the lease, and the report of the running streamer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, TypeVar

from pydantic import ValidationError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from schwabstream.broker.client import redis_client
from schwabstream.broker.kind import find_unsuitable
from schwabstream.broker.url import START, diagnose, prefix_at, redact_url, translated
from schwabstream.commands.doctor.findings import Finding, bounded, failed, ok, unchecked, warning
from schwabstream.commands.doctor.topology import TOPOLOGY_FINDINGS, examine_topology
from schwabstream.consumer.conflation import LAST_VALUE_CHANNELS
from schwabstream.errors import RedisUnavailable
from schwabstream.events import Channel
from schwabstream.publishing.fence import describe, digest, lease_key
from schwabstream.report import parse_report
from schwabstream.terminal.text import counted

T = TypeVar("T")

PINGS = 5
SLOW_S = 0.05
ANSWER_LIMIT_S = 3.0
_MORE_FINDINGS = ("redis keys", "redis memory", "redis readers", "redis wanted")
SERVER_FINDINGS = ("redis", TOPOLOGY_FINDINGS[0], *_MORE_FINDINGS)
_GRANT = "give this user +zrangebyscore +zrevrangebyscore +zremrangebyscore +pubsub|channels"
_NO_EVICTION = "set maxmemory-policy noeviction and leave room: the lease and the streams must not be evicted"


class RedisExaminer:
    """Checks one Redis; close it when done. ``max_symbols`` and ``symbol_channels`` are those settings."""

    def __init__(
        self,
        url: str,
        prefix: str,
        *,
        max_symbols: int,
        symbol_channels: bool,
        wall: Callable[[], float] = time.time,
    ) -> None:
        prefix = prefix_at(url, prefix)
        self._whole_url, self._url, self._prefix, self._wall = url, redact_url(url), prefix, wall
        self._max_symbols, self._symbol_channels = max_symbols, symbol_channels
        self._redis = redis_client(url, prefix, timeout_s=ANSWER_LIMIT_S, decode_responses=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def examine_server(self) -> list[Finding]:
        """Whether it is reachable and fast, and suits the streamer: topology, keys, memory, limits and permissions."""
        server, topology = await asyncio.gather(
            bounded("redis", self._server(), fix=START, code=8), examine_topology(self._whole_url, self._prefix)
        )
        if server.code:
            return [server, *topology, *(unchecked(name, "Redis cannot be used") for name in _MORE_FINDINGS)]
        return [
            server,
            *topology,
            await bounded("redis keys", self._keys(), fix=START, code=8),
            await bounded("redis memory", self._memory(), fix=START, code=8),
            await bounded("redis readers", self._readers(), fix=START, code=8),
            await bounded("redis wanted", self._wanted(), fix=START, code=8),
        ]

    async def examine_streamer(self, customer_id: str | None) -> list[Finding]:
        """Which streamer holds the account, and whether it is healthy."""
        lease = unchecked("lease", "the account is unknown")
        if customer_id is not None:
            lease = await bounded("lease", self._lease(customer_id), fix=START, code=8)
        return [lease, await bounded("report", self._report(), fix=START, code=8)]

    async def _server(self) -> Finding:
        times = []
        try:
            for _ in range(PINGS):
                began = time.perf_counter()
                await self._redis.execute_command("PING")
                times.append(time.perf_counter() - began)
            wrong = await find_unsuitable(self._redis, to_write=True)
        except (RedisError, OSError) as error:
            return failed("", *diagnose(self._url, error), 8)
        latency = median(times)
        server = await self._info("server")
        what = f"{self._url}: version {server.get('redis_version', 'unknown')}, {latency * 1000:.1f} ms"
        if wrong:
            return failed("", f"Redis at {self._url} {wrong[0]}", wrong[1], 8)
        if latency > SLOW_S:
            return warning("", what, "use a nearer Redis: every batch waits this long")
        return ok("", what)

    async def _keys(self) -> Finding:
        """Whether another program uses a key that the streamer writes to."""
        wrong = []
        for key, kind in keys_of(self._prefix).items():
            try:
                found: Any = await self._redis.type(key)
            except ResponseError:
                return unchecked("", "this user has no permission for TYPE")
            if found not in ("none", kind):
                wrong.append(f"{key} holds a {found} and must be a {kind}")
        if not wrong:
            return ok("", f"the keys under {self._prefix} are free or of the right type")
        return failed("", "; ".join(wrong), "rename or delete the key, or set another SCHWAB_REDIS_PREFIX", 8)

    async def _memory(self) -> Finding:
        memory = await self._info("memory")
        policy, bound = memory.get("maxmemory_policy"), int(memory.get("maxmemory", 0))
        if policy is None:
            return unchecked("", "this Redis does not report it")
        used = f"{int(memory.get('used_memory', 0)) / 2**20:.0f} MB used"
        if not bound:
            return ok("", f"{used}, no limit, policy {policy}")
        what = f"{used} of {bound / 2**20:.0f} MB, policy {policy}"
        return ok("", what) if policy == "noeviction" else warning("", what, _NO_EVICTION)

    async def _readers(self) -> Finding:
        """The output buffer limit of pub/sub: Redis disconnects a slow reader that exceeds it."""
        try:
            answer: Any = await self._ask(self._redis.config_get("client-output-buffer-limit"))
        except RedisUnavailable:
            return unchecked("", "this Redis does not show its configuration")
        words = str(answer.get("client-output-buffer-limit", "")).split()
        if "pubsub" not in words:
            return unchecked("", "this Redis has no limit for readers")
        hard, soft, seconds = (int(word) for word in words[words.index("pubsub") + 1 :][:3])
        return ok("", f"a slow reader is disconnected at {_bytes(hard)}, or at {_bytes(soft)} for {seconds} s")

    async def _wanted(self) -> Finding:
        """Whether the streamer can read which symbols are wanted while it runs."""
        key, pipeline = f"{self._prefix}:wanted", self._redis.pipeline(transaction=False)
        pipeline.zrangebyscore(key, "+inf", "+inf", 0, 1)
        pipeline.zrevrangebyscore(key, "+inf", "+inf", 0, 1)
        pipeline.zremrangebyscore(key, "(0", "0")  # matches nothing
        if self._symbol_channels:
            pipeline.pubsub_channels(f"{self._prefix}:ticks:")
        answers: list[Any] = await self._ask(pipeline.execute(raise_on_error=False))
        if error := next((answer for answer in answers if isinstance(answer, Exception)), None):
            what = f"only configured symbols can be streamed, because Redis does not show the wanted ones: {error}"
            return warning("", what, _GRANT if isinstance(error, NoPermissionError) else f"rename or delete {key}")
        listening = "; listening to the channel of a symbol requests it" if self._symbol_channels else ""
        return ok("", f"at most {counted(self._max_symbols, 'symbol')}, configured or requested by readers{listening}")

    async def _lease(self, customer_id: str) -> Finding:
        account: Any = await self._ask(self._redis.get(f"{self._prefix}:owner"))
        if account not in (None, digest(customer_id)):
            fix = "set another SCHWAB_REDIS_PREFIX, or stop that streamer"
            return failed("", "a streamer of another account publishes under this prefix", fix, 6)
        holder: Any = await self._ask(self._redis.get(lease_key(self._prefix, customer_id)))
        return ok("", "free: no streamer holds this account" if holder is None else f"held by {describe(holder)}")

    async def _report(self) -> Finding:
        payload: Any = await self._ask(self._redis.get(f"{self._prefix}:streamer"))
        if payload is None:
            return ok("", "no streamer is running")
        try:
            report = parse_report(payload)
        except ValidationError:
            fix = "run the same version everywhere, or use another SCHWAB_REDIS_PREFIX"
            return failed("", f"the value of {self._prefix}:streamer is not the report of a streamer", fix, 4)
        age_s = max(0.0, self._wall() - report.reported / 1000)
        what = f"{report.state} on {report.host}, pid {report.pid}, reported {age_s:.0f} s ago"
        if report.healthy:
            return ok("", f"{what}; {counted(len(report.symbols), 'symbol')}")
        because = report.trouble if report.state == "streaming" else report.reason
        missing = [line.symbol for line in report.symbols if not line.fresh]
        names = f" ({', '.join(missing[:5])})" if missing and report.state == "streaming" else ""
        return failed("", f"{what}: {because}{names}", "see schwabstream status", 4)

    async def _info(self, section: str) -> dict[str, Any]:
        """One section of INFO; empty where a Redis does not have it."""
        try:
            with translated(self._url):
                return dict(await self._redis.info(section))
        except RedisUnavailable as error:
            if isinstance(error.__cause__, ResponseError):
                return {}
            raise

    async def _ask(self, answer: Awaitable[T]) -> T:
        with translated(self._url):
            return await answer


def keys_of(prefix: str) -> dict[str, str]:
    """Every key that the streamer writes events to, with its type."""
    streams = {f"{prefix}:stream:{channel}": "stream" for channel in Channel}
    last = {f"{prefix}:last:{channel}": "hash" for channel in Channel if channel in LAST_VALUE_CHANNELS}
    return streams | last | {f"{prefix}:instruments": "hash"}


def _bytes(count: int) -> str:
    return f"{count / 2**20:.0f} MB" if count else "no limit"
