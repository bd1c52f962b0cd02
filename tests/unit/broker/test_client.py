"""A cancellation that a library swallows ends the task all the same."""

import asyncio

import pytest

from schwabstream.broker.client import cancellation_heeded

OUTCOMES = [None, ConnectionResetError(104, "Connection reset by peer")]


async def lose_the_cancellation(outcome: Exception | None) -> str:
    """Answer or fail in place of a cancellation, as redis-py does."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if outcome is not None:
            raise outcome from None
    return "an answer"


async def ask(outcome: Exception | None) -> str:
    """Ask with the cancellation heeded."""
    with cancellation_heeded():
        return await lose_the_cancellation(outcome)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_lost_cancellation_ends_the_task(outcome: Exception | None) -> None:
    """Whether the library then answers or fails."""
    task = asyncio.create_task(ask(outcome))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_lost_cancellation_of_a_deadline_is_a_timeout(outcome: Exception | None) -> None:
    """A deadline cancels the task, too."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await ask(outcome)


async def test_an_earlier_cancellation_is_not_raised_again() -> None:
    """A task that was cancelled before, and cleans up, can still use Redis."""

    async def clean_up() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with cancellation_heeded():
                await asyncio.sleep(0)
            return "cleaned up"
        return ""

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned up"
