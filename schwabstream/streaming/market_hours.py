"""Keeps the schedule's equity hours those of the day, as Schwab's markets endpoint names them (protocol 2.3)."""

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
    schedule: Schedule, fetch: FetchHours, clock: Clock, ready: asyncio.Event, is_streaming: Callable[[], bool]
) -> None:
    """Learn each day's hours once, while streaming; until then, and without an answer, the built-in ones hold."""
    await ready.wait()
    while True:
        day = datetime.fromtimestamp(clock.wall(), UTC).astimezone(NEW_YORK).date()
        if is_streaming() and not schedule.knows_equity_hours(day):
            try:
                schedule.learn_equity_hours(day, await fetch(["equity"], day))
            except (SchwabStreamError, ValueError) as error:
                log.info("equity hours unknown; the built-in ones hold", reason=str(error))
        await clock.sleep(LOOK_EVERY_S)
