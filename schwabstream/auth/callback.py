"""The local HTTPS server that receives the redirect of a browser login.

It listens on loopback only, with a new certificate that is never kept. It accepts one request with the right path and
``state``, and refuses all others. It does not exchange the code and stores nothing.
"""

import asyncio
import contextlib
import datetime as dt
import errno
import ipaddress
import ssl
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from schwabstream.auth.oauth import Redirect, read_redirect
from schwabstream.errors import ConfigurationError, LoginRequired

LIMIT_S = 300.0
_REQUEST_LIMIT_S = 10.0
_LARGEST_REQUEST = 16 * 1024
_MANUALLY = "or use: schwabstream auth login --manual"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>schwabstream</title></head>
<body style="font-family: system-ui; max-width: 32rem; margin: 4rem auto">
<h1>{title}</h1><p>{text}</p></body></html>
"""


class CallbackServer:
    """Listens while it is entered; :meth:`redirect` waits for the answer."""

    def __init__(self, callback_url: str, state: str) -> None:
        """Check the registered callback; ``ConfigurationError`` when no server on this machine can answer it."""
        parts = urlsplit(callback_url)
        self._host, self._path, self._state = parts.hostname or "", parts.path or "/", state
        try:
            self._port = parts.port or 443
        except ValueError:
            raise ConfigurationError("SCHWAB_CALLBACK_URL: its port is not a number up to 65535") from None
        if parts.scheme != "https" or not _is_loopback(self._host):
            raise ConfigurationError(
                f"SCHWAB_CALLBACK_URL: only https:// on 127.0.0.1 can be answered here; change it, {_MANUALLY}"
            )
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._answer: asyncio.Future[Redirect] | None = None

    async def __aenter__(self) -> Self:
        """Listen; ``ConfigurationError`` when that is not possible."""
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._server = await asyncio.start_server(
                self._accept, self._host, self._port, ssl=_server_context(self._host), limit=_LARGEST_REQUEST
            )
        except OSError as error:
            in_use = "it is in use, perhaps by another login; free it" if error.errno == errno.EADDRINUSE else None
            raise ConfigurationError(
                f"SCHWAB_CALLBACK_URL: cannot listen on port {self._port} of {self._host}: {in_use or error.strerror}, "
                f"{_MANUALLY}"
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def redirect(self, limit_s: float = LIMIT_S) -> Redirect:
        """Wait for the redirect of this login and return it; ``LoginRequired`` when none arrives in time."""
        if self._answer is None:
            raise RuntimeError("enter the server first")
        try:
            async with asyncio.timeout(limit_s):
                return await self._answer
        except TimeoutError:
            raise LoginRequired(
                f"no login arrived within {limit_s / 60:.0f} minutes; start again: schwabstream auth login"
            ) from None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task that we own: Python 3.11 logs the cancellation of asyncio's as an error."""
        if self._server is not None and not self._server.is_serving():
            writer.transport.abort()  # its TLS handshake ended after the login did
            return
        connection = asyncio.create_task(self._serve(reader, writer), name="login callback")
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Browsers open spare connections, close them early and distrust the certificate: none of that is an error.
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_REQUEST_LIMIT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    redirect = await self._reply(head, writer)
                    if redirect and self._answer and not self._answer.done():
                        self._answer.set_result(redirect)
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()
        finally:
            writer.transport.abort()  # a client that stays connected, or a cancellation, must not keep the socket open

    async def _reply(self, head: bytes, writer: asyncio.StreamWriter) -> Redirect | None:
        """Answer one request; return the redirect when it is the expected one."""
        method, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        redirect: Redirect | None = None
        if method != "GET":
            status, title, text = HTTPStatus.METHOD_NOT_ALLOWED, "Not allowed", "This page only accepts a login."
        elif target.partition("?")[0] != self._path or "?" not in target:
            status, title, text = HTTPStatus.NOT_FOUND, "Not found", "This page only accepts a login."
        elif self._answer is None or self._answer.done():
            status, title, text = HTTPStatus.GONE, "Already done", "This login is complete. You can close this window."
        else:
            status, title, text, redirect = self._judge(read_redirect(target))
        page = _PAGE.format(title=title, text=text).encode()
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            "Content-Type: text/html; charset=utf-8",
            f"Content-Length: {len(page)}",
            "Cache-Control: no-store",
            "Referrer-Policy: no-referrer",
            "Connection: close",
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + page)
        await writer.drain()
        return redirect

    def _judge(self, redirect: Redirect) -> tuple[HTTPStatus, str, str, Redirect | None]:
        if redirect.state != self._state:
            text = "This page belongs to another login. Start the login again."
            return HTTPStatus.BAD_REQUEST, "Wrong login", text, None
        if redirect.problem:
            text = "The login failed; the terminal shows the reason. You can close this window."
            return HTTPStatus.OK, "Not logged in", text, redirect
        return HTTPStatus.OK, "Logged in", "You can close this window.", redirect


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _server_context(host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _certificate(host) as (certificate, key):
        context.load_cert_chain(certificate, key)
    return context


@contextlib.contextmanager
def _certificate(host: str) -> Iterator[tuple[Path, Path]]:
    """Make a certificate for loopback, valid for a day; its files are deleted once OpenSSL has read them."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "schwabstream login")])
    addresses = {ipaddress.ip_address(address) for address in ("127.0.0.1", "::1")}
    with contextlib.suppress(ValueError):
        addresses.add(ipaddress.ip_address(host))
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory(prefix="schwabstream-") as folder:
        certificate_path, key_path = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        key_path.touch(mode=0o600)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        yield certificate_path, key_path
