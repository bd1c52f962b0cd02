"""Redis URLs: what is refused and named, what is hidden, and how a failure is worded."""

import asyncio
import socket
import ssl
from pathlib import Path
from urllib.parse import quote

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ExecAbortError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from schwabstream.broker.client import connection_pool
from schwabstream.broker.options import OPTIONS
from schwabstream.broker.routes import NoRoute
from schwabstream.broker.url import (
    Address,
    RedisUrl,
    cause_of,
    check_redis_url,
    diagnose,
    is_away,
    is_away_reply,
    parse_redis_url,
    prefix_at,
    redact_url,
    slot_of,
    translated,
    unavailable,
)
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
        ("redis://h:port/0", "cannot be read as a URL"),
        ("sentinel://h:26379/mymaster", "must be redis+sentinel://HOST:26379,HOST:26379/NAME"),
        ("sentinel://h:1;sentinel://h:2", "must be redis+sentinel://"),
        ("redis-sentinel://h/mymaster", "must be redis+sentinel://"),
        ("rediss-sentinel://h/mymaster", "must be redis+sentinel://"),
        ("redis+sentinels://h/mymaster", "must be redis+sentinel://"),
        ("redis-cluster://h", "must be redis+cluster://HOST:6379,HOST:6379"),
        ("cluster://h", "must be redis+cluster://"),
        ("redis://h1,h2/0", "names several hosts: write redis+sentinel://HOST:26379,HOST:26379/NAME"),
        ("redis://u:p@h1:1,h2:2,h3:3/0", "or write redis+cluster://HOST:6379,HOST:6379"),
        ("redis://h/0?sentinel=mymaster", "has an unknown option sentinel"),
        ("redis://h/0?sentinel_master_name=m", "sentinel_master_name needs redis+sentinel://"),
        ("redis://h/0?read_from=replica", "read_from needs redis+sentinel:// or redis+cluster://"),
        ("redis+cluster://h?sentinel_password=x", "sentinel_password needs redis+sentinel://"),
        ("redis+cluster://h?read_from=master", "read_from must be replica"),
        ("redis+cluster://h/3", "a Cluster has only database 0"),
        ("redis+cluster://h?db=3", "a Cluster has only database 0"),
        ("redis+cluster://h/three", "a Cluster has only database 0"),
        ("redis+cluster://", "must name a host"),
        ("redis+cluster://h1,,h2", "must name a host"),
        ("redis+cluster://h1,h2:0", "must name a host"),
        ("redis+cluster://h 1", "must name a host"),
        ("redis+cluster://h1:port", "must name a host before and after each comma"),
        ("redis+cluster://h1:65536", "must name a host before and after each comma"),
        ("redis+cluster://[::1", "an IPv6 address in brackets"),
        ("redis+cluster://::1", "an IPv6 address in brackets"),
        (f"redis+sentinel://u:{SECRET}@h1,u:{SECRET}@h2/m", "must have one login, before the first host"),
        (f"redis+cluster://h1,u:{SECRET}@h2", "must have one login, before the first host"),
        ("redis+cluster://h?foo=1", "has an unknown option foo"),
        ("redis+cluster://h?ssl_cert_reqs=none", "ssl_cert_reqs needs rediss+cluster://"),
        ("redis+cluster://h#x", "percent-encoded"),
        ("redis+sentinel://h", "must name the master"),
        ("redis+sentinel://h/", "must name the master"),
        ("redis+sentinel:///mymaster", "must name a host"),
        ("redis+sentinel://h/my%20master", "must name the master in letters"),
        ("redis+sentinel://h/mymaster/two", "the database after the last / must be a whole number"),
        ("redis+sentinel://h/mymaster/0/1", "the database after the last / must be a whole number"),
        ("redis+sentinel://h/mymaster?sentinel_master_name=mymaster", "the database after the last /"),
        ("redis+sentinel://h/0?sentinel_master_name=", "sentinel_master_name must be a non-empty text"),
        (f"redis+sentinel://:p/{SECRET}@h/m", "percent-encoded"),
        (f"redis+sentinel://:p?{SECRET}@h/m", "percent-encoded"),
        (f"redis+sentinel://:p#{SECRET}@h/m", "percent-encoded"),
        (f"redis+sentinel://h/m?sentinel_password={SECRET}&sentinel_password={SECRET}", "is given twice"),
        ("embedded", "must start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"),
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
        "redis://:p,w@h/0",
        "redis+sentinel://h/mymaster",
        "rediss+sentinel://u:p@h1,h2:26380,[::1]:26379/my-master.1/2?sentinel_username=s&sentinel_password=t&protocol=3",
        "REDIS+CLUSTER://:pa%2Css@h1,h2:7001/0?read_from=replica&socket_timeout=2",
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
        ("rediss+sentinel://u:se,cret@h1:1,h2/n/0?db=1", "rediss+sentinel://u:***@h1:1,h2/n/0?db=1"),
        ("redis+sentinel://h/n?sentinel_pasword=sec@ret&db=1", "redis+sentinel://h/n?sentinel_pasword=***&db=1"),
        ("redis+cluster://:secret@h1,[::1]:7000", "redis+cluster://:***@h1,[::1]:7000"),
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
        (
            MovedError("1 h:7001"),
            RedisUnsuitable,
            "is a node of a Redis Cluster (MOVED 1 h:7001): set REDIS_URL",
        ),
        (AskError("1 h:7001"), RedisUnsuitable, "--redis to redis+cluster://127.0.0.1:6379"),
        (MasterDownError("Link with MASTER is down"), RedisUnsuitable, "is a replica that has lost its master"),
        (ResponseError("NOREPLICAS Not enough good replicas"), RedisUnavailable, "start its replicas, or lower min-"),
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


def test_a_url_of_sentinels_names_their_master() -> None:
    """Login, database and options belong to the Redis; the hosts, the name and two options to the Sentinels."""
    url = parse_redis_url(
        "rediss+sentinel://u:p%40w@h1,[::1]:5/main/2?sentinel_username=s&sentinel_password=%26&client_name=a%26b"
    )
    assert (url.mode, url.master_name, url.from_replica) == ("sentinel", "main", False)
    assert [str(seed) for seed in url.seeds] == ["h1:26379", "[::1]:5"]
    assert (url.sentinel_username, url.sentinel_password) == ("s", "&")
    assert url.connection_url == "rediss://u:p%40w@h1:26379/2?client_name=a%26b"


def test_the_name_of_the_master_may_be_an_option() -> None:
    """``sentinel_master_name`` replaces the name in the path, as in the URLs of other programs."""
    url = parse_redis_url("redis+sentinel://h/3?sentinel_master_name=main")
    assert (url.master_name, url.connection_url) == ("main", "redis://h:26379/3")


def test_a_url_of_a_cluster_names_some_nodes() -> None:
    """The hosts are nodes to ask first, and the rest belongs to each connection."""
    url = parse_redis_url("redis+cluster://u@h1,h2:7001?read_from=replica&protocol=2")
    assert url == RedisUrl(
        "cluster", "redis://u@h1:6379/?protocol=2", (Address("h1", 6379), Address("h2", 7001)), from_replica=True
    )


def test_what_a_url_names_is_shown_without_passwords() -> None:
    """A parsed URL in a log or a traceback shows no secret."""
    shown = repr(parse_redis_url(f"redis+sentinel://u:{SECRET}@h/m?sentinel_password={SECRET}"))
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("url", "prefix", "named"),
    [
        ("redis://h", "market_data", "market_data"),
        ("redis+sentinel://h/m", "market_data", "market_data"),
        ("unix:///+cluster://", "market_data", "market_data"),
        ("redis+cluster://h", "market_data", "{market_data}"),
        ("REDISS+Cluster://h", "market_data", "{market_data}"),
        ("redis+cluster://h", "{market_data}", "{market_data}"),
        ("redis+cluster://h", "desk:{a}:b", "desk:{a}:b"),
        ("redis+cluster://h", "odd{}", "{odd{}}"),
    ],
)
def test_a_prefix_has_a_hash_tag_on_a_cluster(url: str, prefix: str, named: str) -> None:
    """Only there, only once, and all names under the prefix have one slot."""
    assert prefix_at(url, prefix) == named
    assert prefix_at(url, named) == named


@pytest.mark.parametrize("prefix", ["market_data", "{market_data}", "desk:{a}:b", "odd{}", "x}y"])
def test_all_names_under_a_prefix_have_its_slot(prefix: str) -> None:
    """The slot is the one that Redis computes for each name."""
    tagged = prefix_at("redis+cluster://h", prefix)
    for name in ("last:ticks", "ticks:{x}", "stream:ticks"):
        assert key_slot(f"{tagged}:{name}".encode()) == slot_of(tagged)


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("gone"),
        RedisTimeoutError("late"),
        ConnectionResetError(),
        TimeoutError(),
        BusyLoadingError("loading"),
        MovedError("1 h:7001"),
        AskError("1 h:7001"),
        TryAgainError("again"),
        ClusterDownError("down"),
        MasterDownError("down"),
        ReadOnlyError("no writes"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        ResponseError("UNBLOCKED force unblock"),
        ResponseError("Command # 3 (XREADGROUP) of pipeline caused error: ('NOREPLICAS Not enough.',)"),
        ResponseError('Command # 3 (XACK) of pipeline caused error: ("MASTERDOWN Link isn\'t up",)'),
        ExecAbortError("Transaction discarded because of: NOREPLICAS Not enough good replicas to write."),
        NoRoute("none", "wait"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_is_worth_looking_again(error: Exception) -> None:
    """Another node may serve after an outage, a failover, a move of a slot or a restart."""
    assert is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("WRONGTYPE x"),
        NoPermissionError("no"),
        ResponseError("ERR MOVED"),
        ResponseError("Command # 1 (XACK) of pipeline caused error: ('ERR MOVED',)"),
        ExecAbortError("Transaction discarded because of previous errors."),
        ValueError("x"),
    ],
)
def test_it_is_not_worth_looking_again(error: Exception) -> None:
    """What every node would refuse is final."""
    assert not is_away(error)


@pytest.mark.parametrize(
    ("reply", "away"),
    [
        ("MOVED 1 h:7001", True),
        ("NOREPLICAS Not enough", True),
        ("READONLY", True),
        ("LOADING Redis is loading", True),
        ("MASTERDOWN Link", True),
        ("WRONGTYPE Operation", False),
        ("ERR MOVED", False),
        ("", False),
    ],
)
def test_an_error_reply_shows_whether_another_node_serves(reply: str, away: bool) -> None:
    """The first word of a raw reply decides."""
    assert is_away_reply(reply) is away


@pytest.mark.parametrize("error", [MovedError("1 h:7001"), ReadOnlyError("no writes"), ClusterDownError("down")])
def test_a_topology_in_change_is_worth_waiting_for(error: Exception) -> None:
    """Behind a URL of Sentinels or of a Cluster these replies pass, so no other URL is advised."""
    raised = unavailable("redis+cluster://h", error)
    assert type(raised) is RedisUnavailable
    assert "cannot serve this at the moment" in str(raised)
    assert "REDIS_URL" not in str(raised)


@pytest.mark.parametrize("lasting", [False, True])
def test_a_route_that_finds_nothing_has_its_own_words(lasting: bool) -> None:
    """Also as redis-py raises it, and without control characters from the other side."""
    lost = NoRoute("the Sentinels know no \x1b[31mmaster", "correct the name", lasting=lasting)
    wrapped = RedisConnectionError("outer")
    wrapped.__cause__ = lost
    for error in (lost, wrapped):
        raised = unavailable("redis+sentinel://h/m", error)
        assert str(raised) == r"the Sentinels know no \u001b[31mmaster: correct the name"
        assert isinstance(raised, RedisUnsuitable) is lasting


def test_a_certificate_that_cannot_be_trusted_is_named_with_its_flaw() -> None:
    """An expired or foreign certificate is not an outage: the message names the flaw and both remedies."""
    flaw = ssl.SSLCertVerificationError(1, "certificate verify failed")
    flaw.verify_message = "certificate is not valid for '10.0.0.1'."
    error = RedisConnectionError("Error 1 connecting")
    error.__cause__ = flaw
    trouble, step = diagnose("rediss://10.0.0.1/0", error)
    assert trouble.endswith("has a certificate that cannot be trusted (certificate is not valid for '10.0.0.1')")
    assert step == "replace that certificate, or correct ssl_ca_certs in REDIS_URL or --redis"
    assert cause_of(error) == "TLS: certificate is not valid for '10.0.0.1'"
