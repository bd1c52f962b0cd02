"""The report of the running streamer, in Redis under ``<prefix>:streamer``, and what a run counts for it.

The streamer writes the report every few seconds and it expires in Redis, so a report shows that a streamer is running.
All times are integer milliseconds since the Unix epoch, UTC. Contains no token, secret or account number.
"""

from bisect import bisect_left
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schwabstream.events import StatusState

REPORT_VERSION: Final = 1
REPORT_LIFE_S: Final = 15


class Count(StrEnum):
    """The counters of a run, by their names in the report; there, those of the publisher begin with ``redis``."""

    BAD_BARS = "bad bars"
    BAD_BOOKS = "bad books"
    BAD_VALUES = "bad values"
    CONNECTIONS = "connections"
    DROPPED = "dropped"
    ENTERED_STREAMING = "entered streaming"
    GAP = "gap"
    LATE_ANSWERS = "late answers"
    OUTAGES = "outages"
    PROBES = "probes"
    REFUSED_COMMANDS = "refused commands"
    STALE = "stale"
    UNANSWERED = "unanswered"
    UNDECODABLE = "undecodable"
    UNKNOWN_ANSWERS = "unknown answers"
    UNKNOWN_ENTRIES = "unknown entries"
    UNKNOWN_NOTICES = "unknown notices"
    UNKNOWN_SERVICES = "unknown services"


class Histogram:
    """How many values are at or below each bound; the last of ``counts`` is for values above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class SymbolReport(_Part):
    """One wanted symbol: ``age_ms`` since its last update arrived (None: never one), ``rate`` in updates a second."""

    symbol: str
    key: str
    asset: str
    contract: str | None = None
    updates: int = 0
    age_ms: int | None = None
    rate: float = 0.0
    fresh: bool = False
    """Whether the present session has confirmed it; False after a reconnect until its snapshot came."""
    security_status: str | None = None
    """Schwab's word: Normal, Halted, Closed, Unknown."""
    tick_size: float | None = None
    description: str | None = None
    problem: str | None = None
    """Why data of it is missing, a subscription that Schwab refused or a silence; None when nothing is missing."""
    book: Literal["book", "top_of_book"] | None = None
    """Where its level 2 comes from; None when no book has come yet."""


class LagReport(_Part):
    """Milliseconds on the way; None until measured. Clocks of exchange and host are not synchronised by us."""

    exchange_to_here_ms: float | None = None
    here_to_redis_ms: float | None = None


class StreamerReport(_Part):
    """The state of one running streamer at the moment ``reported``."""

    v: Literal[1] = REPORT_VERSION
    state: StatusState
    reason: str = ""
    since: int
    """When the state began."""
    reported: int
    started: int
    pid: int
    host: str
    version: str
    simulated: bool = False
    symbols: tuple[SymbolReport, ...] = ()
    sessions: int = 0
    """Logins the streamer accepted in this run."""
    reconnects: int = 0
    gaps: int = 0
    published: int = 0
    queued: int = 0
    dropped: int = 0
    """Events given up because Redis was away too long."""
    refusing: tuple[str, ...] = ()
    """Names in Redis that refuse what is written to them, such as a stream's that holds something else."""
    counts: dict[str, int] = Field(default_factory=dict)
    """What else was counted: by :class:`Count`, by why a frame could not be read, or by what was announced."""
    lag: LagReport = LagReport()
    token_expires_at: int | None = None
    token_unsaved: str | None = None
    """Why the newest tokens are in the streamer's memory only; None when the token file has them."""
    login_at: int | None = None
    """When a person last logged in through a browser."""
    login_due_at: int | None = None

    @property
    def healthy(self) -> bool:
        """Whether it streams every symbol and writes everything to Redis."""
        return self.state == "streaming" and self.trouble is None

    @property
    def trouble(self) -> str | None:
        """What is wrong although it streams; None without trouble."""
        missing = sum(not symbol.fresh for symbol in self.symbols)
        troubles = [f"Redis refuses to write {', '.join(self.refusing)}"] if self.refusing else []
        troubles += [f"{missing:,} of {len(self.symbols):,} symbols without data"] if missing else []
        return "; ".join(troubles) or None

    def symbol(self, alias: str) -> SymbolReport | None:
        """The report of one symbol, by the alias in its events; None when the streamer does not stream it."""
        return next((symbol for symbol in self.symbols if symbol.symbol == alias), None)


def parse_report(payload: str | bytes) -> StreamerReport:
    """The report in Redis as its model; raises ``pydantic.ValidationError`` for an invalid one."""
    return StreamerReport.model_validate_json(payload)
