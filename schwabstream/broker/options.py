"""The options of a Redis URL: their names, valid values, and the kinds of URL that allow them. Opens nothing."""

import math
import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

_OPTION_NAME = re.compile(r"[a-z_]+")


class Option(NamedTuple):
    """An option after the ``?``: its valid values, described and as a test, and the URLs that allow it.

    ``schemes`` are those of the connections. ``modes`` are the kinds of Redis: a single one, Sentinels or a Cluster.
    """

    what: str
    fits: Callable[[str], bool]
    schemes: tuple[str, ...] = ("redis", "rediss", "unix")
    modes: tuple[str, ...] = ("single", "sentinel", "cluster")


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
    "sentinel_master_name": _TEXT._replace(modes=("sentinel",)),
    "sentinel_username": _TEXT._replace(modes=("sentinel",)),
    "sentinel_password": _TEXT._replace(modes=("sentinel",)),
    "read_from": Option("replica", lambda text: text == "replica", modes=("sentinel", "cluster")),
}
"""The options that a URL may contain, by name: some of redis-py's, and ours."""
OURS: Final = frozenset({"sentinel_master_name", "sentinel_username", "sentinel_password", "read_from"})
"""The options that redis-py does not accept."""


def check_options(query: str, scheme: str, mode: str) -> dict[str, str]:
    """The options of a query, decoded; raises ``ValueError`` that names a wrong or unknown one without its value."""
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        option = OPTIONS.get(name)
        if option is None:
            shown = f" {name}" if _OPTION_NAME.fullmatch(name) else ""
            close = get_close_matches(name, (each for each in OPTIONS if mode in OPTIONS[each].modes), 1)
            near = "".join(f"; did you mean {match}?" for match in close)
            raise ValueError(f"has an unknown option{shown}{near}")
        if name in given:
            raise ValueError(f"{name} is given twice")
        given[name] = value
        if mode not in option.modes:
            raise ValueError(f"{name} needs {' or '.join(f'redis+{each}://' for each in option.modes)}")
        if scheme not in option.schemes:
            after = "" if mode == "single" else f"+{mode}"
            raise ValueError(f"{name} needs {' or '.join(f'{each}{after}://' for each in option.schemes)}")
        if not option.fits(value):
            raise ValueError(f"{name} must be {option.what}")
    return given
