"""The background refresh: keeps a login's access token fresh while nobody asks for it, and announces the next login.

Does not decide what a refresh is: that is ``access``.
"""

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from schwabstream.auth.access import AccessTokens
from schwabstream.backoff import Backoff
from schwabstream.errors import SchwabStreamError, SchwabUnavailable
from schwabstream.side_tasks import end, start_beside

if TYPE_CHECKING:
    import asyncio

log = structlog.get_logger(__name__)

# After a night's suspend the wall clock has moved on, but the event loop's clock has not, so the waits are short.
_LONGEST_WAIT_S = 30.0
_REMIND_EVERY_S = 3600.0
_SHORTEST_RETRY_S, _LONGEST_RETRY_S = 5.0, 120.0


class AutoRefresh:
    """Refreshes every ``SCHWAB_REFRESH_INTERVAL_S`` until stopped; ``problem`` is why the last attempt failed."""

    def __init__(
        self,
        access: AccessTokens,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.problem: SchwabStreamError | None = None
        self._access, self._clock, self._sleep = access, clock, sleep
        self._interval_s = access.settings.schwab_refresh_interval_s
        self._task: asyncio.Task[None] | None = None
        self._next_reminder_at = 0.0

    def start(self) -> None:
        """Start, unless it is already running."""
        if self._task is None or self._task.done():
            self._task = start_beside(self._run(), "token refresh")

    async def stop(self) -> None:
        """Stop, and wait until it has stopped."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Refresh nothing within the block; resume after it, unless an error or a cancellation ended it."""
        running = self._task is not None
        await self.stop()
        yield
        if running:
            self.start()

    async def _run(self) -> None:
        backoff = Backoff(
            random.random, base_s=_SHORTEST_RETRY_S, cap_s=_LONGEST_RETRY_S, floor_s=_SHORTEST_RETRY_S, healthy_s=0
        )
        while True:
            try:
                wait_s = await self._refresh_when_due()
                self.problem = None
                backoff.streamed(0)
            except SchwabStreamError as error:
                # After a refusal only the token file is read, so it may be read often.
                wait_s = _SHORTEST_RETRY_S
                if isinstance(error, SchwabUnavailable):
                    wait_s = max(backoff.next_delay(error.retry_after_s), _SHORTEST_RETRY_S)
                if str(error) != str(self.problem):
                    log.warning("token refresh failed", reason=str(error), again_in_s=round(wait_s))
                self.problem = error
            await self._sleep(wait_s)

    async def _refresh_when_due(self) -> float:
        """Refresh if it is time, and return the seconds until the next check."""
        await self._access.save()
        tokens = await self._access.token()
        if tokens.refresh_due(self._clock(), self._interval_s):
            tokens = await self._access.refresh_tokens(force=True, seen=tokens)
        now = self._clock()
        if now >= self._next_reminder_at and (reminder := tokens.login_reminder(now)):
            self._next_reminder_at = now + _REMIND_EVERY_S
            log.warning(reminder)
        return min(max(tokens.refresh_at(self._interval_s) - now, 1.0), _LONGEST_WAIT_S)
