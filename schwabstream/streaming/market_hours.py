"""Loads the day's equity hours from Schwab's markets endpoint into the schedule (protocol 2.3)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import structlog

from schwabstream.clock import Clock
from schwabstream.errors import SchwabStreamError
from schwabstream.market.trading_hours import NEW_YORK, Schedule

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 600.0

FetchHours = Callable[[Iterable[str], date], Awaitable[Mapping[str, Any]]]


async def keep_equity_hours(
    schedule: Schedule, fetch: FetchHours, clock: Clock, ready: asyncio.Event, is_due: Callable[[], bool]
) -> None:
    """Load each day's hours once, while ``is_due``; the built-in hours apply until then and without an answer."""
    await ready.wait()
    while True:
        day = datetime.fromtimestamp(clock.wall(), UTC).astimezone(NEW_YORK).date()
        if is_due() and not schedule.knows_equity_hours(day):
            try:
                schedule.learn_equity_hours(day, await fetch(["equity"], day))
            except (SchwabStreamError, ValueError) as error:
                log.info("equity hours unknown; using the built-in hours", reason=str(error))
        await clock.sleep(LOOK_EVERY_S)
