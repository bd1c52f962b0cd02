"""The URL of a Redis: what it names, its redacted form, and the messages for its failures.

The only module that parses such a URL. Opens no connection, and loads redis-py only to classify an error.
"""

import contextlib
import os
import re
import socket
import ssl
from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from schwabstream.broker.options import OURS, check_options
from schwabstream.errors import RedisUnavailable, RedisUnsuitable
from schwabstream.escapes import safe

if TYPE_CHECKING:
    from schwabstream.broker.routes import NoRoute

START: Final = "start it, correct REDIS_URL or --redis, or try schwabstream stream run --redis embedded"
RENEW: Final = "replace that certificate, or correct ssl_ca_certs in REDIS_URL or --redis"
_SET_URL: Final = "set REDIS_URL or --redis to"
OTHER_URL: Final = f"{_SET_URL} the URL of its master"
IS_NODE: Final = "is a node of a Redis Cluster"
IS_SENTINEL: Final = "is a Sentinel"
IS_REPLICA: Final = "is a read-only replica"

Mode = Literal["single", "sentinel", "cluster"]
SLOTS: Final = 16384

_QUERY_PASSWORD = re.compile(r"([?&]\w*pa?s\w*=)[^&]*")  # misspelled, too
# Up to the last "@": a password that is not percent-encoded may contain anything.
_CREDENTIALS = re.compile(r"(?<=://)(?P<user>[^/:@]*:)?.*@")
# The patterns below are compiled on first use, because most runs have the URL of a single Redis.
_PLAIN_HOST: Final = r"(?i)(rediss?)://((?:.*@)?[^/?]*).*"
_ENCODE = "cannot be read as a URL; special characters in a password must be percent-encoded"
_ONE_LOGIN: Final = "must have one login, before the first host; a comma in a password must be written as %2C"
_SEED: Final = "must name a host before and after each comma, with its port unless that is the default"
_TOPOLOGY: Final = r"(?is)(?P<scheme>rediss?)\+(?P<mode>sentinel|cluster)://(?P<rest>.*)"
_TAG: Final = r"[^{]*\{([^}]+)\}"
"""The hash tag: the text between the first brace and the next closing one, which Redis hashes instead of the name."""
_PORTS: Final = {"sentinel": 26379, "cluster": 6379}
_NEAR: Final = r"(?i)(?:rediss?[-_+]?)?(?P<kind>sentinel|cluster)s?(?:\+tls|\+ssl)?:"
_EXAMPLES: Final = {
    "sentinel": "redis+sentinel://HOST:26379,HOST:26379/NAME with the name of the master",
    "cluster": "redis+cluster://HOST:6379,HOST:6379 with some nodes of the Cluster",
}
_HOST: Final = r"[\w.:%-]+"
_NAME: Final = r"[A-Za-z0-9._-]+"
_FORMS: Final = "redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"


class Address(NamedTuple):
    """Where a server listens: a host and a port, or the path of a socket and 0."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of a URL.

    ``connection_url`` is for redis-py; in a topology its host is the first seed, which the address that the route finds
    replaces at each connection. ``seeds`` are Sentinels or nodes of a Cluster; empty for a single Redis.
    """

    mode: Mode
    connection_url: str = field(repr=False)
    seeds: tuple[Address, ...] = ()
    master_name: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    from_replica: bool = False


def check_redis_url(url: str) -> str:
    """Return a valid URL; raises ``ValueError`` that names the invalid part without its value."""
    parse_redis_url(url)
    return url


def parse_redis_url(url: str) -> RedisUrl:
    """The parts of the URL; raises ``ValueError`` that names the invalid part without its value."""
    if url.lower().startswith(("redis://", "rediss://", "unix://")):
        _check_single(url)
        return RedisUrl("single", url)
    if topology := re.fullmatch(_TOPOLOGY, url):
        scheme, mode = topology["scheme"].lower(), topology["mode"].lower()
        return _parse_topology(scheme, "sentinel" if mode == "sentinel" else "cluster", topology["rest"])
    if near := re.match(_NEAR, url):
        raise ValueError(f"must be {_EXAMPLES[near['kind'].lower()]}")
    raise ValueError(f"must start with {_FORMS}")


def prefix_at(redis_url: str, prefix: str) -> str:
    """The prefix of all names at that URL; on a Cluster it has a hash tag, which keeps the names in one slot."""
    if "+cluster://" not in redis_url[:17].lower() or re.match(_TAG, prefix):
        return prefix
    return f"{{{prefix}}}"


def slot_of(prefix: str) -> int:
    """The hash slot of all names that begin with a prefix that has a hash tag."""
    tag = re.match(_TAG, prefix)
    return crc_hqx((tag[1] if tag else prefix).encode(), 0) % SLOTS


def _check_single(url: str) -> None:
    try:
        parts = urlsplit(url)
        # A character that should be encoded can split a password, and no part of it may appear in a message.
        several = "," in parts.netloc.rpartition("@")[2] and "@" not in parts.path + parts.query + parts.fragment
        _ = None if several else parts.port  # read for the error it raises
    except ValueError:
        # The library's message contains the value.
        raise ValueError(_ENCODE) from None
    if several:
        raise ValueError("names several hosts: " + ", or ".join(f"write {form}" for form in _EXAMPLES.values()))
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(_ENCODE)
    if parts.fragment:
        raise ValueError("contains a #, which must be percent-encoded in a password")
    if parts.scheme == "unix":
        if parts.hostname or not parts.path:
            raise ValueError("must name a socket by its full path: unix:///run/redis/redis.sock")
    elif not re.fullmatch(r"(/\d*)?", parts.path):
        raise ValueError("the database after the last / must be a whole number")
    check_options(parts.query, parts.scheme, "single")


def _parse_topology(scheme: str, mode: Literal["sentinel", "cluster"], rest: str) -> RedisUrl:
    """Parse the part after ``://`` of a URL of Sentinels or of a Cluster."""
    before, question, query = rest.partition("?")
    netloc, _, path = before.partition("/")
    login, at, hosts = netloc.rpartition("@")
    if "@" in path + query or "#" in rest:
        raise ValueError(_ENCODE)
    if "," in login:
        raise ValueError(_ONE_LOGIN)
    options = check_options(query, scheme, mode)
    seeds = tuple(_seed(host, _PORTS[mode]) for host in hosts.split(","))
    name, database = _path_of(path, options.get("sentinel_master_name")) if mode == "sentinel" else ("", path)
    if mode == "cluster" and {database, options.get("db", "")} - {"", "0"}:
        raise ValueError("a Cluster has only database 0: leave out the database")
    if not re.fullmatch(r"\d*", database):
        raise ValueError("the database after the last / must be a whole number")
    theirs = urlencode({each: value for each, value in options.items() if each not in OURS}, quote_via=quote)
    connection_url = f"{scheme}://{login}{at}{seeds[0]}/{database}{question and theirs and '?'}{theirs}"
    _check_single(connection_url)
    return RedisUrl(
        mode,
        connection_url,
        seeds,
        name,
        options.get("sentinel_username"),
        options.get("sentinel_password"),
        from_replica="read_from" in options,
    )


def _seed(text: str, port: int) -> Address:
    """One of the hosts between the commas."""
    try:
        parts = urlsplit(f"redis://{text}")
        host, given = parts.hostname or "", parts.port
    except ValueError:
        host, given = "", None
    if given == 0 or not re.fullmatch(_HOST, host):
        raise ValueError(_SEED if text.count(":") < 2 else f"{_SEED}, and an IPv6 address in brackets")
    return Address(host, port if given is None else given)


def _path_of(path: str, name: str | None) -> tuple[str, str]:
    """The name of the master and the database, from the path and from the option with the name."""
    database = path
    if name is None:
        name, _, database = path.partition("/")
    if not name:
        raise ValueError(f"must name the master: {_EXAMPLES['sentinel']}")
    if not re.fullmatch(_NAME, name):
        raise ValueError("must name the master in letters, digits and . - _")
    return name, database


def redact_url(url: str) -> str:
    """The URL without its passwords, for messages and logs.

    A text without a colon before the host is also hidden: to Redis it is a user name, but often it is a password.
    """
    return _CREDENTIALS.sub(lambda found: f"{found['user'] or ''}***@", _QUERY_PASSWORD.sub(r"\1***", url))


def diagnose(url: str, error: BaseException) -> tuple[str, str]:
    """What is wrong with the Redis at that redacted URL, and the next step."""
    from redis import exceptions as redis

    if (lost := _no_route(error)) is not None:
        return safe(lost.trouble), lost.step
    if isinstance(error, redis.AuthenticationError):
        trouble, step = "does not accept the login", "correct the user and password in REDIS_URL or --redis"
    elif isinstance(error, redis.BusyLoadingError):
        trouble, step = "does not answer yet (it is loading its data)", START
    elif isinstance(error, redis.ResponseError) and str(error).startswith("NOREPLICAS"):
        trouble = "accepts no writes, because too few replicas are connected to it (min-replicas-to-write)"
        step = "start its replicas, or lower min-replicas-to-write"
    elif isinstance(error, redis.ClusterCrossSlotError) or (isinstance(error, redis.ResponseError) and is_away(error)):
        trouble, step = _elsewhere(url, error)
    elif isinstance(error, redis.NoPermissionError):
        trouble = f"refuses a command ({cause_of(error)})"
        step = "grant its user that right (ACL), or correct REDIS_URL or --redis"
    elif isinstance(error, redis.ResponseError):
        trouble, step = f"refuses a command ({cause_of(error)})", "run schwabstream doctor to find the cause"
    elif (flaw := flaw_of_certificate(error)) is not None:
        trouble, step = f"has a certificate that cannot be trusted ({flaw})", RENEW
    else:
        trouble, step = f"does not answer ({cause_of(error)})", START
    return f"Redis at {url} {trouble}", step


def unavailable(url: str, error: BaseException) -> RedisUnavailable:
    """One of our errors for an error of redis-py or the system; ``url`` is redacted."""
    what, step = diagnose(url, error)
    lost = _no_route(error)
    lasting = step.startswith(_SET_URL) if lost is None else lost.lasting
    return (RedisUnsuitable if lasting else RedisUnavailable)(f"{what}: {step}")


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise errors of redis-py and the system as ``RedisUnavailable``; ``url`` is redacted."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise unavailable(url, error) from error


def flaw_of_certificate(error: BaseException) -> str | None:
    """Why the certificate of a server cannot be trusted; None for an error of another kind."""
    origin = _origin_of(error)
    if not isinstance(origin, ssl.SSLCertVerificationError):
        return None
    return safe(origin.verify_message).rstrip(".")


def _origin_of(error: BaseException) -> BaseException | None:
    """The error of the system that caused one of redis-py, if there is one."""
    origin = error.__cause__ or error.__context__
    return error if not isinstance(origin, OSError) and isinstance(error, OSError) else origin


def cause_of(error: BaseException) -> str:
    """The shortest accurate reason: the system's message where there is one."""
    origin = _origin_of(error)
    if isinstance(origin, ssl.SSLError):
        return f"TLS: {flaw_of_certificate(error) or origin.reason}"
    if isinstance(origin, socket.gaierror):
        return f"{origin.strerror}"
    if isinstance(origin, OSError) and origin.errno:
        return os.strerror(origin.errno)
    # redis-py leaves out the first word of these replies, without which the rest means nothing.
    word = {"MovedError": "MOVED ", "AskError": "ASK "}.get(type(error).__name__, "")
    return safe(word + str(error)) or "no answer in time"


def _no_route(error: BaseException) -> "NoRoute | None":
    """The ``NoRoute`` that an error is or was caused by: redis-py wraps it in errors of its own."""
    from schwabstream.broker.routes import NoRoute

    return next((each for each in (error, error.__cause__) if isinstance(each, NoRoute)), None)


def _elsewhere(url: str, error: BaseException) -> tuple[str, str]:
    """What is wrong with a server that cannot serve because another does, and the next step."""
    from redis.exceptions import MasterDownError, ReadOnlyError

    if url.startswith(("redis+", "rediss+")):
        step = "wait until the change of master has ended, or run schwabstream doctor to find the cause"
        return f"cannot serve this at the moment ({cause_of(error)})", step
    if isinstance(error, ReadOnlyError):
        return IS_REPLICA, OTHER_URL
    if isinstance(error, MasterDownError):
        return "is a replica that has lost its master", OTHER_URL
    return f"{IS_NODE} ({cause_of(error)})", f"{_SET_URL} " + re.sub(_PLAIN_HOST, r"\1+cluster://\2", url)


_AWAY: Final = frozenset(
    {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "UNBLOCKED"}
)


# What redis-py and Redis put before the reply that made a transaction fail.
_FRAMES: Final = (" of pipeline caused error: ", "Transaction discarded because of: ")


def is_away_reply(text: str) -> bool:
    """Whether an error reply means that this node cannot serve now, so that the route should be asked again."""
    return text.partition(" ")[0] in _AWAY


def is_away(error: BaseException) -> bool:
    """Whether an error of redis-py or the system means that Redis is away, or that another node serves now."""
    from redis import exceptions as redis

    lost = (redis.ConnectionError, redis.TimeoutError, OSError, TimeoutError)
    moved = (redis.AskError, redis.TryAgainError, redis.ClusterDownError, redis.ReadOnlyError)
    reply = str(error)
    for frame in _FRAMES:
        reply = reply.rpartition(frame)[2]
    # redis-py shows the reply in a pipeline as a tuple.
    reply = reply.lstrip("('\"")
    return isinstance(error, (*lost, *moved)) or (isinstance(error, redis.ResponseError) and is_away_reply(reply))
