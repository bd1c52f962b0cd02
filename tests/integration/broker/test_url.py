"""Redis URLs at a real server: unix sockets, TLS, users, and errors without the password."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from schwabstream.broker.client import redis_client
from schwabstream.broker.kind import reach
from schwabstream.errors import ConfigurationError, RedisUnavailable
from schwabstream.events import Channel
from schwabstream.publishing.publisher import TradingEventPublisher
from tests.support.publishing import event, numbers, stream
from tests.support.redis_program import redis_program
from tests.support.waiting import DEADLINE_S, block_until, until

PASSWORD = "pa55@word/äß"
QUOTED = "pa55%40word%2F%C3%A4%C3%9F"


@contextlib.contextmanager
def server(folder: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A ``redis-server`` with these options."""
    process = subprocess.Popen(
        [redis_program(), *options, "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def connected(publisher: TradingEventPublisher) -> None:
    """Connect as soon as the server is up."""

    async def tried() -> bool:
        try:
            await publisher.connect()
        except RedisUnavailable as error:
            if "Connection refused" not in str(error) and "No such file" not in str(error):
                raise
            return False
        return True

    await until(tried)


async def takes_an_event(url: str, plain: "redis.Redis") -> None:
    """A publisher at this address writes what a plain client finds."""
    publisher = TradingEventPublisher(url)
    try:
        await connected(publisher)
        publisher.publish(Channel.TICKS, event(n=1))
        publisher.stop()
        async with asyncio.timeout(DEADLINE_S):
            await publisher.run()
    finally:
        await publisher.close()
    with plain:
        assert numbers(stream(plain)) == [1]


async def test_a_unix_socket_with_a_password(tmp_path: Path) -> None:
    """``unix://:password@/path?db=2`` works, and the password is the decoded one."""
    path = str(tmp_path / "redis.sock")
    with server(tmp_path, "--port", "0", "--unixsocket", path, "--requirepass", PASSWORD):
        plain = redis.Redis(unix_socket_path=path, password=PASSWORD, db=2, decode_responses=True)
        await takes_an_event(f"unix://:{QUOTED}@{path}?db=2", plain)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "redis.crt", folder / "redis.key"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


async def test_tls_with_user_and_password(tmp_path: Path) -> None:
    """``rediss://user:password@…`` speaks TLS, checks the certificate and logs in as that user."""
    cert, key = certificate(tmp_path)
    port = free_port()
    tls = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    tls += ["--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no", "--bind", "127.0.0.1"]
    users = ["--user", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all", "--user", "default", "off"]
    with server(tmp_path, *tls, *users):
        address = f"rediss://app:{QUOTED}@127.0.0.1:{port}/0?ssl_ca_certs={cert}"
        plain = redis.Redis.from_url(address, decode_responses=True)
        await takes_an_event(address, plain)
        stranger = TradingEventPublisher(f"rediss://app:{QUOTED}@127.0.0.1:{port}/0")
        with pytest.raises(RedisUnavailable, match=r"cannot be trusted \(self-signed certificate\): replace"):
            await stranger.connect()
        await stranger.close()


@pytest.mark.slow
async def test_tls_and_logins_in_every_topology(tmp_path: Path) -> None:
    """``rediss+…`` speaks TLS with the nodes and the Sentinels, each with its own login, and checks the certificate."""
    cert, key = certificate(tmp_path)
    node, watcher = free_port(), free_port()
    shared = ["--tls-cert-file", str(cert), "--tls-key-file", str(key), "--tls-ca-cert-file", str(cert)]
    shared += ["--tls-auth-clients", "no", "--tls-replication", "yes", "--bind", "127.0.0.1", "--port", "0"]
    config = tmp_path / "sentinel.conf"
    monitor = f"sentinel monitor mymaster 127.0.0.1 {node} 1\nsentinel auth-pass mymaster {PASSWORD}\n"
    config.write_text(f"requirepass watcher\n{monitor}")
    login = ["--requirepass", PASSWORD, "--cluster-enabled", "yes", "--tls-cluster", "yes"]
    with (
        server(tmp_path, "--tls-port", str(node), *shared, *login),
        server(tmp_path, str(config), "--sentinel", "--tls-port", str(watcher), *shared),
    ):
        options = f"?ssl_ca_certs={cert}"
        plain = redis.Redis.from_url(f"rediss://:{QUOTED}@127.0.0.1:{node}/0{options}", decode_responses=True)
        block_until(lambda: answers(plain))
        plain.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        block_until(lambda: plain.cluster("INFO")["cluster_state"] == "ok")
        cluster = f"rediss+cluster://:{QUOTED}@127.0.0.1:{node}{options}"
        sentinels = f"rediss+sentinel://:{QUOTED}@127.0.0.1:{watcher}/mymaster{options}&sentinel_password=watcher"
        for url in (cluster, sentinels):
            client = redis_client(url, "market_data", timeout_s=3.0, retries=1)
            async with client:
                assert await client.set("{market_data}:x", 1)
                assert client.secure
        for url in (cluster.replace(QUOTED, "wrong"), sentinels.replace("=watcher", "=wrong")):
            with pytest.raises(RedisUnavailable, match="does not accept the login"):
                await reach(url, "market_data")
        for url in (cluster, sentinels):
            with pytest.raises(RedisUnavailable, match=r"self-signed certificate\): replace that certificate"):
                await reach(url.replace(f"ssl_ca_certs={cert}", "ssl_cert_reqs=required"), "market_data")
        plain.close()


def answers(client: "redis.Redis") -> bool:
    """Whether the server is up."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{password}@127.0.0.1:{port}/0",
        "redis://user:{password}@127.0.0.1:{port}/0",
        "redis://127.0.0.1:{port}/0?password={password}",
        "rediss://user:{password}@127.0.0.1:{port}/0",
        "unix://:{password}@/nowhere/redis.sock",
        "unix:///nowhere/redis.sock?db=1&password={password}",
    ],
)
async def test_no_message_holds_the_password(redis_server: Any, url: str) -> None:
    """Wrong password, unknown user or closed port: the message names the address without the password."""
    redis_server.client.config_set("requirepass", "another")
    redis_server.client.auth("another")
    for port in (redis_server.port, free_port()):
        publisher = TradingEventPublisher(url.format(password=QUOTED, port=port))
        with pytest.raises(RedisUnavailable) as caught, capture_logs() as logs:
            await publisher.connect()
        await publisher.close()
        for text in (str(caught.value), publisher.url, repr(logs)):
            assert "pa55" not in text
        assert publisher.url in str(caught.value)
        assert publisher.url == url.format(password="***", port=port)


async def test_a_host_that_does_not_exist_is_reported_in_the_resolvers_words() -> None:
    """A name that cannot be resolved is not an unknown error."""
    publisher = TradingEventPublisher("redis://no-such-host.invalid:6379/0")
    with pytest.raises(RedisUnavailable, match=r"name|Name|resolution|in time") as caught:
        await publisher.connect()
    await publisher.close()
    assert "Unknown error" not in str(caught.value)


async def test_a_missing_password_is_an_error_at_once(redis_server: Any) -> None:
    """A Redis that wants a password is not taken for one that works."""
    redis_server.client.config_set("requirepass", "secret")
    redis_server.client.auth("secret")
    publisher = TradingEventPublisher(redis_server.url)
    with pytest.raises(RedisUnavailable, match="correct the user and password in REDIS_URL"):
        await publisher.connect()
    await publisher.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:port/0",
        "redis://127.0.0.1:6379/0?socket_timeout=soon",
        "redis://127.0.0.1:6379/0?no_such_option=1",
    ],
)
async def test_an_address_that_cannot_be_one_is_a_wrong_setting(url: str) -> None:
    """A URL redis-py cannot take is named instead of showing a traceback."""
    with pytest.raises(ConfigurationError, match="the Redis URL"):
        TradingEventPublisher(url)
