"""Counts and logs the outages of Redis, each with every reason that it has had."""

from collections import Counter

import structlog

from schwabstream.report import Count

log = structlog.get_logger(__name__)


class Outage:
    """``reason`` is why Redis at the redacted ``url`` accepts nothing at the moment, or None. Counts in ``counts``."""

    def __init__(self, url: str, counts: Counter[str]) -> None:
        self._url, self._counts = url, counts
        self.reason: str | None = None

    def note(self, error: Exception) -> None:
        """Begin the outage, or go on with it: its reason may have changed."""
        reason = str(error)
        if self.reason is None:
            log.warning("redis is away", reason=reason)
            self._counts[Count.OUTAGES] += 1
        elif self.reason != reason:
            log.info("redis is still away", reason=reason)
        self.reason = reason

    def end(self, queued: int) -> None:
        """End the outage, should there be one: Redis has accepted what it refused, or nothing is queued for it."""
        if self.reason is not None:
            log.info("redis is back", url=self._url, queued=queued)
        self.reason = None
