"""Wishes: the symbols that programs ask the streamer for, in the sorted set ``<prefix>:wanted``.

The member is the symbol as the user wrote it, the score the time at which the wish expires. A reader renews its
wishes while it runs and lets them expire: withdrawing a wish would also end that of another reader of the symbol. A
wish that never expires is one of ``stream add``.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Protocol, Self

import structlog
from redis.asyncio.client import Redis
from redis.exceptions import ResponseError

from schwabstream.broker.url import is_away
from schwabstream.errors import RedisUnavailable
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import StreamerReport

log = structlog.get_logger(__name__)

RENEW_EVERY_S: Final = 20.0
LIFE_S: Final = 60.0
LOOK_EVERY_S: Final = 1.0


class Asking(Protocol):
    """What :class:`Wishes` needs of a subscription."""

    async def fetch_report(self) -> StreamerReport | None:
        """The running streamer's report; None when none is running. Raises ``RedisUnavailable``."""

    async def ask_for(self, symbols: Iterable[str], until_s: float) -> None:
        """Ask the streamer for symbols until that time, in seconds since the epoch. Raises ``RedisUnavailable``."""


class Wishes:
    """Asks for the symbols that are not configured, for the duration of an ``async with`` block.

    Calls ``take`` with each report of the streamer that it reads: every second until each symbol is streamed or
    refused, and each time it renews the wishes. ``refusal`` is why Redis does not accept the wishes; None if it does.
    """

    def __init__(
        self,
        symbols: Iterable[Symbol],
        subscription: Asking,
        take: Callable[[StreamerReport | None], None] = lambda _report: None,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._by_key = {symbol.key: symbol for symbol in reversed(list(symbols))}
        self._subscription, self._take, self._now_s = subscription, take, now_s
        self._renew_at = -math.inf
        self._task: asyncio.Task[None] | None = None
        self.refusal: str | None = None

    async def __aenter__(self) -> Self:
        pause_s = await self.look()
        self._task = asyncio.create_task(self._keep_looking(pause_s), name="wishes")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def look(self) -> float:
        """Read the report and renew the wishes that are due; returns the seconds until the next look."""
        try:
            report = await self._subscription.fetch_report()
        except RedisUnavailable as error:  # the subscription reports an outage
            return RENEW_EVERY_S if _is_refusal(error) else LOOK_EVERY_S
        now_s = self._now_s()
        if now_s >= self._renew_at and await self._renew(report, now_s):
            self._renew_at = now_s + RENEW_EVERY_S
        self._take(report)
        return LOOK_EVERY_S if self._unanswered(report) else max(LOOK_EVERY_S, self._renew_at - now_s)

    async def _keep_looking(self, pause_s: float) -> None:
        while True:
            await asyncio.sleep(pause_s)
            pause_s = await self.look()

    async def _renew(self, report: StreamerReport | None, now_s: float) -> bool:
        """Write the wishes; False when Redis is away. A replay streams no symbol on request."""
        if report is not None and not report.symbols:
            return True
        lines = report.by_key() if report else {}
        wanted = [
            lines[key].symbol if key in lines else symbol.alias
            for key, symbol in self._by_key.items()
            if key not in lines or lines[key].source != "configured"
        ]
        try:
            if wanted:
                await self._subscription.ask_for(wanted, now_s + LIFE_S)
        except RedisUnavailable as error:
            if not _is_refusal(error):
                return False
            if self.refusal is None:
                log.warning("cannot ask the streamer for symbols", reason=str(error))
            self.refusal = str(error)
        else:
            self.refusal = None
        return True

    def _unanswered(self, report: StreamerReport | None) -> bool:
        """Whether a running streamer neither streams nor refuses a symbol."""
        if report is None or not report.symbols:
            return False
        lines = report.by_key()
        return any(key not in lines and symbol.alias not in report.refused for key, symbol in self._by_key.items())


def _is_refusal(error: RedisUnavailable) -> bool:
    """Whether Redis answered and refused the command, as opposed to an outage."""
    return isinstance(error.__cause__, ResponseError) and not is_away(error.__cause__)


class WantedSet:
    """The sorted set of all wishes; its methods raise redis-py's errors."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client, self._name = client, f"{prefix}:wanted"

    async def renew(self, symbols: Iterable[str], until_s: float) -> None:
        """Let the wishes for these symbols expire at ``until_s`` or, if someone wants them for longer, later."""
        await self._client.zadd(self._name, dict.fromkeys(symbols, until_s), gt=True)

    async def expiries(self, symbols: Iterable[str]) -> dict[str, float]:
        """When the wish for each of these symbols expires, in seconds since the epoch; without those without a wish."""
        names = list(symbols)
        scores = await self._client.zmscore(self._name, names)
        return {name: score for name, score in zip(names, scores, strict=True) if score is not None}

    async def restore(self, symbols: Iterable[str], before: Mapping[str, float]) -> None:
        """Make the wishes for these symbols what they were before; one without an expiry there is deleted."""
        for symbol in symbols:
            if symbol in before:
                await self._client.zadd(self._name, {symbol: before[symbol]})
            else:
                await self._client.zrem(self._name, symbol)
