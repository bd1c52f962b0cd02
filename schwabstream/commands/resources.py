"""What commands need: a real or simulated Schwab, a shared or embedded Redis, the lease, the absence of a streamer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.http import preload
from schwabstream.broker.url import prefix_at, redact_url
from schwabstream.commands.embedded_redis import EMBEDDED, USUAL_PORT, embedded_redis
from schwabstream.errors import Refused, SchwabUnavailable
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import Settings, origin
from schwabstream.streaming.supervisor import STARTUP_LIMIT_S

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where to publish, and whether other streamers may publish there too."""

    url: str
    shared: bool


@contextlib.asynccontextmanager
async def schwab_for(settings: Settings, *, simulated: bool, recording: Path | None = None) -> AsyncIterator[Settings]:
    """The settings of the Schwab to use: these, or those of a simulator that runs for the duration of the block."""
    if not simulated:
        yield settings
        return
    from schwabstream.commands.simulate import load_tape, simulated_schwab

    tape = None if recording is None else load_tape(recording)
    async with simulated_schwab(settings, tape) as simulator_settings:
        yield simulator_settings


@contextlib.asynccontextmanager
async def redis_for(settings: Settings, asked: str | None, *, simulated: bool) -> AsyncIterator[RedisPlace]:
    """The Redis to publish to; simulated prices go to a shared one only when the command line names it."""
    if asked == EMBEDDED or (simulated and asked is None):
        # A live streamer whose Redis is away for a moment must not reconnect to one with simulated prices.
        configured = origin("REDIS_URL") in ("environment", ".env")
        async with embedded_redis(0 if simulated and configured else USUAL_PORT) as embedded:
            log.info("embedded redis", url=embedded.url, kind=embedded.kind)
            yield RedisPlace(embedded.url, shared=False)
    else:
        log.debug("redis", url=redact_url(settings.redis_url))
        yield RedisPlace(settings.redis_url, shared=True)


def publisher_to(redis_url: str, settings: Settings, **more: Any) -> TradingEventPublisher:
    """A publisher to the Redis at that URL, as the settings describe it, with ``more`` of its arguments."""
    return TradingEventPublisher(
        redis_url,
        prefix=settings.schwab_redis_prefix,
        stream_maxlen=settings.schwab_redis_stream_maxlen,
        stream_maxage_s=settings.schwab_redis_stream_maxage_s,
        max_events=settings.schwab_redis_buffer_events,
        max_bytes=int(settings.schwab_redis_buffer_mb * 2**20),
        symbol_channels=settings.schwab_redis_symbol_channels,
        **more,
    )


@contextlib.asynccontextmanager
async def lease_for(
    settings: Settings, redis_url: str, auth: SchwabAuthClient, *, simulated: bool
) -> AsyncIterator[Lease]:
    """The lease of the account that the login belongs to, or of a simulation; not taken yet.

    Raises ``LeaseLost`` for a simulation beside a live streamer.
    """
    lease = Lease(redis_url, settings.schwab_redis_prefix)
    try:
        await lease.reach()
        if simulated:
            await lease.of_simulation()
        else:
            lease.of_account(await account_of(auth))
        yield lease
    finally:
        await lease.close()


async def keep_from_live(settings: Settings) -> None:
    """Raise ``LeaseLost`` when simulated prices would mix with those of a live streamer in the configured Redis."""
    lease = Lease(settings.redis_url, settings.schwab_redis_prefix)
    try:
        await lease.of_simulation()
    finally:
        await lease.close()


async def refuse_beside_streamer(redis_url: str, prefix: str, advice: str, *, simulated_too: bool) -> None:
    """Raise ``Refused``, ending in ``advice``, while a streamer publishes there under the prefix."""
    from schwabstream.consumer.subscription import (
        read_report,
    )  # a long-running stream must not keep a reader's libraries in memory

    prefix = prefix_at(redis_url, prefix)
    report = await read_report(redis_url, prefix)
    if report is not None and report.state != "stopped" and (simulated_too or not report.simulated):
        raise Refused(f"a streamer publishes under {prefix!r} (process {report.pid} on {report.host}): {advice}")


async def account_of(auth: SchwabAuthClient) -> str:
    """The customer id that the login belongs to.

    Waits as long as Schwab asks for, if that ends within the time limit of a start (docs/adr/0005). Every other failure
    is raised.
    """
    preload()  # takes seconds on a small machine, which must not count as Schwab's time to answer
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + STARTUP_LIMIT_S
    try:
        async with asyncio.timeout_at(ends_at):
            while True:
                try:
                    return (await auth.fetch_streamer_login()).customer_id
                except SchwabUnavailable as error:
                    if error.retry_after_s is None or loop.time() + error.retry_after_s >= ends_at:
                        raise
                    log.warning("waiting for Schwab", reason=str(error))
                    await asyncio.sleep(error.retry_after_s)
    except TimeoutError as error:
        raise SchwabUnavailable(
            f"Schwab did not name the account within {STARTUP_LIMIT_S:g} s: check the network and "
            "SCHWAB_API_BASE_URL, then try again"
        ) from error
