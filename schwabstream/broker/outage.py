"""Logs the outages of Redis, for the writer and for readers alike: each outage with every reason that it has had."""

from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

MOST_REASONS: Final = 20
"""How many reasons of one outage are logged at most."""


class Outage:
    """``reason`` is why Redis at the redacted ``url`` does not serve at the moment, or None.

    A reason is logged once in an outage, because servers that fail in turn would alternate in the log.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._logged: set[str] = set()
        self.reason: str | None = None

    def note(self, reason: str) -> bool:
        """Begin an outage, or continue it: its reason may have changed. Returns whether it has begun."""
        begins, self.reason = self.reason is None, reason
        if reason not in self._logged and len(self._logged) < MOST_REASONS:
            self._logged.add(reason)
            log.warning("redis is away" if begins else "redis is still away", url=self._url, reason=reason)
        return begins

    def end(self, **facts: Any) -> None:
        """End the outage, if there is one, and log the ``facts`` with its end."""
        if self.reason is not None:
            log.info("redis is back", url=self._url, **facts)
        self.reason = None
        self._logged.clear()
