"""Starts tasks beside the stream: a crash of one is logged at once, and never ends or fails the run."""

import asyncio
from collections.abc import Coroutine

import structlog

log = structlog.get_logger(__name__)


def start_beside(coroutine: Coroutine[None, None, None], name: str | None = None) -> "asyncio.Task[None]":
    """Start a task, which its owner must :func:`end`; its name is that of the function unless ``name`` is given."""
    task = asyncio.create_task(coroutine, name=name or getattr(coroutine, "__qualname__", None))
    task.add_done_callback(_report_crash)
    return task


async def end(*tasks: "asyncio.Task[None]") -> None:
    """Cancel the tasks and wait for their end; raises none of their exceptions."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _report_crash(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a part of the run failed; the stream continues", part=task.get_name(), exc_info=error)
