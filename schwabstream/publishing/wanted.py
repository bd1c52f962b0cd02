"""Reads from Redis which symbols somebody wants streamed: the set of wishes, and the symbol channels with listeners.

Polls once a second on a connection that the writer does not use. While Redis is away the last wishes stay, so that its
outage releases nothing.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from schwabstream.broker.client import heed_cancellation
from schwabstream.broker.url import prefix_at
from schwabstream.broker.watch import FollowingClient
from schwabstream.protocol.symbols import MAX_LENGTH
from schwabstream.report import Source

log = structlog.get_logger(__name__)

POLL_S = 1.0
ANSWER_LIMIT_S = 3.0
RAREST_S = 5.0
LARGEST_SHARE = 0.03
"""The share of a core for polling: after a poll that costs more the next one comes later, ``RAREST_S`` at most."""
MOST_WISHES = 10_000
"""The most wishes read of each kind; of more, the ones of the last poll come first."""
CLEAN_UP_EVERY = 60
_LISTENED = ("ticks", "level2")


class WishPoll:
    """Passes the wishes under ``prefix`` to ``take``, texts with their sources, after each poll of :meth:`run`.

    With ``symbol_channels``, a symbol whose channel has a listener is wished too.
    """

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        take: Callable[[Mapping[str, Source]], None],
        *,
        symbol_channels: bool = True,
        wall: Callable[[], float] = time.time,
        cpu_s: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        prefix = prefix_at(redis_url, prefix)
        self._following = FollowingClient(redis_url, prefix, timeout_s=ANSWER_LIMIT_S, decode_responses=True)
        self._redis = self._following.redis
        self._key, self._take, self._wall, self._sleep = f"{prefix}:wanted", take, wall, sleep
        self._cpu_s = cpu_s
        self._channels = tuple(f"{prefix}:{channel}:" for channel in _LISTENED) if symbol_channels else ()
        self._listing = "SHARDCHANNELS" if self._redis.route.mode == "cluster" else "CHANNELS"
        self._answers: list[list[str]] = [[] for _ in range(2 + len(self._channels))]
        self._denied: set[str] = set()
        self._is_away = False

    async def run(self) -> None:
        """Poll until cancelled."""
        polls = 0
        try:
            # A demoted master answers, and nobody listens there any more: that would release every symbol.
            async with self._following.following():
                while True:
                    before_s = self._cpu_s()
                    await self.poll(clean_up=polls % CLEAN_UP_EVERY == 0)
                    polls += 1
                    # Not the time that passed: Redis may be slow to answer, and the first poll connects.
                    await self._sleep(min(RAREST_S, max(POLL_S, (self._cpu_s() - before_s) / LARGEST_SHARE)))
        finally:
            await self.close()

    async def close(self) -> None:
        """Release the connection."""
        await self._redis.aclose()

    async def poll(self, *, clean_up: bool = False) -> None:
        """Ask Redis once, and pass on the wishes; ``clean_up`` also removes those that have expired."""
        now = self._wall()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrangebyscore(self._key, "+inf", "+inf", 0, MOST_WISHES)
        pipeline.zrevrangebyscore(self._key, "(+inf", f"({now}", 0, MOST_WISHES)
        for channel in self._channels:
            pipeline.execute_command("PUBSUB", self._listing, f"{_literal(channel)}*")
        if clean_up:
            pipeline.zremrangebyscore(self._key, "-inf", now)
        try:
            async with self._following.call():
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
                for number, before in enumerate(self._answers):
                    if isinstance(answers[number], list) and len(answers[number]) >= MOST_WISHES:
                        answers[number] = await self._oldest_first(number, before, answers[number], now)
        except (RedisError, OSError) as error:
            if not self._is_away:
                log.info("cannot read the wanted symbols; keeping the last ones", reason=str(error))
            self._is_away = True
            return
        heed_cancellation()
        self._is_away = False
        for number, answer in enumerate(answers[: len(self._answers)]):
            self._note(number, answer)
        self._take(self._wishes())

    async def _oldest_first(self, number: int, before: list[str], answer: list[str], now: float) -> list[str]:
        """An answer with too many wishes to read: those of the last poll come first, so that a flood ends none."""
        lasting = set(answer)
        gone = [text for text in before if text not in lasting] if number < 2 else []
        for text, score in zip(gone, await self._redis.zmscore(self._key, gone) if gone else (), strict=True):
            if score is not None and score > now and (score == math.inf) is (number == 0):
                lasting.add(text)
        return list(dict.fromkeys([*(text for text in before if text in lasting), *answer]))

    def _note(self, number: int, answer: Any) -> None:
        """Keep an answer; a missing right or a key of another kind means no wishes, any other error changes nothing."""
        if not isinstance(answer, Exception):
            self._answers[number] = answer[:MOST_WISHES]
        elif isinstance(answer, NoPermissionError) or _is_wrong_type(answer):
            self._answers[number] = []
            name = self._key if number < 2 else self._channels[number - 2]
            if name not in self._denied:
                self._denied.add(name)
                log.warning("Redis does not show which symbols are wanted", name=name, reason=str(answer))

    def _wishes(self) -> dict[str, Source]:
        """The texts of all wishes, those added for good first; longer than any symbol they are cut."""
        added, expiring, *listened = self._answers
        wishes: dict[str, Source] = {}
        for text in added:
            wishes[text[: MAX_LENGTH + 1]] = "added"
        for text in reversed(expiring):
            wishes.setdefault(text[: MAX_LENGTH + 1], "wanted")
        for channel, names in zip(self._channels, listened, strict=True):
            for name in names:
                wishes.setdefault(name[len(channel) :][: MAX_LENGTH + 1], "wanted")
        wishes.pop("", None)
        return wishes


def _literal(text: str) -> str:
    """The text as a pattern of Redis that matches only itself."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", text)


def _is_wrong_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")
