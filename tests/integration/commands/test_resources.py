"""The resources of a run: the account is found out at its start."""

import asyncio

import pytest

from schwabstream.commands.resources import account_of
from schwabstream.errors import SchwabUnavailable
from schwabstream.streaming.supervisor import STARTUP_LIMIT_S
from tests.support.stage import Stage, play


def limit_rate(stage: Stage, retry_after_s: int | None, count: int | None = 1) -> None:
    """Let the next REST calls be answered with 429."""
    faults = stage.simulator.faults
    faults.rest_error, faults.rest_error_count, faults.retry_after_s = "rate_limited", count, retry_after_s


@pytest.mark.parametrize("count", [1, 2])
def test_a_short_wait_that_schwab_asks_for_is_waited_at_the_start(count: int) -> None:
    """A Retry-After of three seconds ends no run, be it sent once or twice: the start has seven seconds."""

    async def story(stage: Stage) -> None:
        limit_rate(stage, 3, count)
        assert await account_of(stage.auth) == stage.simulator.customer_id
        assert stage.simulator.received.paths().count("/trader/v1/userPreference") == count + 1
        assert asyncio.get_running_loop().time() == pytest.approx(3 * count, abs=0.5)

    play(story, pulse=False)


@pytest.mark.parametrize("retry_after_s", [7, 30])
def test_a_wait_that_the_start_has_no_time_for_ends_it_at_once(retry_after_s: int) -> None:
    """When Schwab asks for more than the start's seven seconds, the run ends at once with that message."""

    async def story(stage: Stage) -> None:
        limit_rate(stage, retry_after_s)
        with pytest.raises(SchwabUnavailable, match=f"try again in {retry_after_s} s"):
            await account_of(stage.auth)
        assert asyncio.get_running_loop().time() < 1

    play(story, pulse=False)


def test_a_schwab_that_does_not_answer_ends_the_start() -> None:
    """Without any answer the start ends after its seven seconds, with the setting to check."""

    async def story(stage: Stage) -> None:
        stage.simulator.faults.rest_delay_s = 5.9  # each answer comes in time, and names no account
        stage.simulator.faults.rest_error = "server_error"
        with pytest.raises(SchwabUnavailable, match="SCHWAB_API_BASE_URL"):
            await account_of(stage.auth)
        assert asyncio.get_running_loop().time() == pytest.approx(STARTUP_LIMIT_S, abs=0.1)

    play(story, pulse=False)
