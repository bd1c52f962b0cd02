"""Redis URLs: what is refused and named, what is hidden, and how a failure is worded."""

import asyncio
import socket
from pathlib import Path
from urllib.parse import quote

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from schwabstream.broker.client import connection_pool
from schwabstream.broker.options import OPTIONS
from schwabstream.broker.url import check_redis_url, redact_url, translated, unavailable
from schwabstream.errors import ConfigurationError, RedisUnavailable, RedisUnsuitable

SECRET = "s3cr3t"
URL = "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://h/0?foo=1", "has an unknown option foo"),
        ("redis://h/0?sockettimeout=1", "has an unknown option sockettimeout; did you mean socket_timeout?"),
        ("redis://h/0?DB=1", "option"),
        ("redis://h/0?db=x", "db must be a whole number"),
        ("redis://h?db=", "db must be a whole number"),
        ("redis://h?db=-1", "db must be a whole number"),
        ("redis://h?socket_timeout=abc", "socket_timeout must be a number of seconds"),
        ("redis://h?socket_timeout=nan", "socket_timeout must be a number of seconds"),
        ("redis://h?socket_keepalive=maybe", "socket_keepalive must be true or false"),
        ("redis://h?protocol=4", "protocol must be 2 or 3"),
        ("redis://h?username=", "username must be a non-empty text"),
        ("redis://h?db=1&db=2", "db is given twice"),
        (f"redis://h?ssl_password={SECRET}", "ssl_password needs rediss://"),
        ("unix:///run/redis.sock?ssl_ca_certs=/etc/hosts", "ssl_ca_certs needs rediss://"),
        ("unix:///run/redis.sock?socket_keepalive=1", "socket_keepalive needs redis:// or rediss://"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs must be none, optional or required"),
        ("rediss://h?ssl_ca_certs=/no/such/file", "ssl_ca_certs must be a file that can be read"),
        ("rediss://h?ssl_ca_path=/etc/hosts", "ssl_ca_path must be a directory"),
        ("redis://h/first", "the database after the last / must be a whole number"),
        ("redis://h/0/1", "the database after the last / must be a whole number"),
        ("redis://h/0#x", "#"),
        ("unix://run/redis.sock", "unix:///"),
        ("unix://", "unix:///"),
        ("http://h", "must start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"),
        ("embedded", "must start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"),
        ("redis://h:port/0", "cannot be read as a URL"),
        (f"redis://:p?{SECRET}@h", "percent-encoded"),
        (f"redis://:p#{SECRET}@h", "percent-encoded"),
        (f"redis://:1/{SECRET}@h", "percent-encoded"),
        (f"redis://:p/{SECRET}@h", "percent-encoded"),
        (f"redis://:p?{SECRET}@h:6379/0?db=1", "percent-encoded"),
        (f"redis://h?{SECRET}=1", "option"),
    ],
)
def test_a_wrong_part_is_named(url: str, named: str) -> None:
    """Each wrong or unknown part of a URL is refused by its name, and nothing that may be a password is shown."""
    with pytest.raises(ValueError, match=r".") as refused:
        check_redis_url(url)
    assert named in str(refused.value)
    assert SECRET not in str(refused.value)
    with pytest.raises(ConfigurationError) as pool:
        connection_pool(url, "market_data")
    assert named in str(pool.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://h",
        "redis://h/",
        "redis://:pa%3Fss%40@h:6380/2?client_name=me&health_check_interval=30&socket_keepalive=yes&protocol=3",
        "REDISS://u:p@[::1]:6380/0?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis%40home.sock?db=3",
        "unix://u:p@/run/redis.sock",
    ],
)
def test_a_right_url_is_taken(url: str) -> None:
    """A URL that redis-py understands and we support passes unchanged."""
    check_redis_url(url)
    asyncio.run(connection_pool(url, "market_data").disconnect())


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("base", ["redis://h", "rediss://h", "unix:///s"])
def test_every_option_is_one_of_redis_py(name: str, base: str, tmp_path: Path) -> None:
    """No option passes the check that redis-py's connection of that scheme would not take."""
    certificate = tmp_path / "ca.pem"
    certificate.touch()
    values = {"ssl_cert_reqs": "none", "ssl_ca_path": tmp_path, "protocol": 2, "socket_keepalive": "no"}
    given = values.get(name, certificate if OPTIONS[name].what.startswith("a file") else 1)
    url = f"{base}?{name}={quote(str(given))}"
    try:
        check_redis_url(url)
    except ValueError as error:
        assert "needs redis" in str(error)  # noqa: PT017 - most pass
        return
    pool = connection_pool(url, "market_data", socket_timeout=1.0)
    assert name in pool.connection_kwargs or name == "max_connections"
    pool.connection_class(**pool.connection_kwargs)
    assert pool.connection_class is not SSLConnection or base.startswith("rediss")
    assert pool.connection_class is not UnixDomainSocketConnection or base.startswith("unix")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://u:secret@h:1/0", "redis://u:***@h:1/0"),
        ("rediss://:secret@h/0", "rediss://:***@h/0"),
        ("redis://secret@h/0", "redis://***@h/0"),
        ("redis://sec/ret@h/0", "redis://***@h/0"),
        ("redis://u:sec@ret@h/0", "redis://u:***@h/0"),
        ("unix://u:secret@/run/redis.sock?db=1", "unix://u:***@/run/redis.sock?db=1"),
        ("redis://h:1/0?password=secret&db=1", "redis://h:1/0?password=***&db=1"),
        ("rediss://h/0?ssl_password=secret", "rediss://h/0?ssl_password=***"),
        ("redis+sentinel://h/n?sentinel_password=secret", "redis+sentinel://h/n?sentinel_password=***"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    """Messages and logs name the server, never the password, nor a user name that may be one by mistake."""
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), RedisUnavailable, "does not answer (Connection refused)"),
        (TimeoutError(), RedisUnavailable, "does not answer (no answer in time)"),
        (socket.gaierror(-2, "Name or service not known"), RedisUnavailable, "(Name or service not known)"),
        (RedisConnectionError("closed by\x1b]0;x"), RedisUnavailable, r"does not answer (closed by\u001b]0;x)"),
        (BusyLoadingError("loading"), RedisUnavailable, "does not answer yet (it is loading its data)"),
        (AuthenticationError("no"), RedisUnavailable, "does not accept the login: correct the user and password"),
        (NoPermissionError("no rights to run 'set'"), RedisUnavailable, "refuses a command (no rights to run 'set')"),
        (ResponseError("unknown command"), RedisUnavailable, "refuses a command (unknown command)"),
        (ReadOnlyError("no writes"), RedisUnsuitable, "is a read-only replica"),
        (MovedError("1 h:7001"), RedisUnsuitable, "is a node of a Redis Cluster, which is not supported yet"),
        (AskError("1 h:7001"), RedisUnsuitable, "is a node of a Redis Cluster"),
        (ClusterDownError("Hash slot not served"), RedisUnsuitable, "is a node of a Redis Cluster"),
        (ClusterCrossSlotError("Keys in request"), RedisUnsuitable, "is a node of a Redis Cluster"),
    ],
)
def test_a_failure_has_the_same_words_everywhere(error: Exception, kind: type[Exception], words: str) -> None:
    """The message names Redis by its URL and the failure, and ends with the next step."""
    with pytest.raises(RedisUnavailable) as raised, translated(URL):
        raise error
    assert type(raised.value) is kind
    assert raised.value.__cause__ is error
    message = str(raised.value)
    assert message.startswith(f"Redis at {URL} ")
    assert words in message
    assert ": " in message
    assert message == str(unavailable(URL, error))


def test_our_own_errors_pass() -> None:
    """An error of ours is not worded twice."""
    with pytest.raises(RedisUnavailable, match=r"^as it is$"), translated(URL):
        raise RedisUnavailable("as it is")
