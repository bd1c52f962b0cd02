"""One exchange with Schwab: asked again after a short failure, and over within ten seconds whatever the peer does.

Does not wait out longer failures, and knows nothing of HTTP.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from schwabstream.errors import SchwabUnavailable

T = TypeVar("T")

EXCHANGE_LIMIT_S = 10.0
PATIENCE_S = 3.0
_MOST_ATTEMPTS = 4


async def patiently(call: Callable[[], Awaitable[T]], *, sleep: Callable[[float], Awaitable[None]]) -> T:
    """Return what ``call`` returns; it is called again when it raises ``SchwabUnavailable`` and there is time.

    The last error is raised when there is none, and ``SchwabUnavailable`` after ``EXCHANGE_LIMIT_S`` in any case: no
    timeout of a library bounds an answer that comes byte by byte.
    """
    attempts = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(SchwabUnavailable),
        wait=_wait_as_asked,
        stop=tenacity.stop_any(tenacity.stop_before_delay(PATIENCE_S), tenacity.stop_after_attempt(_MOST_ATTEMPTS)),
        sleep=sleep,
        reraise=True,
    )
    try:
        async with asyncio.timeout(EXCHANGE_LIMIT_S):
            async for attempt in attempts:
                with attempt:
                    return await call()
    except TimeoutError:
        raise SchwabUnavailable(
            f"Schwab's answer was not complete within {EXCHANGE_LIMIT_S:g} s; check the network, try again in a minute"
        ) from None
    raise AssertionError("tenacity ends with a result or an exception")


def _wait_as_asked(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, SchwabUnavailable) else None
    return max(asked_s or 0.0, tenacity.wait_random_exponential(multiplier=0.5, max=4)(state))
