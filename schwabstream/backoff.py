"""The time to wait before the next attempt, and a limit for attempts; pure."""

from collections import deque
from collections.abc import Callable


class Backoff:
    """Capped exponential backoff with full jitter, whose first wait is zero.

    Only :meth:`streamed` with a long enough time resets it, so that a server that accepts a connection and closes it at
    once does not get a storm of connections. All times are in seconds; ``random`` returns a float in [0, 1).
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        base_s: float = 1.0,
        cap_s: float = 60.0,
        floor_s: float = 0.5,
        healthy_s: float = 60.0,
    ) -> None:
        self._random = random
        self._base_s, self._cap_s, self._floor_s, self._healthy_s = base_s, cap_s, floor_s, healthy_s
        self.attempts = 0

    def next_delay(self, at_least_s: float | None = None) -> float:
        """Seconds to wait before the next attempt; ``at_least_s`` is the wait that the server asked for, if any."""
        self.attempts += 1
        asked_s = max(at_least_s or 0.0, 0.0)
        if self.attempts == 1:
            return asked_s
        ceiling = min(self._cap_s, self._base_s * 2.0 ** min(self.attempts - 1, 32))
        return max(self._floor_s + self._random() * (ceiling - self._floor_s), asked_s)

    def streamed(self, duration_s: float) -> None:
        """Note how long the last attempt lasted; ``healthy_s`` or more resets the backoff."""
        if duration_s >= self._healthy_s:
            self.attempts = 0


class Allowance:
    """At most ``most`` attempts in any ``span_s`` seconds, over all callers."""

    def __init__(self, most: int, span_s: float) -> None:
        self._most, self._span_s = most, span_s
        self._taken: deque[float] = deque()

    def take(self, now: float) -> float:
        """Take one attempt and return 0; when none is left, return the seconds until the next."""
        if self._taken and self._taken[-1] > now:
            self.restore()  # the clock was set back
        while self._taken and self._taken[0] <= now - self._span_s:
            self._taken.popleft()
        if len(self._taken) < self._most:
            self._taken.append(now)
            return 0.0
        return self._taken[0] + self._span_s - now

    def restore(self) -> None:
        """Allow everything again: an attempt succeeded."""
        self._taken.clear()
