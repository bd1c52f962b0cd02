"""The time of a replay: the moments that the user names, and the pauses between records."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from datetime import time as time_of_day

from schwabstream.errors import ConfigurationError
from schwabstream.recording.format import Header

_FINEST_PAUSE_S = 0.001


def parse_moment(text: str, header: Header) -> int:
    """The moment in microseconds since the epoch: ``2026-11-21T09:30``, ``09:30:15`` or, from the start, ``+90s``.

    A moment without an offset is in the recording's time zone; a time of day is the one nearest to the recording's
    first 24 hours. Raises ``ConfigurationError`` for anything else.
    """
    text = text.strip()
    units = {"s": 1, "m": 60, "h": 3600}
    if text.startswith("+") and text[-1] in units and text[1:-1].replace(".", "", 1).isdigit():
        return header.part_us + int(float(text[1:-1]) * units[text[-1]] * 1e6)
    started = datetime.fromtimestamp(header.part_us / 1e6, header.zone)
    with contextlib.suppress(ValueError):
        of_day = time_of_day.fromisoformat(text)
        moment = datetime.combine(started.date(), of_day, of_day.tzinfo or header.zone)
        return int((moment + timedelta(days=moment < started - timedelta(hours=12))).timestamp() * 1e6)
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=header.zone)).timestamp() * 1e6)
    raise ConfigurationError(f"{text!r} is not a time: write 2026-11-21T09:30, 09:30 or, from the start, +90s")


class Pace:
    """Keeps the recorded pauses between records, divided by ``speed``."""

    def __init__(
        self,
        speed: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._speed, self._monotonic, self._sleep = speed, monotonic, sleep
        self._origin: tuple[int, float] | None = None

    async def wait_for(self, at_us: int) -> None:
        """Wait until the record of that moment is due."""
        if math.isinf(self._speed):
            return
        if self._origin is None:
            self._origin = (at_us, self._monotonic())
        first_us, began = self._origin
        pause_s = began + (at_us - first_us) / 1e6 / self._speed - self._monotonic()
        if pause_s >= _FINEST_PAUSE_S:
            await self._sleep(pause_s)
