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
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError, WatchError

from schwabstream.broker.client import address_of, cancellation_heeded, redis_client
from schwabstream.broker.kind import refuse_unsuitable
from schwabstream.broker.routes import NoRoute
from schwabstream.broker.url import is_away, prefix_at, redact_url, translated
from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.escapes import safe
from schwabstream.publishing.election import POLL_S, Candidate, Found, Rival, Step, Verdict, judge
from schwabstream.publishing.fence import (
    LIFE_MS,
    SIMULATION,
    Fence,
    Holder,
    describe,
    digest,
    foreign_prefix,
    lease_key,
    tenures_key,
)
from schwabstream.report import parse_report

log = structlog.get_logger(__name__)
T = TypeVar("T")

ANSWER_LIMIT_S = 3.0
CONFIRM_LIMIT_S = 1.0


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
        bits: Callable[[int], int] = secrets.randbits,
        wall: Callable[[], float] = time.time,
    ) -> None:
        prefix = prefix_at(redis_url, prefix)
        self._prefix, self._redis_url = prefix, redis_url
        self._sleep, self._bits, self._wall = sleep, bits, wall
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
        self._connection: AbstractConnection | None = None
        self._candidate = Candidate()
        self._tenure = 0
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
        self.of_account(SIMULATION)
        with translated(self._url):
            text: Any = await self._redis.get(f"{self._prefix}:streamer")
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
        ours = str(Holder(self._bits(63), platform.node(), os.getpid()))
        await self._refuse_beside_other_databases()
        try:
            while True:
                try:
                    holder = await _heeded(self._try(ours, by_force=by_force))
                except RedisUnavailable as error:
                    if not (wait and self._candidate.connection is not None):
                        raise
                    self._candidate = self._candidate.away()
                    logged = _warn_once(logged, f"standby: {error}")
                    await self._sleep(POLL_S)
                    continue
                if holder == ours:
                    return Fence(self._key, ours, self._account_key, self._account, tenure=self._tenure)
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
        """Return when this streamer may log in, and raise ``LeaseLost`` when another streamer holds the lease.

        A lease that has become free is taken back. A Redis that does not answer in time does not prevent a login. One
        that answers and accepts no writes does, unless it still holds the lease: it may no longer be the master.
        """
        rival: Rival | None = None
        logged: str | None = None
        # On the way to a master others are asked first.
        limit_s = CONFIRM_LIMIT_S if self._redis.route.mode == "single" else ANSWER_LIMIT_S
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    found, refusal = await self._claim(fence)
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("the lease could not be confirmed", reason=str(error))
                return
            verdict, rival = judge(fence, found, rival, reconnected=True)
            if verdict is Verdict.LOST:
                raise fence.lost(found.holder, found.account)
            if verdict is Verdict.OURS or (rival is None and refusal is None):
                return
            reason = f"it holds the lease of {describe(rival.holder)}" if rival else f"{refusal}"
            logged = _warn_once(logged, f"login postponed until Redis at {self._url} confirms the lease: {reason}")
            await self._sleep(POLL_S)

    async def close(self) -> None:
        """Close the connections; the writer releases the lease."""
        await self._redis.aclose()

    async def _try(self, ours: str, *, by_force: bool) -> str | None:
        """Look once, and take the lease under the name ``ours`` if the rules allow it; returns its holder, if any."""
        tenures = tenures_key(self._prefix)
        with translated(self._url):
            await self._follow()
            # One connection from the look to the taking: another one might lead to another node.
            async with self._redis.pipeline() as redis:
                try:
                    await redis.watch(self._key, self._account_key)
                    holder: Any
                    account: Any
                    holder, account = await redis.mget(self._key, self._account_key)
                    (newest,) = await redis.zmscore(tenures, [self._account])
                    await self._refuse_foreign(account)
                    if holder == ours:  # taken, although the answer was lost
                        return ours
                    refusal = await self._refusal_of_writes(redis)
                    if refusal and (holder is None or by_force):
                        raise refusal
                    if refusal:  # a lease that nobody can renew expires although its holder lives: as in an outage
                        self._candidate = self._candidate.away()
                        return cast("str", holder)
                    self._candidate, step = self._candidate.look(holder, self._connections)
                    if step is Step.WAIT and not by_force:
                        return cast("str | None", holder)
                    # Above the newest one, and above one that a failover may have lost.
                    self._tenure = max(int(newest or 0) + 1, int(self._wall() * 1000))
                    redis.multi()
                    redis.set(self._account_key, self._account, nx=True, px=LIFE_MS)
                    redis.set(self._key, ours, nx=not by_force, px=LIFE_MS)
                    redis.zadd(tenures, {self._account: self._tenure}, gt=True)
                    *_, taken, _ = await redis.execute()
                except WatchError:  # another streamer was first, or the connection broke: the next look shows it
                    return None
        if not taken:
            raise RedisUnavailable(f"Redis at {self._url} keeps no lease at {self._key}: delete the value stored there")
        log.info("lease taken", **({"replaces": describe(holder)} if holder else {}))
        return ours

    async def _refusal_of_writes(self, redis: Redis) -> ResponseError | None:
        """Why Redis refuses a write without effect; None when it accepts one."""
        try:
            await redis.zadd(tenures_key(self._prefix), {self._account: 0}, xx=True, gt=True)
        except ResponseError as error:
            return error
        return None

    async def _claim(self, fence: Fence) -> tuple[Found, ResponseError | None]:
        """Take a free lease back; returns what Redis holds now, and why it may refuse writes."""
        refusal = None
        with contextlib.suppress(NoRoute):  # another holder at the former master still counts
            await self._follow()
        try:
            (newest,) = await self._redis.zmscore(fence.tenures_key, [fence.account])
            if newest and newest > fence.tenure:
                holder: Any = await self._redis.get(fence.key)
                return Found(holder, fence.account, 0.0, 0.0, superseded=True), None
            if await self._redis.set(fence.key, fence.holder, nx=True, px=fence.life_ms):
                await self._redis.zadd(fence.tenures_key, {fence.account: fence.tenure}, gt=True)
        except ResponseError as error:
            refusal = error if is_away(error) else None
        holder = await self._redis.get(fence.key)
        left_ms = await self._redis.pttl(fence.key)
        return Found(holder, fence.account, left_ms / 1000, asyncio.get_running_loop().time()), refusal

    async def _follow(self) -> None:
        """Close the connection if the master is elsewhere now; a demoted or isolated one still answers."""
        connection, route = self._connection, self._redis.route
        if connection is not None and route.mode != "single" and await route.find() != address_of(connection):
            await connection.disconnect()

    async def _look(self) -> None:
        """Raise ``LeaseLost`` when the prefix belongs to another account."""
        with translated(self._url):
            await self._refuse_foreign(cast("str | None", await self._redis.get(self._account_key)))

    async def _refuse_foreign(self, account: str | None) -> None:
        """Raise ``LeaseLost`` for the account of another streamer."""
        if account not in (None, self._account):
            holder: Any = await self._redis.get(f"{self._prefix}:lease:{account}")
            raise foreign_prefix(self._prefix, holder)

    async def _refuse_beside_other_databases(self) -> None:
        """Raise ``LeaseLost`` when the prefix belongs to another account in another database of this Redis.

        The databases of a Redis share its pub/sub channels. A user without the rights to look is not stopped.
        """
        if self._redis.route.mode == "cluster":  # which has one database
            return
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

    async def _greet(self, connection: AbstractConnection) -> None:
        """Note a new connection, and open it as redis-py does."""
        self._connections += 1
        self._connection = connection
        await connection.on_connect()


async def _heeded(answer: Awaitable[T]) -> T:
    """The answer of a pipeline of redis-py, unless the task was cancelled in the meantime."""
    with cancellation_heeded():
        return await answer


def _warn_once(logged: str | None, words: str) -> str:
    """Log ``words`` unless they equal the last ones ``logged``; returns them."""
    if words != logged:
        log.warning(words)
    return words
