"""The end of a run: writes what is queued within a time limit, and announces what was not written."""

import asyncio

from schwabstream.monitoring.reporter import Reporter
from schwabstream.publishing.publisher import TradingEventPublisher

DRAIN_LIMIT_S = 1.5


async def drain(
    writer: "asyncio.Task[None]",
    publisher: TradingEventPublisher,
    reporter: Reporter,
    *,
    limit_s: float = DRAIN_LIMIT_S,
) -> int:
    """Write what is queued, for ``limit_s`` at most; returns how many events Redis did not take.

    They are counted as dropped and announced in a StatusEvent, if Redis still answers.
    """
    reporter.report_now()
    publisher.stop()
    await asyncio.wait({writer}, timeout=limit_s)
    writer.cancel()
    await asyncio.wait({writer})
    unwritten = publisher.give_up()
    fenced_off = None if writer.cancelled() else writer.exception()
    reporter.announce_dropped(str(fenced_off) if fenced_off else "Redis did not take them before the end of the run")
    await publisher.send_notices()
    return unwritten
