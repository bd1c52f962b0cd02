"""Turns with the other streamers of an account."""

from typing import TYPE_CHECKING, cast

import pytest

from schwabstream.commands.run.standby import LONG_PAUSE_S, SHORT_PAUSE_S, take_turns
from schwabstream.errors import LeaseLost, RedisUnavailable, Refused, SchwabStreamError, SchwabUnavailable
from schwabstream.publishing.fence import Fence

if TYPE_CHECKING:
    from schwabstream.publishing.lease import Lease

FENCE = Fence("key", "1:box:2", "owner", "account")


class GrantedLease:
    """A lease that is taken at once; ``waited`` as if it had been held before."""

    def __init__(self, *, waited: bool) -> None:
        self.waited = waited
        self.takings = 0

    async def take(self, *, wait: bool, by_force: bool = False) -> Fence:
        """Take it."""
        self.takings += 1
        return FENCE


async def turns(waited: bool, *endings: SchwabStreamError) -> tuple[int, list[float]]:
    """Lead once for each ending and once more to the end; returns how often the lease was taken, and the pauses."""
    lease, left, pauses = GrantedLease(waited=waited), list(endings), []

    async def lead(_fence: Fence) -> None:
        if left:
            raise left.pop(0)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    await take_turns(cast("Lease", lease), lead, standby=True, take_over=False, stopping=lambda: False, sleep=sleep)
    return lease.takings, pauses


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        (SchwabUnavailable("no answer"), SHORT_PAUSE_S),
        (RedisUnavailable("a failover"), SHORT_PAUSE_S),
        (Refused("blocked"), LONG_PAUSE_S),
    ],
)
async def test_a_standby_outlives_a_failed_start(error: SchwabStreamError, pause_s: float) -> None:
    """A standby whose first connection fails when it takes over stays, and tries again after a pause."""
    assert await turns(True, error) == (2, [pause_s])
    assert await turns(False, LeaseLost("taken"), error) == (3, [pause_s])


@pytest.mark.parametrize("error", [SchwabUnavailable("no answer"), RedisUnavailable("away")])
async def test_the_first_start_that_fails_ends_the_run(error: SchwabStreamError) -> None:
    """A streamer that never waited and never led reports the error of its start."""
    with pytest.raises(type(error)):
        await turns(False, error)
