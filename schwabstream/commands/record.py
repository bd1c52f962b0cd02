"""``stream record``: opens a session and writes its frames to a file; publishes nothing."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import open_store
from schwabstream.commands.resources import refuse_beside_streamer, schwab_for
from schwabstream.commands.signals import until_signalled
from schwabstream.commands.start import overrides_for, settings_and_logs, symbols_of
from schwabstream.errors import ConfigurationError, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.protocol.symbols import Symbol
from schwabstream.recording.rotation import Rotation
from schwabstream.recording.writer import recording_to
from schwabstream.settings import Settings
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient

log = structlog.get_logger(__name__)

_ADVICE = (
    "Schwab allows one connection. Record in that run with schwabstream stream run --record FILE, or stop it first"
)


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The options of ``stream record``; None means the configured value."""

    file: Path
    symbols: list[str] | None = None
    duration_s: float | None = None
    simulate: bool = False
    rotate: Sequence[str] = ()
    keep: int | None = None
    verbosity: int = 0


def record(options: RecordOptions) -> None:
    """Stream into a file until a signal, the duration or an error ends it; publishes nothing.

    Raises ``SchwabStreamError``, such as ``Refused`` when a streamer that reports to this Redis is running:
    Schwab allows one connection (protocol 3.8).
    """
    rotation = Rotation.parse(options.rotate, options.keep)
    settings = settings_and_logs(options.verbosity, **overrides_for(options.symbols))
    if not options.simulate:
        settings.require()
    symbols = symbols_of(settings.symbols)
    if not symbols:
        raise ConfigurationError("no symbols to record: set SCHWAB_SYMBOLS or give --symbols /MNQ:XCME")
    asyncio.run(_record(options, settings, symbols, rotation))


async def _record(options: RecordOptions, settings: Settings, symbols: list[Symbol], rotation: Rotation) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if not options.simulate:
            with contextlib.suppress(RedisUnavailable):  # without Redis, no streamer can be found
                await refuse_beside_streamer(
                    settings.redis_url, settings.schwab_redis_prefix, _ADVICE, simulated_too=False
                )
        settings = await stack.enter_async_context(schwab_for(settings, simulated=options.simulate))
        auth = await stack.enter_async_context(SchwabAuthClient(settings, open_store(settings)))
        auth.auto_refresh.start()
        recording = recording_to(options.file, rotation, symbols, simulated=options.simulate)
        stream = StreamState(
            symbols,
            _discard,
            heartbeat_timeout_s=settings.schwab_heartbeat_timeout_s,
            max_symbols=settings.schwab_max_symbols,
        )
        stream.also_subscribe(settings.services)
        client = SchwabStreamClient(
            auth,
            stream,
            keepalive_s=0,
            recorder=stack.enter_context(recording),
        )
        await until_signalled(asyncio.ensure_future(_stream(client, options.duration_s)))


async def _stream(client: SchwabStreamClient, duration_s: float | None) -> None:
    """Stream for that long, or until cancelled; log out in both cases."""
    streaming = asyncio.create_task(client.run(), name="streamer")
    ready = asyncio.create_task(client.ready.wait(), name="ready")
    try:
        await asyncio.wait({streaming, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not streaming.done():
            log.info("ready: recording, all symbols subscribed", symbols=",".join(s.alias for s in client.symbols))
            await asyncio.wait({streaming}, timeout=duration_s)
    finally:
        ready.cancel()
        client.stop()
        await asyncio.wait({streaming})
        streaming.result()


def _discard(_channel: Channel, _event: dict[str, Any]) -> None:
    """Drop an event: only frames are recorded."""
