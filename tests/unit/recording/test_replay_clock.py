"""Moments as people write them, and records as far apart as they were."""

from datetime import UTC, datetime

import pytest

from schwabstream.errors import ConfigurationError
from schwabstream.recording.format import Header
from schwabstream.recording.replay_clock import Pace, parse_moment

STARTED = datetime(2026, 11, 20, 20, 37, 46, tzinfo=UTC)
STARTED_US = int(STARTED.timestamp() * 1e6)
HEADER = Header("1", (), (), "America/New_York", STARTED_US, part_us=STARTED_US)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("+0s", "2026-11-20T20:37:46Z"),
        ("+90s", "2026-11-20T20:39:16Z"),
        ("+1.5m", "2026-11-20T20:39:16Z"),
        ("+1h", "2026-11-20T21:37:46Z"),
        ("2026-11-20T16:00", "2026-11-20T21:00:00Z"),
        ("2026-11-20 16:00:30.5", "2026-11-20T21:00:30.500Z"),
        ("2026-11-20T16:00Z", "2026-11-20T16:00:00Z"),
        ("2026-11-20T16:00+01:00", "2026-11-20T15:00:00Z"),
        (" 16:00 ", "2026-11-20T21:00:00Z"),
        ("15:37:45", "2026-11-20T20:37:45Z"),
        ("03:00", "2026-11-21T08:00:00Z"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    """Dates, times of day in the recording's zone, which may be the next day's, and distances from the start."""
    assert parse_moment(text, HEADER) == int(datetime.fromisoformat(moment).timestamp() * 1e6)


@pytest.mark.parametrize("text", ["", "noon", "+", "+5", "+5d", "-5s", "+1.2.3s", "25:00", "2026-13-01T00:00"])
def test_other_texts_are_refused(text: str) -> None:
    """An invalid moment is exit 2, with examples."""
    with pytest.raises(ConfigurationError, match="is not a time: write 2026-11-21T09:30"):
        parse_moment(text, HEADER)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    async def sleep(self, pause_s: float) -> None:
        """Be later."""
        self.now += pause_s

    def monotonic(self) -> float:
        """What time it is."""
        return self.now


@pytest.mark.parametrize(("speed", "expected"), [(1.0, [100, 101, 103.5]), (10.0, [100, 100.1, 100.35])])
async def test_records_keep_their_distances(speed: float, expected: list[float]) -> None:
    """Divided by the speed, and counted from the first, so that being late once does not add up."""
    clock, seen = Clock(), []
    pace = Pace(speed, monotonic=clock.monotonic, sleep=clock.sleep)
    for at_us in (5_000_000, 6_000_000, 8_500_000):
        await pace.wait_for(at_us)
        seen.append(clock.now)
    assert seen == pytest.approx(expected)


async def test_time_that_went_backwards_costs_no_wait() -> None:
    """A clock set back while recording does not stop the replay."""
    clock = Clock()
    pace = Pace(1.0, monotonic=clock.monotonic, sleep=clock.sleep)
    await pace.wait_for(5_000_000)
    await pace.wait_for(1_000_000)
    assert clock.now == 100.0


async def test_as_fast_as_it_goes_never_waits() -> None:
    """Infinite speed has no clock."""
    clock = Clock()
    pace = Pace(float("inf"), monotonic=clock.monotonic, sleep=clock.sleep)
    for at_us in (1, 10**15):
        await pace.wait_for(at_us)
    assert clock.now == 100.0
