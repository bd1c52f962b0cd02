"""The right to stream one account: a key in Redis that names its holder and expires by itself.

Schwab gives a user one streamer connection, and a second login cuts the first (protocol 3.8), so two streamers of one
account would evict each other forever. The holder of the lease streams; the others wait here as standbys. A prefix
belongs to one account, for two would mix their prices and numbers: a second claim holds that. Holding both is the
writer's part: it renews them inside its transactions, and Redis discards what comes too late.
"""

import asyncio
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
from schwabstream.broker.url import redact_url, translated
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
"""A writer's attempt to connect may be 3 s from its end when Redis comes back, and the next one begins 1 s later."""
VANISHED_GRACE_S = 2.0
"""A writer takes back a lease that was deleted with its next report, which is due within a second."""
_SIMULATION = "simulation"


class Lease:
    """Takes the lease of one account in the Redis at ``redis_url``; errors are ``RedisUnavailable`` or ``LeaseLost``.

    ``waiting_for`` says who streams while :meth:`take` waits, and is None otherwise; ``waited`` whether it ever had to.
    Close it when done.
    """

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._prefix = prefix
        self._sleep, self._wall = sleep, wall
        self._key = self._account = ""
        self._account_key = f"{prefix}:owner"
        self._url, self._connections = redact_url(redis_url), 0
        # One retry: a connection that died during a pause must not pass for a Redis that is away.
        self._redis = redis_client(
            redis_url, timeout_s=ANSWER_LIMIT_S, retries=1, decode_responses=True, redis_connect_func=self._greet
        )
        self._proven = False
        self._grace_s = 0.0
        self.waiting_for: str | None = None
        self.waited = False

    async def reach(self) -> None:
        """Make sure that Redis answers and can be published to; raises ``RedisUnavailable`` otherwise."""
        await refuse_unsuitable(self._redis, self._url, to_write=True)

    def of_account(self, customer_id: str) -> None:
        """Say whose lease it is, before the first :meth:`take`."""
        self._key, self._account = lease_key(self._prefix, customer_id), digest(customer_id)

    async def of_simulation(self) -> None:
        """Say, instead of :meth:`of_account`, that prices are made up; raises ``LeaseLost`` beside a live streamer."""
        self.of_account(_SIMULATION)
        text = await self._ask(self._redis.get(f"{self._prefix}:streamer"))
        try:
            report = None if text is None else parse_report(text)
        except ValidationError:
            report = None
        if report is not None and not report.simulated and report.state != "stopped":
            raise LeaseLost(
                f"a live streamer publishes under the prefix {safe(self._prefix)!r} (host {safe(report.host)}, pid "
                f"{report.pid}), and made-up prices must not mix with its own: leave out --redis, or set another "
                "SCHWAB_REDIS_PREFIX"
            )
        await self._look()

    async def take(self, *, wait: bool, by_force: bool = False) -> Fence:
        """The lease, ours now: at once when it is free, ``by_force`` from its holder, else when it falls free.

        One that falls free while this waits is left to its holder for a moment, who may be back from an outage.
        Without ``wait`` a lease that is held raises ``LeaseLost`` naming the holder. A prefix that belongs to another
        account raises it at any time.
        """
        logged: str | None = None
        try:
            while True:
                try:
                    holder, ours = await self._try(by_force=by_force)
                except RedisUnavailable as error:
                    if not (wait and self._proven):
                        raise
                    logged = _warn_of_news(logged, f"standby: {error}")
                    self._grace_s = RETURN_GRACE_S
                    await self._sleep(OUTAGE_PAUSE_S)
                    continue
                self._proven = True
                if ours and holder:
                    return Fence(self._key, holder, self._account_key, self._account)
                if holder and not wait:
                    raise LeaseLost(
                        f"another streamer runs for this account ({describe(holder)}): stop it, wait for it with "
                        "--standby, or take over now with --take-over"
                    )
                if holder:
                    self.waiting_for, self.waited = holder, True
                    words = f"standby: {describe(holder)} streams this account; taking over when it ends"
                    logged = _warn_of_news(logged, words)
                await self._sleep(POLL_S)
        finally:
            self.waiting_for = None

    async def confirm(self, fence: Fence) -> None:
        """Return when the lease is still ours or Redis does not say within a second; raises ``LeaseLost`` otherwise.

        A lease that fell free meanwhile is ours again.
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
        """Let go of Redis; the lease itself is given back by its writer."""
        await self._redis.aclose()

    async def _try(self, *, by_force: bool) -> tuple[str | None, bool]:
        """Who holds the lease after one look, or one attempt to take it, and whether that is us."""
        connections = self._connections
        held = await self._look()
        if self._proven and self._connections > connections:
            self._grace_s = RETURN_GRACE_S  # Redis went and came back between two looks
        elif held:
            self._grace_s = VANISHED_GRACE_S
        if held and not by_force:
            return held, False
        if self._grace_s > 0 and not by_force:
            self._grace_s -= POLL_S
            return None, False
        return await self._take(held, by_force=by_force)

    async def _take(self, held: str | None, *, by_force: bool) -> tuple[str, bool]:
        """Who holds the lease after an attempt to take it, and whether that is us."""
        await self._ask(self._redis.set(self._account_key, self._account, nx=True, px=LIFE_MS))
        await self._look()  # another account that was a moment earlier ends this here
        numbers = f"{self._prefix}:lease:fence"
        # From the clock, so that a Redis that comes back empty does not hand out the same numbers again.
        await self._ask(self._redis.set(numbers, int(self._wall() * 1000), nx=True))
        ours = str(Holder(await self._ask(self._redis.incr(numbers)), platform.node(), os.getpid()))
        await self._ask(self._redis.set(self._key, ours, nx=not by_force, px=LIFE_MS))
        holder = await self._look()
        if holder is None:
            raise RedisUnavailable(f"Redis at {self._url} keeps no lease at {self._key}: delete what is stored there")
        if holder == ours:
            log.info("lease taken", replaces=describe(held))
        return holder, holder == ours

    async def _look(self) -> str | None:
        """Who holds the lease; raises ``LeaseLost`` when the prefix is another account's."""
        holder: str | None
        holder, account = await self._ask(self._redis.mget(self._key, self._account_key))
        if account not in (None, self._account):
            raise foreign_prefix(self._prefix, await self._ask(self._redis.get(f"{self._prefix}:lease:{account}")))
        return holder

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        with translated(self._url):
            return await answer

    async def _greet(self, connection: AbstractConnection) -> None:
        """Count a new connection, and open it as redis-py does."""
        self._connections += 1
        await connection.on_connect()


def _warn_of_news(logged: str | None, words: str) -> str:
    """Log the words unless they were the last ones ``logged``; returns them."""
    if words != logged:
        log.warning(words)
    return words
