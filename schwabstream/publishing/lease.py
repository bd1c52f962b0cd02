"""The right to stream one account: a key in Redis that names its holder and expires unless it is renewed.

Schwab allows a user one streamer connection, and a second login ends the first (protocol 3.8), so two streamers of one
account would evict each other forever. The holder of the lease streams; other streamers wait as standbys. A second
claim reserves the prefix for one account, because two accounts would mix their prices and sequence numbers. The writer
keeps both: it renews them inside its transactions, and Redis discards a transaction that comes too late.
"""

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from schwabstream.broker.client import redis_client
from schwabstream.broker.kind import refuse_unsuitable
from schwabstream.broker.url import prefix_at, redact_url, translated
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.escapes import safe
from schwabstream.publishing.fence import LIFE_MS, Fence, Holder, describe, digest, foreign_prefix, lease_key
from schwabstream.report import parse_report

log = structlog.get_logger(__name__)

POLL_S = 1.0
ANSWER_LIMIT_S = 3.0
CONFIRM_LIMIT_S = 1.0
OUTAGE_PAUSE_S = 3.0
RETURN_GRACE_S = 5.0
"""When Redis returns, a writer's attempt to connect can take another 3 s, and the next attempt starts 1 s later."""
VANISHED_GRACE_S = 2.0
"""A writer takes a deleted lease back with its next report, which is due within a second."""
_SIMULATION = "simulation"


class Lease:
    """The lease of one account in the Redis at ``redis_url``; raises ``RedisUnavailable`` or ``LeaseLost``.

    ``waiting_for`` is the current holder while :meth:`take` waits, else None; ``waited``: whether it ever waited. Close
    it when done.
    """

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], float] = time.time,
    ) -> None:
        prefix = prefix_at(redis_url, prefix)
        self._prefix, self._redis_url = prefix, redis_url
        self._sleep, self._wall = sleep, wall
        self._key = self._account = ""
        self._account_key = f"{prefix}:owner"
        self._url, self._connections = redact_url(redis_url), 0
        # One retry, because a connection that died during a pause does not mean that Redis is away.
        self._redis = redis_client(
            redis_url,
            prefix,
            timeout_s=ANSWER_LIMIT_S,
            retries=1,
            decode_responses=True,
            redis_connect_func=self._greet,
        )
        self._proven = False
        self._grace_s = 0.0
        self.waiting_for: str | None = None
        self.waited = False

    async def reach(self) -> None:
        """Check that Redis answers and accepts writes; raises ``RedisUnavailable`` otherwise."""
        await refuse_unsuitable(self._redis, self._url, to_write=True)

    def of_account(self, customer_id: str) -> None:
        """Set the account; call it before the first :meth:`take`."""
        self._key, self._account = lease_key(self._prefix, customer_id), digest(customer_id)

    async def of_simulation(self) -> None:
        """Set a simulation in place of an account; raises ``LeaseLost`` while a live streamer uses the prefix."""
        self.of_account(_SIMULATION)
        text = await self._ask(self._redis.get(f"{self._prefix}:streamer"))
        try:
            report = None if text is None else parse_report(text)
        except ValidationError:
            report = None
        if report is not None and not report.simulated and report.state != "stopped":
            raise LeaseLost(
                f"a live streamer publishes under the prefix {safe(self._prefix)!r} (host {safe(report.host)}, pid "
                f"{report.pid}), and simulated prices must not mix with live ones: leave out --redis, or set another "
                "SCHWAB_REDIS_PREFIX"
            )
        await self._look()
        await self._refuse_beside_other_databases()

    async def take(self, *, wait: bool, by_force: bool = False) -> Fence:
        """Take the lease and return its fence: at once when it is free or ``by_force``, else when it becomes free.

        A lease that becomes free during the wait stays reserved for its holder for a moment, because the holder may
        return from an outage. Without ``wait``, a lease that is held raises ``LeaseLost`` with the name of the holder.
        So does, at any time, a prefix that belongs to another account.
        """
        logged: str | None = None
        await self._refuse_beside_other_databases()
        try:
            while True:
                try:
                    holder, ours = await self._try(by_force=by_force)
                except RedisUnavailable as error:
                    if not (wait and self._proven):
                        raise
                    logged = _warn_once(logged, f"standby: {error}")
                    self._grace_s = RETURN_GRACE_S
                    await self._sleep(OUTAGE_PAUSE_S)
                    continue
                self._proven = True
                if ours and holder:
                    return Fence(self._key, holder, self._account_key, self._account)
                if holder and not wait:
                    raise LeaseLost(
                        f"another streamer holds this account ({describe(holder)}): stop it, wait for it with "
                        "--standby, or take over now with --take-over"
                    )
                if holder:
                    self.waiting_for, self.waited = holder, True
                    words = f"standby: {describe(holder)} streams this account; taking over when it ends"
                    logged = _warn_once(logged, words)
                await self._sleep(POLL_S)
        finally:
            self.waiting_for = None

    async def confirm(self, fence: Fence) -> None:
        """Raise ``LeaseLost`` when another streamer holds the lease; return when Redis does not answer in a second.

        A lease that has become free is taken back.
        """
        try:
            async with asyncio.timeout(CONFIRM_LIMIT_S):
                await self._redis.set(fence.key, fence.holder, nx=True, px=fence.life_ms)
                holder: Any = await self._redis.get(fence.key)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("the lease could not be confirmed", reason=str(error))
            return
        if holder != fence.holder:
            raise LeaseLost(f"another streamer took over this account ({describe(holder)})")

    async def close(self) -> None:
        """Close the connections; the writer releases the lease."""
        await self._redis.aclose()

    async def _try(self, *, by_force: bool) -> tuple[str | None, bool]:
        """Look once, or try once to take the lease; returns its holder, and whether that is this process."""
        connections = self._connections
        held = await self._look()
        if self._proven and self._connections > connections:
            self._grace_s = RETURN_GRACE_S  # Redis was away between two looks
        elif held:
            self._grace_s = VANISHED_GRACE_S
        if held and not by_force:
            return held, False
        if self._grace_s > 0 and not by_force:
            self._grace_s -= POLL_S
            return None, False
        return await self._take(held, by_force=by_force)

    async def _take(self, held: str | None, *, by_force: bool) -> tuple[str, bool]:
        """Try to take the lease; returns its holder, and whether that is this process."""
        await self._ask(self._redis.set(self._account_key, self._account, nx=True, px=LIFE_MS))
        await self._look()  # raises when another account was first
        numbers = f"{self._prefix}:lease:fence"
        # Start at the clock, so that a Redis that returns empty does not issue the same numbers again.
        await self._ask(self._redis.set(numbers, int(self._wall() * 1000), nx=True))
        ours = str(Holder(await self._ask(self._redis.incr(numbers)), platform.node(), os.getpid()))
        await self._ask(self._redis.set(self._key, ours, nx=not by_force, px=LIFE_MS))
        holder = await self._look()
        if holder is None:
            raise RedisUnavailable(f"Redis at {self._url} keeps no lease at {self._key}: delete the value stored there")
        if holder == ours:
            log.info("lease taken", **({"replaces": describe(held)} if held else {}))
        return holder, holder == ours

    async def _look(self) -> str | None:
        """The holder of the lease; raises ``LeaseLost`` when the prefix belongs to another account."""
        holder: str | None
        holder, account = await self._ask(self._redis.mget(self._key, self._account_key))
        if account not in (None, self._account):
            raise foreign_prefix(self._prefix, await self._ask(self._redis.get(f"{self._prefix}:lease:{account}")))
        return holder

    async def _refuse_beside_other_databases(self) -> None:
        """Raise ``LeaseLost`` when the prefix belongs to another account in another database of this Redis.

        The databases of a Redis share its pub/sub channels. A user without the rights to look is not stopped.
        """
        with contextlib.suppress(RedisError, OSError):  # the other commands report an outage
            mine = self._redis.connection_pool.connection_kwargs.get("db", 0)
            for name in await self._redis.info("keyspace"):
                number = int(name.removeprefix("db"))
                if number == mine:
                    continue
                other: Any = redis_client(
                    self._redis_url, self._prefix, timeout_s=ANSWER_LIMIT_S, decode_responses=True
                )
                other.connection_pool.connection_kwargs["db"] = number
                async with other:
                    account = await other.get(self._account_key)
                    if account not in (None, self._account):
                        raise foreign_prefix(self._prefix, await other.get(f"{self._prefix}:lease:{account}"))

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        with translated(self._url):
            return await answer

    async def _greet(self, connection: AbstractConnection) -> None:
        """Count a new connection, and open it as redis-py does."""
        self._connections += 1
        await connection.on_connect()


def _warn_once(logged: str | None, words: str) -> str:
    """Log ``words`` unless they equal the last ones ``logged``; returns them."""
    if words != logged:
        log.warning(words)
    return words
