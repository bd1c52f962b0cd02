"""The right to stream one account: a key in Redis that names its holder and expires by itself.

Schwab gives a user one streamer connection, and a second login cuts the first (protocol 3.8), so two streamers of one
account would evict each other for ever. Whoever holds the lease streams; the others wait here as standbys. Holding is
the writer's part: it renews the lease inside each of its transactions, and Redis discards what comes too late.
"""

import asyncio
import hashlib
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import structlog
from redis.exceptions import RedisError

from schwabstream.errors import LeaseLost, RedisUnavailable
from schwabstream.redis_calls import RedisCalls
from schwabstream.redis_kind import refuse_unsuitable
from schwabstream.redis_url import translated
from schwabstream.redis_writer import Fence

log = structlog.get_logger(__name__)

LIFE_MS = 10_000
POLL_S = 1.0
ANSWER_LIMIT_S = 3.0
CONFIRM_LIMIT_S = 1.0
RETURN_GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who streams: a fencing number that rises with each change of hands, and the process it was given to."""

    number: int
    host: str
    pid: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands in Redis; ``ValueError`` when it is no holder."""
        number, _, process = text.partition(":")
        host, _, pid = process.rpartition(":")
        return cls(int(number), host, int(pid))

    def __str__(self) -> str:
        return f"{self.number}:{self.host}:{self.pid}"


def lease_key(prefix: str, customer_id: str) -> str:
    """The lease's key for one account; the customer id itself goes nowhere."""
    return f"{prefix}:lease:{hashlib.sha256(customer_id.encode()).hexdigest()[:16]}"


def describe(holder: str | None) -> str:
    """The holder as people would call it."""
    if holder is None:
        return "nobody"
    try:
        known = Holder.parse(holder)
    except ValueError:
        return "an unknown program"
    return f"host {known.host}, pid {known.pid}"


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
        self._key = ""
        self._redis = RedisCalls(redis_url, timeout_s=ANSWER_LIMIT_S)
        self._proven = False
        self.waiting_for: str | None = None
        self.waited = False

    async def reach(self) -> None:
        """Make sure that Redis answers and can be published to; raises ``RedisUnavailable`` otherwise."""
        await refuse_unsuitable(self._redis, to_write=True)

    def of_account(self, customer_id: str) -> None:
        """Say whose lease it is, before the first :meth:`take`."""
        self._key = lease_key(self._prefix, customer_id)

    async def take(self, *, wait: bool, by_force: bool = False) -> Fence:
        """The lease, ours now: at once when it is free, ``by_force`` from whoever holds it, else when it falls free.

        Without ``wait`` a lease that is held raises ``LeaseLost`` naming the holder.
        """
        told: str | None = None
        try:
            while True:
                try:
                    holder, ours = await self._try(by_force=by_force)
                except RedisUnavailable as error:
                    if not (wait and self._proven):
                        raise
                    told = self._tell(told, f"standby: {error}")
                    # Whoever streams now comes back within a second, and should keep the account.
                    await self._sleep(RETURN_GRACE_S)
                    continue
                self._proven = True
                if ours:
                    return Fence(self._key, holder, LIFE_MS)
                if not wait:
                    raise LeaseLost(
                        f"another streamer runs for this account ({describe(holder)}): stop it, wait for it with "
                        "--standby, or take over now with --take-over"
                    )
                self.waiting_for, self.waited = holder, True
                told = self._tell(told, f"standby: {describe(holder)} streams this account; taking over when it ends")
                await self._sleep(POLL_S)
        finally:
            self.waiting_for = None

    async def confirm(self, fence: Fence) -> None:
        """Return when the lease is still ours or Redis does not say within a second; raises ``LeaseLost`` otherwise.

        A lease that fell free meanwhile is ours again.
        """
        try:
            async with asyncio.timeout(CONFIRM_LIMIT_S):
                await self._redis.call("SET", fence.key, fence.holder, "NX", "PX", fence.life_ms)
                holder = await self._redis.call("GET", fence.key)
        except (RedisError, OSError, TimeoutError) as error:
            log.debug("the lease could not be confirmed", reason=str(error))
            return
        if holder != fence.holder:
            raise LeaseLost(f"another streamer took over this account ({describe(holder)})")

    async def holder(self) -> str | None:
        """Who holds the lease now, as it stands in Redis."""
        held: str | None = await self._ask("GET", self._key)
        return held

    async def close(self) -> None:
        """Let go of Redis; the lease itself is given back by its writer."""
        await self._redis.close()

    async def _try(self, *, by_force: bool) -> tuple[str, bool]:
        """Who holds the lease after one attempt to take it, and whether that is us."""
        held = await self.holder()
        if held and not by_force:
            return held, False
        numbers = f"{self._prefix}:lease:fence"
        # From the clock, so that a Redis that comes back empty does not hand out the same numbers again.
        await self._ask("SET", numbers, int(self._wall() * 1000), "NX")
        ours = str(Holder(await self._ask("INCRBY", numbers, 1), platform.node(), os.getpid()))
        await self._ask("SET", self._key, ours, "PX", LIFE_MS, *(() if by_force else ("NX",)))
        holder = await self.holder()
        if holder == ours:
            log.info("lease taken", replaces=describe(held))
        return holder or "", holder == ours

    def _tell(self, told: str | None, words: str) -> str:
        if words != told:
            log.warning(words)
        return words

    async def _ask(self, *words: str | int) -> Any:  # noqa: ANN401 - whatever the command answers
        with translated(self._redis.url):
            return await self._redis.call(*words)
