"""All errors that this package raises on purpose; each leaf requires a different action.

::

    SchwabStreamError                 exit 1   unexpected
    ├── ConfigurationError            exit 2   a setting or an argument is missing or invalid
    │   └── SymbolError               exit 2   a string cannot be a symbol
    ├── LoginRequired                 exit 3   Schwab refused the credentials: a person must log in
    ├── SchwabUnavailable             exit 4   the network or Schwab is down: the same call may work later
    │   ├── SessionLost               exit 4   the streamer connection ended or went silent
    │   └── LoginDenied               exit 4   the streamer rejected this access token: refresh it
    ├── ProtocolError                 exit 5   Schwab sent something that the protocol does not allow
    ├── Refused                       exit 6   Schwab understood the request and refused it
    │   ├── Evicted                   exit 6   another session took the one streamer connection
    │   └── LeaseLost                 exit 6   another streamer holds this account, or this prefix
    ├── TokenFileError                exit 7   the token file cannot be read or written
    ├── RedisUnavailable              exit 8   Redis cannot be reached, or refuses a write
    │   └── RedisUnsuitable           exit 8   the URL leads to a server that cannot serve: use another
    └── OutputUnwritable              exit 1   standard output is closed or takes no more data

A message names the failure, its object and the next step, and never contains a token, a secret or an account number.
``label`` is the error's name in metrics. The code that calls a library translates its exceptions and chains them
with ``raise … from error``.
"""

__all__ = [
    "ConfigurationError",
    "Evicted",
    "LeaseLost",
    "LoginDenied",
    "LoginRequired",
    "OutputUnwritable",
    "ProtocolError",
    "RedisUnavailable",
    "RedisUnsuitable",
    "Refused",
    "SchwabStreamError",
    "SchwabUnavailable",
    "SessionLost",
    "SymbolError",
    "TokenFileError",
]


class SchwabStreamError(Exception):
    """The base class of all errors that this package raises on purpose."""

    exit_code = 1
    label = "schwab_stream_error"


class ConfigurationError(SchwabStreamError):
    """A setting or an argument is missing or invalid; nothing was connected."""

    exit_code = 2
    label = "configuration_error"


class SymbolError(ConfigurationError):
    """A string cannot be a symbol; the message suggests the nearest valid form."""

    label = "symbol_error"


class LoginRequired(SchwabStreamError):
    """Schwab refused the credentials: run ``schwabstream auth login``."""

    exit_code = 3
    label = "login_required"


class SchwabUnavailable(SchwabStreamError):
    """The network or Schwab is down; the same call may work later.

    ``retry_after_s`` is the wait that Schwab asked for, in seconds, or None.
    """

    exit_code = 4
    label = "schwab_unavailable"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SessionLost(SchwabUnavailable):
    """The streamer connection ended, could not be opened, or went silent.

    ``unexplained``: the streamer closed it without a reason, neither a notice nor a close code.
    """

    label = "session_lost"

    def __init__(self, message: str, *, retry_after_s: float | None = None, unexplained: bool = False) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.unexplained = unexplained


class LoginDenied(SchwabUnavailable):
    """The streamer answered LOGIN with code 3: refresh the access token and try once more."""

    label = "login_denied"


class ProtocolError(SchwabStreamError):
    """Schwab sent something that the protocol does not allow."""

    exit_code = 5
    label = "protocol_error"


class Refused(SchwabStreamError):
    """Schwab understood the request and refused it."""

    exit_code = 6
    label = "refused"


class Evicted(Refused):
    """Another session of the same user took the one streamer connection (code 12)."""

    label = "evicted"


class LeaseLost(Refused):
    """Another streamer holds the account's lease, or another account the prefix: this one must not publish."""

    label = "lease_lost"


class TokenFileError(SchwabStreamError):
    """The token file cannot be read or written."""

    exit_code = 7
    label = "token_file_error"


class RedisUnavailable(SchwabStreamError):
    """Redis cannot be reached, or refuses a write."""

    exit_code = 8
    label = "redis_unavailable"


class RedisUnsuitable(RedisUnavailable):
    """The URL leads to a server that cannot serve, such as a replica: use the URL that the message names."""

    label = "redis_unsuitable"


class OutputUnwritable(SchwabStreamError):
    """Standard output is closed, or takes no more data, as on a full disk."""

    label = "output_unwritable"
