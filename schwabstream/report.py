"""The report of the running streamer, in Redis under ``<prefix>:streamer``, and what a run counts for it.

The streamer writes the report every few seconds and it expires in Redis, so a report shows that a streamer is running.
Contains no token, secret or account number.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from schwabstream.events import StatusState
from schwabstream.events.base import FrozenModel

REPORT_VERSION: Final = 1
REPORT_LIFE_S: Final = 15

_TO_ALLOW: Final = "allow them in the ACL of the streamer's Redis user, or rename a key of another type"

Source = Literal["configured", "added", "wanted"]
"""Why a symbol is streamed."""


class Count(StrEnum):
    """The counters of a run, by name; in the report, the names of the publisher's counters begin with ``redis``."""

    ALREADY_THERE = "already there"
    BAD_BARS = "bad bars"
    BAD_BOOKS = "bad books"
    BAD_VALUES = "bad values"
    CONNECTIONS = "connections"
    DROPPED = "dropped"
    ENTERED_STREAMING = "entered streaming"
    GAP = "gap"
    LATE_ANSWERS = "late answers"
    LOST = "lost"
    MASTER_CHANGES = "master changes"
    OUTAGES = "outages"
    PROBES = "probes"
    REFUSED_COMMANDS = "refused commands"
    SENT_AGAIN = "sent again"
    STALE = "stale"
    UNANSWERED = "unanswered"
    UNDECODABLE = "undecodable"
    UNKNOWN_ANSWERS = "unknown answers"
    UNKNOWN_ENTRIES = "unknown entries"
    UNKNOWN_NOTICES = "unknown notices"
    UNKNOWN_SERVICES = "unknown services"


class Histogram:
    """Counts values in buckets: each ends at one of ``bounds``, and the last has the values above all of them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class SymbolReport(FrozenModel):
    """One streamed symbol."""

    symbol: str
    """The symbol as written in the settings, such as `/MNQ:XCME`."""
    key: str
    """The same symbol as Schwab writes it, such as `/MNQ`."""
    asset: str
    """Asset class: `FUTURE`, `EQUITY`, `INDEX`, `OPTION`, `FUTURE_OPTION` or `FOREX`."""
    contract: str | None = None
    """The active contract of a futures root, such as `/MNQZ26`; null when Schwab does not name it."""
    updates: int = 0
    """Number of updates received in this run."""
    age_ms: int | None = None
    """Milliseconds since the last update; null before the first."""
    rate: float = 0.0
    """Updates per second."""
    fresh: bool = False
    """Whether the current session has delivered data of the symbol; false after a reconnect until its first update."""
    security_status: str | None = None
    """Trading status as Schwab writes it: `Normal`, `Halted`, `Closed` or `Unknown`."""
    tick_size: float | None = None
    """Smallest price step, in price units."""
    expires: int | None = None
    """Time at which a future or an option on a future expires, in milliseconds since the Unix epoch, UTC; null until
    Schwab sends it."""
    session: Literal["open", "break", "closed"] | None = None
    """Trading session by the regular hours of the product: `open`, in a `break` of two hours at most, or `closed`; null
    when the hours are unknown."""
    opens_at: int | None = None
    """Time of the next opening, in milliseconds since the Unix epoch, UTC; null while the session is open."""
    description: str | None = None
    """Description of the instrument as Schwab writes it."""
    problem: str | None = None
    """Why data is missing: a refused subscription, or silence; null when nothing is missing."""
    book: Literal["book", "top_of_book"] | None = None
    """Source of level 2: `book`, or `top_of_book` when it comes from level 1; null before the first book."""
    source: Source = "configured"
    """Why the symbol is streamed: `configured` in the settings, `added` with `stream add`, or `wanted` by a reader."""
    services: tuple[str, ...] = ()
    """The Schwab services that are subscribed for the symbol, such as `LEVELONE_FUTURES`; of a symbol added while the
    streamer runs, empty until Schwab has accepted it."""

    @property
    def refusal(self) -> str | None:
        """Why Schwab refuses the level 1 of the symbol, as a sentence; None when it does not."""
        if self.problem is None or any(name.startswith("LEVELONE") for name in self.services):
            return None
        return f"{self.symbol} is not streamed: {self.problem}"


class LagReport(FrozenModel):
    """Delays in milliseconds; null until measured. The clocks of exchange and host are not synchronized."""

    exchange_to_here_ms: float | None = None
    """Milliseconds from exchange time to receipt of the frame."""
    here_to_redis_ms: float | None = None
    """Milliseconds from receipt of the frame to Redis's acknowledgement."""


class RedisReport(FrozenModel):
    """The Redis that the streamer writes to; the numbers count from the start of the run."""

    mode: Literal["single", "sentinel", "cluster"] = "single"
    """The topology: one server, a master with Sentinels, or a Cluster."""
    name: str | None = None
    """Name of the master at the Sentinels; null in the other modes."""
    master: str = ""
    """Address of the server that the streamer writes to, as `host:port` or a socket's path; empty until connected."""
    changes: int = 0
    """Number of changes to another master."""
    sent_again: int = 0
    """Number of events that Redis had acknowledged and lost, and that were written again."""
    already_there: int = 0
    """Number of events that were not written again after a reconnect because Redis had them."""
    lost: int = 0
    """Number of acknowledged events that Redis lost and that the streamer no longer kept."""


class StreamerReport(FrozenModel):
    """The state of a running streamer. It expires within seconds, so a report in Redis means that a streamer runs."""

    v: Literal[1] = REPORT_VERSION
    """Version of the report format: 1."""
    state: StatusState
    """The state of the streamer, as in StatusEvent."""
    reason: str = ""
    """The reason for the state, as a sentence to read."""
    since: int
    """Time at which the state began, in milliseconds since the Unix epoch, UTC."""
    reported: int
    """Time of this report, in milliseconds since the Unix epoch, UTC."""
    started: int
    """Time at which the streamer started, in milliseconds since the Unix epoch, UTC."""
    pid: int
    """Process id of the streamer on its host."""
    host: str
    """Name of the host that the streamer runs on."""
    version: str
    """Version of schwabstream."""
    simulated: bool = False
    """Whether the prices are simulated."""
    symbol_channels: bool = False
    """Whether ticks, books and bars are also published on a channel of their symbol, such as
    `market_data:ticks:AAPL`."""
    symbols: tuple[SymbolReport, ...] = ()
    """The streamed symbols: those of the settings in their order, then the others, oldest first."""
    services: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What is streamed beside the symbols: the names of screeners, or `Account Activity`, by the name of Schwab's
    service."""
    refused: dict[str, str] = Field(default_factory=dict)
    """Symbols and screeners that are wanted but not streamed, at most 100, each with the reason as a sentence."""
    sessions: int = 0
    """Number of successful logins to Schwab's streamer in this run."""
    reconnects: int = 0
    """Number of sessions after the first."""
    gaps: int = 0
    """Number of gaps reported in this run."""
    published: int = 0
    """Number of events written to Redis in this run."""
    queued: int = 0
    """Number of events that are queued for Redis."""
    dropped: int = 0
    """Number of events dropped because Redis was away too long."""
    redis: RedisReport = RedisReport()
    """The Redis that the streamer writes to."""
    refusing: tuple[str, ...] = ()
    """Keys and channels that Redis does not accept writes to, such as a stream's key that has another type."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Other counters of the run, by name."""
    lag: LagReport = LagReport()
    """Delays between exchange, streamer and Redis."""
    token_expires_at: int | None = None
    """Time at which the access token expires, in milliseconds since the Unix epoch, UTC."""
    token_unsaved: str | None = None
    """Why the newest tokens are only in the streamer's memory; null when the token file has them."""
    login_at: int | None = None
    """Time of the last browser login, in milliseconds since the Unix epoch, UTC."""
    login_due_at: int | None = None
    """Time at which the next browser login is due, in milliseconds since the Unix epoch, UTC."""

    @property
    def healthy(self) -> bool:
        """Whether every configured symbol is streamed and everything is written to Redis."""
        return self.state == "streaming" and self.trouble is None

    @property
    def trouble(self) -> str | None:
        """The problem of a streamer whose state is ``streaming``, as a sentence; None when there is none."""
        # A wish for a symbol that does not exist is no trouble of the streamer.
        fresh = [symbol.fresh for symbol in self.symbols if symbol.source == "configured"]
        return trouble_of(self.refusing, fresh.count(False), len(fresh))

    def by_key(self) -> dict[str, SymbolReport]:
        """The report of each symbol by its key; of several aliases, the first, as the configured ones come first."""
        return {symbol.key: symbol for symbol in reversed(self.symbols)}

    def symbol(self, alias: str) -> SymbolReport | None:
        """The report of one symbol, by the alias in its events; None when the streamer does not stream it."""
        return next((symbol for symbol in self.symbols if symbol.symbol == alias), None)


def trouble_of(refusing: Iterable[str], missing: int, configured: int) -> str | None:
    """What is wrong when Redis refuses these keys and so many of the configured symbols lack data; None if nothing."""
    refused = ", ".join(refusing)
    troubles = [f"Redis refuses writes to {refused}: {_TO_ALLOW}"] if refused else []
    troubles += [f"{missing:,} of {configured:,} symbols without data"] if missing else []
    return "; ".join(troubles) or None


def parse_report(payload: str | bytes) -> StreamerReport:
    """Parse the report in Redis; raises ``pydantic.ValidationError`` when it is not one."""
    return StreamerReport.model_validate_json(payload)
