"""One call to Schwab, by authlib's session on httpx: bounds and classifies the answer, and raises only our errors.

Does not repeat a call, and keeps no token. Only ``http.py`` imports it, with its first call: authlib, httpx and
schwab-py take more than half a second to load.
"""

import contextlib
import logging
import ssl
import tempfile
import warnings
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from schwabstream.auth.oauth import (
    SCHWAB,
    TOKEN_PATH,
    Verdict,
    error_name,
    judge_rest_answer,
    judge_token_answer,
    retry_after_s,
)
from schwabstream.auth.tokens import LOG_IN, is_token
from schwabstream.errors import ConfigurationError, LoginRequired, SchwabUnavailable

with warnings.catch_warnings():
    from authlib import deprecate

    warnings.simplefilter("ignore", deprecate.AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import AsyncOAuth2Client

if not issubclass(AsyncOAuth2Client, httpx.AsyncClient):
    # authlib prefers httpx's successor where that is installed; errors and transports must come from the same library.
    import httpx2 as httpx  # type: ignore[no-redef]

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 6.0
LARGEST_ANSWER = 8 << 20
"""Bytes; Schwab's largest answers, 500 quotes at once, are a fifth of it."""
PACKING = "gzip"
_GZIP_ONLY = 16 + zlib.MAX_WBITS
_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")  # describe the compressed body only
# Schwab's address, whatever the base URL: the transport sends these calls, like those of schwab-py, to the base URL.
_TOKEN_URL = SCHWAB + TOKEN_PATH


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """A REST answer: its JSON, or the refusal of an access token."""

    accepted: bool
    content: Any = None


class UnusableAnswer(ValueError):
    """The answer is too large, or compressed in a way that cannot be read."""


class Session(AsyncOAuth2Client):
    """authlib's session for one app. Close it with ``aclose``."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        base_url: str,
        clock: Callable[[], float],
        *,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """Connect nothing yet."""
        self._peer, self._clock = urlsplit(base_url).netloc, clock
        self._rest: Any = None
        options = {} if base_url == SCHWAB else {"transport": _BaseUrlTransport(base_url)}
        super().__init__(client_id, client_secret, **options)
        self.headers["Accept-Encoding"] = PACKING
        self.timeout = httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S)
        # authlib takes whatever was answered for a token, and would turn a refusal, whose body is often not JSON
        # (protocol 1.4), into an error that hides the reason. Its hooks see the answer before that: they let a token
        # through, and for everything else they raise our error, through authlib.
        self.register_compliance_hook("refresh_token_response", self._judge_refresh)
        self.register_compliance_hook("access_token_response", self._judge_exchange)

    async def ask_refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to a refresh token; ``LoginRequired`` when it refuses."""
        with self._translated():
            answer: Mapping[str, Any] = await self.refresh_token(_TOKEN_URL, refresh_token=refresh_token)
        return answer

    async def ask_exchange(self, code: str, callback_url: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to an authorization code; ``LoginRequired`` when it refuses."""
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback_url}
        with self._translated():
            answer: Mapping[str, Any] = await self.fetch_token(_TOKEN_URL, **grant)
        return answer

    def rest_client(self) -> Any:
        """Return schwab-py's client on this session; loaded with the first call, so not for a refresh alone."""
        if self._rest is None:
            timeout = self.timeout
            self._rest = load_rest_client()(self.client_id, self)
            self._rest.set_timeout(timeout)  # its constructor has set another
        return self._rest

    async def ask_rest(self, access_token: str, request: Callable[[], Awaitable[httpx.Response]]) -> RestAnswer:
        """Return the answer to one request made on :meth:`rest_client`."""
        # Without an expiry authlib leaves the token alone: when to refresh is decided elsewhere.
        self.token = {"access_token": access_token, "token_type": "Bearer"}
        with self._translated():
            response = await request()
        verdict = judge_rest_answer(response.status_code, response.text)
        if verdict is Verdict.UNAUTHORIZED:
            return RestAnswer(accepted=False)
        content = _json(response) if verdict is Verdict.OK else None
        if content is None:
            raise self._transient(response)
        return RestAnswer(accepted=True, content=content)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Read the answer within bounds: httpx itself collects and decompresses an answer of any size."""
        response = await super().send(request, **options | {"stream": True})
        try:
            content = await read_answer(response)
        finally:
            await response.aclose()
        headers = [pair for pair in response.headers.multi_items() if pair[0].lower() not in _OF_THE_BODY]
        return httpx.Response(response.status_code, headers=headers, content=content, request=request)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise the block's errors of httpx as ``SchwabUnavailable``."""
        try:
            yield
        except httpx.ConnectError as error:
            raise SchwabUnavailable(f"cannot connect to Schwab ({self._peer}): {error}; check the network") from error
        except httpx.TimeoutException as error:
            raise SchwabUnavailable(f"Schwab ({self._peer}) did not answer in time; try again in a minute") from error
        except httpx.HTTPError as error:
            # Not chained and not quoted: such messages can hold a header, and with it a token.
            reason = type(error).__name__
            raise SchwabUnavailable(
                f"the connection to Schwab ({self._peer}) broke: {reason}; try again in a minute"
            ) from None
        except UnusableAnswer as error:
            raise SchwabUnavailable(
                f"the answer of Schwab ({self._peer}) cannot be used: {error}; try again in a minute"
            ) from error

    def _judge_refresh(self, response: httpx.Response) -> httpx.Response:
        return self._judge(response, judge_token_answer(response.status_code, response.text))

    def _judge_exchange(self, response: httpx.Response) -> httpx.Response:
        verdict = judge_token_answer(response.status_code, response.text, code_grant=True)
        if verdict is Verdict.LOGIN_REFUSED:
            raise LoginRequired(
                "Schwab refused the code of this login: a code works once and for about 30 seconds; "
                "start again and finish without a pause: schwabstream auth login"
            )
        return self._judge(response, verdict)

    def _judge(self, response: httpx.Response, verdict: Verdict) -> httpx.Response:
        match verdict:
            case Verdict.OK if isinstance(_json(response), dict) and is_token(_json(response).get("access_token")):
                return response
            case Verdict.LOGIN_REFUSED:
                raise LoginRequired(
                    f"Schwab no longer accepts the stored login (a login lasts 7 days, a newer one ends it); {LOG_IN}"
                )
            case Verdict.APP_REFUSED:
                raise LoginRequired(
                    "Schwab refused the app itself: check SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET against the "
                    f"app's page at developer.schwab.com, then {LOG_IN}"
                )
        raise self._transient(response)

    def _transient(self, response: httpx.Response) -> SchwabUnavailable:
        name = error_name(response.text)
        answer = f"HTTP {response.status_code}{f' {name}' if name else ''}"
        if response.status_code < 300:
            answer += " without the expected content"
        asked_s = retry_after_s(response.headers.get("Retry-After"), self._clock())
        wait = f"in {asked_s:.0f} s" if asked_s else "in a minute"
        return SchwabUnavailable(
            f"Schwab ({self._peer}) answered {answer}; the login is untouched, try again {wait}",
            retry_after_s=asked_s,
        )


async def read_answer(response: httpx.Response, limit: int = LARGEST_ANSWER) -> bytes:
    """Return the content of an answer whose body has not been read yet; ``UnusableAnswer`` when that cannot be done.

    The limit holds for the bytes on the wire and for the decompressed ones. Only the one compression that was requested
    is accepted: an HTTP library decompresses anything, and a kilobyte can become a gigabyte.
    """
    packing = response.headers.get("Content-Encoding", "identity").lower()
    if packing == PACKING:
        return await _unpacked(response.aiter_raw(), limit)
    if packing != "identity":
        raise UnusableAnswer("it is compressed in a way that was not requested")
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        _check(content, limit)
    return bytes(content)


async def _unpacked(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_ONLY)
    content = bytearray()
    empty = True
    async for piece in pieces:
        empty = empty and not piece
        try:
            content += unpacker.decompress(piece, limit + 1 - len(content))
        except zlib.error:
            raise UnusableAnswer("it cannot be decompressed") from None
        _check(content, limit)
        if unpacker.eof:
            break
    if not (empty or unpacker.eof):
        raise UnusableAnswer("it cannot be decompressed: its end is missing")
    return bytes(content)


def _check(content: bytearray, limit: int) -> None:
    if len(content) > limit:
        raise UnusableAnswer(f"it is more than {limit >> 20} MB")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def load_rest_client() -> Any:
    """Return schwab-py's asynchronous client class."""
    with warnings.catch_warnings(), _some_temporary_directory():
        warnings.simplefilter("ignore")  # its imports print deprecation warnings
        from schwab.client import AsyncClient
    # At DEBUG it would log whole answers, account numbers included.
    logging.getLogger("schwab").setLevel(logging.WARNING)
    return AsyncClient


@contextlib.contextmanager
def _some_temporary_directory() -> Iterator[None]:
    """Name one where a full disk leaves none that can be used: schwab-py's imports ask for it, and write nothing."""
    before = tempfile.tempdir
    try:
        tempfile.gettempdir()
    except OSError:
        tempfile.tempdir = "."
    try:
        yield
    finally:
        tempfile.tempdir = before


def open_session(app: tuple[str, str], base_url: str, clock: Callable[[], float]) -> Session:
    """Return a session; ``ConfigurationError`` when the environment names a proxy that cannot be used."""
    if getproxies():
        try:
            httpx.AsyncClient()
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                "the proxy that the environment names (ALL_PROXY, HTTPS_PROXY) cannot be used: only http:// and "
                "https:// ones can; correct or unset it"
            ) from error
    return Session(*app, base_url, clock)


class _BaseUrlTransport(httpx.AsyncBaseTransport):
    """Sends requests for Schwab to another base URL, whichever library makes them."""

    def __init__(self, base_url: str) -> None:
        self._base = urlsplit(base_url)
        # Without TLS there is nobody to trust, and loading the certificate authorities takes 30 ms.
        trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self._base.scheme == "http" else True
        self._inner = httpx.AsyncHTTPTransport(verify=trusted)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = self._base.path.rstrip("/").encode() + request.url.raw_path
        host, port = self._base.hostname, self._base.port
        request.url = request.url.copy_with(scheme=self._base.scheme, host=host, port=port, raw_path=path)
        request.headers["Host"] = self._base.netloc
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
