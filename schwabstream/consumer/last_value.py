"""The last tick of one symbol, read once. Does not wait for one, and asks neither Schwab nor the streamer."""

import asyncio
import functools
from collections.abc import Iterable

from pydantic import ValidationError

from schwabstream.broker.arguments import check_texts
from schwabstream.broker.client import redis_client
from schwabstream.broker.kind import refuse_unsuitable
from schwabstream.broker.url import prefix_at, redact_url, translated
from schwabstream.clock import today
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
        return loop.run(functools.partial(fetch_last, symbol, redis_url=redis_url, prefix=prefix))


async def fetch_last(symbol: str, *, redis_url: str = DEFAULT_URL, prefix: str = DEFAULT_PREFIX) -> TickEvent | None:
    """Return the last tick of a symbol under any of its aliases, or None when Redis has none.

    The tick stays in Redis when the streamer ends: ``received_at`` shows its age. Raises ``SymbolError`` for a text
    that cannot be a symbol, ``ConfigurationError`` for an invalid URL or prefix, and ``RedisUnavailable``.
    """
    check_texts(redis_url=redis_url, prefix=prefix)
    prefix = prefix_at(redis_url, prefix)
    wanted, url = parse_symbol(symbol, today()), redact_url(redis_url)
    client = redis_client(redis_url, prefix, timeout_s=CONNECT_TIMEOUT_S, reads=True, decode_responses=True)
    async with client:
        with translated(url):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await refuse_unsuitable(client, url, to_write=False)
                payloads: list[str] = await client.execute_command("HVALS", f"{prefix}:last:{Channel.TICKS}")
    return newest_tick(wanted, map(str.encode, payloads))


def newest_tick(wanted: Symbol, payloads: Iterable[bytes]) -> TickEvent | None:
    """Return the newest tick of the symbol's key; of two aliases with the same update, the one asked for."""
    found: list[TickEvent] = []
    for payload in payloads:
        _, _, key, _ = read_header(payload)
        if key != wanted.key:
            continue
        try:
            event = parse_event(payload)
        except ValidationError:
            continue
        if isinstance(event, TickEvent):
            found.append(event)
    return max(found, key=lambda tick: (tick.received_us, tick.symbol == wanted.alias), default=None)
