"""Tasks beside the stream: a crash is logged at once, and the end of one raises nothing."""

import asyncio

from structlog.testing import capture_logs

from schwabstream.side_tasks import end, start_beside


async def crash() -> None:
    """A bug."""
    raise ZeroDivisionError("in the screen")


async def test_a_crash_is_logged_at_once_with_its_part_and_cause() -> None:
    """While its owner is busy with something else, the log names the part and what it met; ending it is quiet."""
    with capture_logs() as logs:
        task = start_beside(crash(), "screen")
        await asyncio.wait({task})
        (line,) = logs
        assert (line["part"], line["log_level"]) == ("screen", "error")
        assert isinstance(line["exc_info"], ZeroDivisionError)
        await end(task)
        assert logs == [line]


async def test_a_task_is_named_after_its_function() -> None:
    """Without a name of its own the log names the function."""
    with capture_logs() as logs:
        await asyncio.wait({start_beside(crash())})
    assert logs[0]["part"] == "crash"


async def test_ending_cancels_and_waits() -> None:
    """The owner of tasks that still work gets control back when all have ended, and nothing is logged."""
    ended = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    tasks = [start_beside(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    with capture_logs() as logs:
        await end(*tasks)
        await end()
    assert (ended, logs) == ([0, 1, 2], [])
