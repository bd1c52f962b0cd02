"""The switches of the simulator: everything that can be made to fail, or to behave differently, while it runs.

Set attributes from Python, or send JSON to ``/simulator/faults``, where unknown names and values of the wrong type are
errors. The defaults are what Schwab does, as far as recorded (protocol 9).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

TokenError = Literal[
    "refresh_expired",
    "refresh_superseded",
    "bare_unsupported",
    "invalid_client",
    "invalid_grant",
    "forbidden_html",
    "empty_401",
    "rate_limited",
    "server_error",
    "not_json",
    "silence",
    "drop",
]
RestError = Literal[
    "unauthorized",
    "forbidden_html",
    "empty_401",
    "rate_limited",
    "server_error",
    "gateway_fault",
    "service_error",
    "not_json",
    "silence",
    "drop",
]


@dataclass(slots=True)
class Faults:
    """The faults to inject: times are in seconds, rates are per second and key.

    A match selects commands: ``"SUBS"``, a service, or ``"SERVICE SUBS"``.
    """

    # OAuth
    auto_approve: bool = False
    token_error: TokenError | None = None
    token_error_count: int | None = None
    """How many more token calls fail; None: all."""
    token_delay_s: float = 0.0
    rotate_refresh_token: bool = False
    omit_refresh_token: bool = False
    """A refresh is answered without a refresh token; a login is not."""
    access_token_life_s: float = 1800.0
    refresh_token_life_s: float = 7 * 86_400.0
    code_life_s: float = 30.0

    # REST
    rest_error: RestError | None = None
    rest_error_count: int | None = None
    rest_error_path: str = ""
    """Only paths that contain this fail."""
    rest_delay_s: float = 0.0
    retry_after_s: int | None = None
    requests_per_minute: int = 120
    root_quote_key: Literal["contract", "root"] = "contract"
    accounts: list[str] = field(default_factory=lambda: ["70124185", "38297164"])
    """The user's account numbers; the orders of ACCT_ACTIVITY go round them."""
    level2_permission: bool = True
    market_data_permission: str | None = "NP"
    holidays: set[str] = field(default_factory=set)
    """ISO dates on which the markets endpoint reports a closed market, besides weekends and the exchanges' holidays."""
    half_days: set[str] = field(default_factory=set)
    """ISO dates on which equities close at 13:00 Eastern, besides the exchanges' half days."""

    # connection
    refuse: bool = False
    """Every request except to the control path resets its connection. For a closed port: ``stop_listening``."""
    drop_in_handshake: bool = False
    handshake_status: int | None = None
    handshake_delay_s: float = 0.0
    black_hole: bool = False
    """Streamer sockets stay open; nothing is read, answered or sent."""
    pongs: bool = True
    drop_every_s: tuple[float, float] | None = None
    """Each session ends after a random time between the two."""
    drop_close_code: int | None = None
    """How ``drop_every_s`` ends a session; None: without a close frame (1006)."""
    slow_consumer_bytes: int = 16_000_000
    """Unsent bytes after which a session is stopped with code 30."""

    # LOGIN and commands
    login_delay_s: float = 0.0
    login_unanswered: bool = False
    login_drop: bool = False
    login_code: int | None = None
    command_delay_s: float = 0.0
    command_codes: dict[str, int] = field(default_factory=dict)
    """Match → code instead of 0; 26 to 29 succeed like 0, 12 and 30 also end the session."""
    unanswered: set[str] = field(default_factory=set)
    """Matches that are neither answered nor executed."""
    serial_commands: bool = False
    """A command sent while another is unanswered fails with 22 to 25."""
    bad_format_keeps_socket: bool = False
    max_keys: int = 500
    max_screeners: int = 10
    evict_notify: bool = True
    evict_close_code: int | None = None
    empty_subscription_s: float | None = 30.0

    # what is sent
    heartbeats: bool = True
    heartbeat_interval_s: float = 10.0
    data: bool = True
    """False: heartbeats only."""
    changes_per_s: float = 1.0
    """Level-1 changes per key; 0: only ``SchwabSimulator.step``."""
    books_per_s: float = 1.0
    snapshot_delay_s: float = 0.01
    snapshot_on_resubscribe: bool = True
    """A SUBS or ADD of a subscribed key sends another snapshot; whether Schwab does so is unknown."""
    muted_services: set[str] = field(default_factory=set)
    silent_keys: set[str] = field(default_factory=set)
    batch_limit: int | None = None
    """Only the first N keys of a SUBS or ADD get data, though all are acknowledged."""
    root_stream_key: Literal["contract", "root"] = "root"
    """Under which key the entries of a root are sent."""
    unknown_symbol_frame: bool = False
    """Unknown futures keys get the U+FFFD frame (trap T5) instead of silence."""
    accept_mic: bool = False
    unknown_keys: set[str] = field(default_factory=lambda: {"NOPE", "XYZZY", "ZZZZ", "ZZZZQ"})
    """Keys that Schwab does not know, besides keys that cannot name an instrument."""
    futures_depth: bool = False
    """Serve FUTURES_BOOK, which live Schwab does not."""
    market_status: str = "Normal"
    """The security status of everything; other than Normal, nothing moves."""
    halted_keys: set[str] = field(default_factory=set)
    delayed: bool = False
    entries_per_frame: int = 0
    """0: all entries of one moment and service in one frame."""
    merge_services: bool = False
    """Several services share a data array."""
    garbage_share: float = 0.0
    """Share of data frames followed by one that is not JSON."""
    truncate_share: float = 0.0
    nan_share: float = 0.0
    """Share of level-1 frames whose bid price is a bare NaN."""
    padding_bytes: int = 0
    """Every data frame is made at least this long by an unknown field."""

    def as_json(self) -> dict[str, Any]:
        """All switches as JSON values."""
        return dict(_ADAPTER.dump_python(self, mode="json"))

    def apply(self, changes: dict[str, Any]) -> None:
        """Set the named switches from JSON values, all or none; ``ValueError`` names the first invalid one."""
        names = {each.name for each in dataclasses.fields(self)}
        if unknown := sorted(set(changes) - names):
            raise ValueError(f"no such fault: {', '.join(unknown)}")
        try:
            checked = _ADAPTER.validate_python({**self.as_json(), **changes})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{first['loc'][0]}: {first['msg']}") from error
        for name in changes:
            setattr(self, name, getattr(checked, name))

    def reset(self) -> None:
        """Set every switch to its default."""
        fresh = Faults()
        for each in dataclasses.fields(self):
            setattr(self, each.name, getattr(fresh, each.name))

    def listed(self, key: str) -> str | None:
        """The key under which the market lists it; None for a key that Schwab does not know."""
        bare = key.partition(":")[0] if self.accept_mic else key
        return None if bare in self.unknown_keys else bare

    def take_token_error(self) -> TokenError | None:
        """The error for this token call, counted down."""
        if self.token_error is None or self.token_error_count == 0:
            return None
        if self.token_error_count is not None:
            self.token_error_count -= 1
        return self.token_error

    def take_rest_error(self, path: str) -> RestError | None:
        """The error for this REST call, counted down."""
        if self.rest_error is None or self.rest_error_count == 0 or self.rest_error_path not in path:
            return None
        if self.rest_error_count is not None:
            self.rest_error_count -= 1
        return self.rest_error


_ADAPTER = TypeAdapter(Faults)


def matches(patterns: "set[str] | dict[str, int]", service: str, command: str) -> str | None:
    """The pattern that selects this command, the most specific first, or None."""
    return next((each for each in (f"{service} {command}", service, command) if each in patterns), None)
