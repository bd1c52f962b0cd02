"""The HTTP session under every call to Schwab: authlib's on httpx, with bounded answers and a base URL of our choice.

Only ``http.py`` imports it, with its first call: authlib and httpx take half a second to load.
"""

import contextlib
import ssl
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from schwabstream.auth.answers import PACKING, UnusableAnswer, read_answer
from schwabstream.auth.oauth import SCHWAB
from schwabstream.errors import ConfigurationError, SchwabUnavailable

with warnings.catch_warnings():
    import authlib.deprecate  # noqa: F401 - switches its own warnings on, so ignoring them comes after

    warnings.simplefilter("ignore")
    from authlib.integrations.httpx_client import AsyncOAuth2Client

if not issubclass(AsyncOAuth2Client, httpx.AsyncClient):
    # authlib prefers httpx's successor where that is installed; errors and transports must be of the same make.
    import httpx2 as httpx  # type: ignore[no-redef]

CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 6.0
_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")  # as it came, not as it is handed on


def check_proxies() -> None:
    """Raise ``ConfigurationError`` when the environment names a proxy of a kind that cannot be used."""
    if not getproxies():
        return
    try:
        httpx.AsyncClient()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            "the proxy that the environment names (ALL_PROXY, HTTPS_PROXY) cannot be used: only http:// and https:// "
            "ones can; correct or unset it"
        ) from error


class Session(AsyncOAuth2Client):  # type: ignore[misc]  # authlib has no types
    """authlib's session for one app; ``peer`` is the host that answers. Close it with ``aclose``."""

    def __init__(self, client_id: str, client_secret: str, base_url: str) -> None:
        """Connect nothing yet."""
        self.peer = urlsplit(base_url).netloc
        options = {} if base_url == SCHWAB else {"transport": _BaseUrlTransport(base_url)}
        super().__init__(client_id, client_secret, **options)
        self.headers["Accept-Encoding"] = PACKING
        self.timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Read the answer within bounds: httpx by itself collects and unpacks whatever comes."""
        response = await super().send(request, **options | {"stream": True})
        try:
            content = await read_answer(response)
        finally:
            await response.aclose()
        headers = [pair for pair in response.headers.multi_items() if pair[0].lower() not in _OF_THE_BODY]
        return httpx.Response(response.status_code, headers=headers, content=content, request=request)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Raise what the block gets from httpx as ``SchwabUnavailable``."""
        try:
            yield
        except httpx.ConnectError as error:
            raise SchwabUnavailable(f"cannot connect to Schwab ({self.peer}): {error}; check the network") from error
        except httpx.TimeoutException as error:
            raise SchwabUnavailable(f"Schwab ({self.peer}) did not answer in time; try again in a minute") from error
        except httpx.HTTPError as error:
            # Not chained and not quoted: such messages can hold a header, and with it a token.
            reason = type(error).__name__
            raise SchwabUnavailable(
                f"the connection to Schwab ({self.peer}) broke: {reason}; try again in a minute"
            ) from None
        except UnusableAnswer as error:
            raise SchwabUnavailable(
                f"the answer of Schwab ({self.peer}) cannot be used: {error}; try again in a minute"
            ) from error


class _BaseUrlTransport(httpx.AsyncBaseTransport):
    """Sends what is meant for Schwab to another base URL, whatever library asks."""

    def __init__(self, base_url: str) -> None:
        self._base = urlsplit(base_url)
        # Without TLS nobody has to be trusted, and loading the certificate authorities takes 30 ms.
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
