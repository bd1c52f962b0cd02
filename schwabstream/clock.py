"""The clock and the randomness of a run, which tests replace, and the date by which contracts expire."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """``wall`` is in seconds since the Unix epoch, ``monotonic`` in seconds; ``random`` returns a float in [0, 1)."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]


LIVE_CLOCK = Clock(time.time, time.monotonic, asyncio.sleep, random.random)


def today() -> date:
    """The local date: contracts expire by the local calendar."""
    return datetime.now().astimezone().date()
