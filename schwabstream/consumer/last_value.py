"""The last tick of one symbol, read once. Does not wait for one, and asks neither Schwab nor the streamer."""

import asyncio
from collections.abc import Iterable
from datetime import date

from pydantic import ValidationError

from schwabstream.broker.calls import RedisCalls
from schwabstream.broker.kind import refuse_unsuitable
from schwabstream.broker.url import translated
from schwabstream.consumer.event_header import read_header
from schwabstream.consumer.loop_thread import LoopThread
from schwabstream.consumer.subscription import CONNECT_TIMEOUT_S, DEFAULT_PREFIX, DEFAULT_URL
from schwabstream.events import Channel, TickEvent, parse_event
from schwabstream.protocol.symbols import Symbol, parse_symbol


def last(symbol: str, *, redis_url: str = DEFAULT_URL, prefix: str = DEFAULT_PREFIX) -> TickEvent | None:
    """Return the last tick of a symbol under any of its aliases, or None when Redis has none.

    For scripts and notebooks: it blocks while one connection is opened, used and closed, for three seconds at most. In
    asynchronous code use :func:`fetch_last`, which raises the same errors.
    """
    with LoopThread() as loop:
        return loop.run(fetch_last(symbol, redis_url=redis_url, prefix=prefix))


async def fetch_last(symbol: str, *, redis_url: str = DEFAULT_URL, prefix: str = DEFAULT_PREFIX) -> TickEvent | None:
    """Return the last tick of a symbol under any of its aliases, or None when Redis has none.

    The tick stays in Redis when the streamer ends: ``received_at`` shows its age. Raises ``SymbolError`` for a text
    that cannot be a symbol, ``ConfigurationError`` for a wrong URL, and ``RedisUnavailable``.
    """
    wanted = parse_symbol(symbol, date.today())  # noqa: DTZ011 - contracts expire by the local calendar
    redis = RedisCalls(redis_url, timeout_s=CONNECT_TIMEOUT_S)
    try:
        with translated(redis.url):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await refuse_unsuitable(redis, to_write=False)
                payloads: list[str] = await redis.call("HVALS", f"{prefix}:last:{Channel.TICKS}")
    finally:
        await redis.close()
    return newest_tick(wanted, payloads)


def newest_tick(wanted: Symbol, payloads: Iterable[str]) -> TickEvent | None:
    """Return the newest tick of the symbol's key; of two aliases with the same update, the one asked for."""
    found: list[TickEvent] = []
    for payload in map(str.encode, payloads):
        _, _, key = read_header(payload)
        if key != wanted.key:
            continue
        try:
            event = parse_event(payload)
        except ValidationError:
            continue
        if isinstance(event, TickEvent):
            found.append(event)
    return max(found, key=lambda tick: (tick.received_us, tick.symbol == wanted.alias), default=None)
