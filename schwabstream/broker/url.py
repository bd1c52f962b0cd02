"""The URL of a Redis: its validation, its redacted form, and the messages for its failures.

The only module that parses such a URL. Opens no connection, and loads redis-py only to classify an error.
"""

import contextlib
import math
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from schwabstream.errors import RedisUnavailable, RedisUnsuitable
from schwabstream.escapes import safe

START: Final = "start it, correct REDIS_URL or --redis, or try schwabstream stream run --redis embedded"
OTHER_URL: Final = "set REDIS_URL or --redis to the URL of a primary outside a Cluster"
NO_CLUSTER: Final = "is a node of a Redis Cluster, which is not supported yet"
NO_SENTINEL: Final = "is a Sentinel, which is not supported yet"
REPLICA: Final = "is a read-only replica"

_QUERY_PASSWORD = re.compile(r"([?&]\w*password=)[^&]*")
# Up to the last "@": a password that is not percent-encoded may contain anything.
_CREDENTIALS = re.compile(r"(?<=://)(?P<user>[^/:@]*:)?.*@")
_OPTION_NAME = re.compile(r"[a-z_]+")
_ENCODE = "cannot be read as a URL; special characters in a password must be percent-encoded"


class Option(NamedTuple):
    """An option after the ``?``: its valid values, as text and as a test, and the schemes that have it."""

    what: str
    fits: Callable[[str], bool]
    schemes: tuple[str, ...] = ("redis", "rediss", "unix")


def _is_seconds(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _is_readable(text: str) -> bool:
    return Path(text).is_file() and os.access(text, os.R_OK)


_TLS, _TCP = ("rediss",), ("redis", "rediss")
_TEXT = Option("a non-empty text", bool)
_NUMBER = Option("a whole number", str.isdecimal)
_SECONDS = Option("a number of seconds", _is_seconds)
_SWITCH = Option("true or false", lambda text: text.lower() in ("true", "false", "yes", "no", "1", "0"))
_TLS_FILE = Option("a file that can be read", _is_readable, _TLS)

OPTIONS: Final[dict[str, Option]] = {
    "db": _NUMBER,
    "username": _TEXT,
    "password": _TEXT,
    "client_name": _TEXT,
    "protocol": Option("2 or 3", lambda text: text in ("2", "3")),
    "socket_timeout": _SECONDS,
    "socket_connect_timeout": _SECONDS,
    "socket_keepalive": _SWITCH._replace(schemes=_TCP),
    "retry_on_timeout": _SWITCH,
    "health_check_interval": _NUMBER,
    "max_connections": _NUMBER,
    "ssl_cert_reqs": Option(
        "none, optional or required", lambda text: text in ("none", "optional", "required"), schemes=_TLS
    ),
    "ssl_check_hostname": _SWITCH._replace(schemes=_TLS),
    "ssl_ca_certs": _TLS_FILE,
    "ssl_certfile": _TLS_FILE,
    "ssl_keyfile": _TLS_FILE,
    "ssl_ca_path": Option("a directory", lambda text: Path(text).is_dir(), _TLS),
    "ssl_ca_data": _TEXT._replace(schemes=_TLS),
    "ssl_ciphers": _TEXT._replace(schemes=_TLS),
    "ssl_password": _TEXT._replace(schemes=_TLS),
}
"""The options of redis-py's connections that a setting may contain, by name."""


def check_redis_url(url: str) -> str:
    """Return a valid URL; raises ``ValueError`` that names the invalid part without its value."""
    if not url.lower().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://")
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for the error it raises
    except ValueError:
        # The library's message contains the value.
        raise ValueError(_ENCODE) from None
    # A character that should be encoded has split a password: no part of it may appear as a name in a message.
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(_ENCODE)
    _check_place(parts)
    _check_options(parts)
    return url


def _check_place(parts: SplitResult) -> None:
    if parts.fragment:
        raise ValueError("contains a #, which must be percent-encoded in a password")
    if parts.scheme == "unix":
        if parts.hostname or not parts.path:
            raise ValueError("must name a socket by its full path: unix:///run/redis/redis.sock")
    elif not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("the database after the last / must be a whole number")


def _check_options(parts: SplitResult) -> None:
    seen: set[str] = set()
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        option = OPTIONS.get(name)
        if option is None:
            shown = f" {name}" if _OPTION_NAME.fullmatch(name) else ""
            near = "".join(f"; did you mean {match}?" for match in get_close_matches(name, OPTIONS, 1))
            raise ValueError(f"has an unknown option{shown}{near}")
        if name in seen:
            raise ValueError(f"{name} is given twice")
        seen.add(name)
        if parts.scheme not in option.schemes:
            raise ValueError(f"{name} needs {' or '.join(f'{scheme}://' for scheme in option.schemes)}")
        if not option.fits(value):
            raise ValueError(f"{name} must be {option.what}")


def redact_url(url: str) -> str:
    """The URL without its passwords, for messages and logs.

    A text without a colon before the host is also hidden: to Redis it is a user name, but often it is a password.
    """
    return _CREDENTIALS.sub(lambda found: f"{found['user'] or ''}***@", _QUERY_PASSWORD.sub(r"\1***", url))


def diagnose(url: str, error: BaseException) -> tuple[str, str]:
    """What is wrong with the Redis at that redacted URL, and the next step."""
    from redis import exceptions as redis

    if isinstance(error, redis.AuthenticationError):
        trouble, step = "does not accept the login", "correct the user and password in REDIS_URL or --redis"
    elif isinstance(error, redis.BusyLoadingError):
        trouble, step = "does not answer yet (it is loading its data)", START
    elif isinstance(error, redis.ReadOnlyError):
        trouble, step = REPLICA, OTHER_URL
    elif _is_of_cluster(error):
        trouble, step = f"{NO_CLUSTER} ({cause_of(error)})", OTHER_URL
    elif isinstance(error, redis.NoPermissionError):
        trouble = f"refuses a command ({cause_of(error)})"
        step = "grant its user that right (ACL), or correct REDIS_URL or --redis"
    elif isinstance(error, redis.ResponseError):
        trouble, step = f"refuses a command ({cause_of(error)})", "run schwabstream doctor to find the cause"
    else:
        trouble, step = f"does not answer ({cause_of(error)})", START
    return f"Redis at {url} {trouble}", step


def unavailable(url: str, error: BaseException) -> RedisUnavailable:
    """One of our errors for an error of redis-py or the system; ``url`` is redacted."""
    what, step = diagnose(url, error)
    return (RedisUnsuitable if step == OTHER_URL else RedisUnavailable)(f"{what}: {step}")


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise errors of redis-py and the system as ``RedisUnavailable``; ``url`` is redacted."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise unavailable(url, error) from error


def cause_of(error: BaseException) -> str:
    """The shortest accurate reason: the system's message where there is one."""
    origin = error.__cause__ or error.__context__
    if not isinstance(origin, OSError) and isinstance(error, OSError):
        origin = error
    if isinstance(origin, ssl.SSLError):
        return f"TLS: {getattr(origin, 'verify_message', '') or origin.reason}"
    if isinstance(origin, socket.gaierror):
        return f"{origin.strerror}"
    if isinstance(origin, OSError) and origin.errno:
        return os.strerror(origin.errno)
    return safe(str(error)) or "no answer in time"


def _is_of_cluster(error: BaseException) -> bool:
    from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, MasterDownError

    return isinstance(error, AskError | ClusterCrossSlotError | ClusterDownError) and not isinstance(
        error, MasterDownError
    )
