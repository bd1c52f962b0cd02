"""How every test waits: until something is true, never for a time that is thought to be enough.

The deadline only ends a test that hangs, so it is far beyond what a loaded machine needs.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

DEADLINE_S = 30.0
PAUSE_S = 0.005


async def until(
    predicate: Callable[[], object],
    *,
    show: Callable[[], object] | None = None,
    within_s: float = DEADLINE_S,
    every_s: float = PAUSE_S,
) -> Any:
    """Let the event loop go on until the predicate gives something true, and return that.

    The predicate may be a coroutine function, and may raise to end the wait. ``show`` adds to the message when the wait
    fails. Time is the event loop's, so that a virtual one counts virtual seconds.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if loop.time() - began > within_s:
            _fail(predicate, value, show, within_s)
        await asyncio.sleep(every_s)


def block_until(
    predicate: Callable[[], object],
    *,
    show: Callable[[], object] | None = None,
    within_s: float = DEADLINE_S,
    every_s: float = PAUSE_S,
) -> Any:
    """The same where no event loop runs."""
    began = time.monotonic()
    while not (value := predicate()):
        if time.monotonic() - began > within_s:
            _fail(predicate, value, show, within_s)
        time.sleep(every_s)
    return value


def _fail(predicate: Callable[..., Any], value: object, show: Callable[[], object] | None, within_s: float) -> NoReturn:
    message = f"not within {within_s:g} s: {_source(predicate)}\nlast value: {value!r}"
    pytest.fail(message if show is None else f"{message}\n{show()}")


def _source(predicate: Callable[..., Any]) -> str:
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)
