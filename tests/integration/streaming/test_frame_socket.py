"""The socket against a real server: over TLS, through a proxy, on each event loop there is."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from schwabstream.streaming.frame_socket import FrameSocket
from tests.support.waiting import DEADLINE_S

LOOPS = ["asyncio", "uvloop"]
SENT: list[bytes] = [b"a", b"b" * 200, os.urandom(500_000), b"", b"c" * 70_000]


def on_loop(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Run on the named event loop; skipped where it is not installed."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if name == "uvloop":
        try:
            factory = pytest.importorskip("uvloop").new_event_loop
        except BaseException:
            work.close()
            raise
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(work, DEADLINE_S))


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server with a certificate for loopback, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "streamer")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    addresses = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = builder.add_extension(addresses, critical=False).sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "both.pem").write_bytes(secret + pem)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "both.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


async def _fragments() -> AsyncIterator[bytes]:
    for part in (b"in", b" ", b"parts"):
        yield part


async def _speak(socket: ServerConnection) -> None:
    """Send every form of message, with a ping between, then close when the client has answered."""
    for message in SENT:
        await socket.send(message, text=True)
    await (await socket.ping())
    await socket.send(_fragments(), text=True)
    await socket.send(b"binary", text=False)
    assert await socket.recv() == "goodbye"
    await socket.close(1001)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One CONNECT, then bytes both ways."""
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode().rpartition(":")
    there_reader, there_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(_relay(reader, there_writer), _relay(there_reader, writer))


async def _talk(url: str, **options: Any) -> tuple[list[bytes], int]:
    """Connect, receive everything and close; returns the messages and the close code."""
    heard: list[bytes] = []
    complete, ended = asyncio.Event(), asyncio.Event()

    def take(messages: list[bytes]) -> None:
        heard.extend(messages)
        if len(heard) == len(SENT) + 2:
            complete.set()

    socket = cast("FrameSocket", await connect(url, create_connection=FrameSocket, compression=None, **options))
    socket.listen(take, ended.set)
    await complete.wait()
    await (await socket.ping())
    await socket.send("goodbye")
    await ended.wait()
    await socket.close()
    return heard, socket.close_code or 0


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", ["plain", "tls", "tls through a proxy"])
def test_everything_arrives(loop: str, way: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Small, large, empty, fragmented and binary messages, pings of both sides and the close code, on every way."""
    server_tls, client_tls = contexts if way != "plain" else (None, None)

    async def meet() -> None:
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(serve(_speak, "127.0.0.1", 0, ssl=server_tls, compression=None))
            port = next(iter(server.sockets)).getsockname()[1]
            proxy = None
            if "proxy" in way:
                relay = await stack.enter_async_context(await asyncio.start_server(_proxy, "127.0.0.1", 0))
                proxy = f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}"
            scheme = "ws" if way == "plain" else "wss"
            heard, code = await _talk(f"{scheme}://127.0.0.1:{port}", ssl=client_tls, proxy=proxy)
            assert heard == [*SENT, b"in parts", b"binary"]
            assert code == 1001

    on_loop(loop, meet())
