"""Schwab's HTTP side: schwab-py's client on an authlib session whose transport decides where the base URL points.

It translates every foreign error into ours and tells refused from weather (protocol 1.4). It keeps no token: what
comes back is for the caller to store. The libraries are heavy (over a second), so they load with the first call.
"""

import contextlib
import importlib
import logging
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies

from schwabstream import lean
from schwabstream.auth.answers import PACKING, UnusableAnswer, read_answer
from schwabstream.auth.oauth import TOKEN_PATH, Verdict, error_name, judge_rest_answer, judge_token_answer
from schwabstream.auth.tokens import is_token
from schwabstream.backoff import Allowance
from schwabstream.errors import ConfigurationError, LoginRequired, SchwabUnavailable
from schwabstream.settings import Settings

if TYPE_CHECKING:
    import httpx

SCHWAB = "https://api.schwabapi.com"
LOG_IN = "log in: schwabstream auth login"
CONNECT_TIMEOUT_S = 3.0
ANSWER_TIMEOUT_S = 6.0
MOST_FAILING_CALLS, FAILING_SPAN_S = 20, 60.0
_LONGEST_RETRY_AFTER_S = 3600.0
_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")  # as it came, not as it is handed on

RestRequest = Callable[[Any], Awaitable["httpx.Response"]]


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """A REST answer: its JSON, or an access token that Schwab does not take (any more)."""

    accepted: bool
    content: Any = None


class SchwabHttp:
    """One HTTP client for the token endpoint and the REST API; close it when done."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        """Check the app's credentials; ``ConfigurationError`` names the variables that miss or cannot be right."""
        self._client_id, self._client_secret = app_credentials(settings)
        self._base_url = settings.schwab_api_base_url
        self._clock = clock
        self._allowance = Allowance(MOST_FAILING_CALLS, FAILING_SPAN_S)
        self._loaded: _Libraries | None = None
        self._session: Any = None
        self._schwab: Any = None

    async def refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to a refresh token.

        ``LoginRequired`` when it refuses, ``SchwabUnavailable`` when it may work later or failed too often of late.
        """
        # Background refresh, reconnects and requests each try again on their own: only here are all of them seen.
        wait_s = self._allowance.take(self._clock())
        if wait_s:
            raise SchwabUnavailable(
                f"{MOST_FAILING_CALLS} calls for a new access token failed within {FAILING_SPAN_S:g} s; the login is "
                f"untouched, the next call is made in {wait_s:.0f} s",
                retry_after_s=wait_s,
            )
        answer = await self._ask_token(lambda url: self._session.refresh_token(url, refresh_token=refresh_token))
        self._allowance.restore()
        return answer

    async def exchange(self, code: str, callback_url: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to an authorization code; errors as for :meth:`refresh`."""
        return await self._ask_token(
            lambda url: self._session.fetch_token(
                url, grant_type="authorization_code", code=code, redirect_uri=callback_url
            )
        )

    async def call(self, access_token: str, request: RestRequest) -> RestAnswer:
        """Make one request on schwab-py's ``AsyncClient``; ``SchwabUnavailable`` when it may work later."""
        libraries = self.open()
        # Without an expiry authlib leaves the token alone; when to refresh is the auth client's decision.
        self._session.token = {"access_token": access_token, "token_type": "Bearer"}
        with self._translated(libraries):
            response = await request(self._client())
        verdict = judge_rest_answer(response.status_code, response.text)
        if verdict is Verdict.UNAUTHORIZED:
            return RestAnswer(accepted=False)
        content = _json(response) if verdict is Verdict.OK else None
        if content is None:
            raise self._weather(response)
        return RestAnswer(accepted=True, content=content)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.aclose()
            self._session = self._schwab = None

    async def _ask_token(self, ask: Callable[[str], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        with self._translated(self.open()):
            # schwab-py's address on purpose: the transport points both kinds of calls to the base URL.
            return await ask(SCHWAB + TOKEN_PATH)

    def open(self) -> "_Libraries":
        """Load the libraries and make the session, if that has not happened yet; the first time takes a second."""
        libraries = self._loaded = self._loaded or _load_libraries()
        if self._session is None:
            _check_proxies(libraries.httpx)
            options: dict[str, Any] = {}
            if self._base_url != SCHWAB:
                inner = libraries.httpx.AsyncHTTPTransport(verify=self._trusted())
                options["transport"] = _BaseUrlTransport(self._base_url, inner)
            session = libraries.session_class(self._client_id, self._client_secret, **options)
            session.headers["Accept-Encoding"] = PACKING
            session.register_compliance_hook("refresh_token_response", self._judge_refresh)
            session.register_compliance_hook("access_token_response", self._judge_exchange)
            session.timeout = libraries.httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            self._session = session
        return libraries

    def _trusted(self) -> bool | ssl.SSLContext:
        """Whom to trust at the base URL: as usual; without TLS nobody, for loading the authorities takes 30 ms."""
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self._base_url.startswith("http://") else True

    def _client(self) -> Any:  # noqa: ANN401 - untyped library
        """Return schwab-py's client on our session; a refresh alone never needs to load it."""
        if self._schwab is None:
            timeout = self._session.timeout
            self._schwab = _load_client_class()(self._client_id, self._session)
            self._schwab.set_timeout(timeout)
        return self._schwab

    def _judge_refresh(self, response: "httpx.Response") -> "httpx.Response":
        return self._judge(response, judge_token_answer(response.status_code, response.text))

    def _judge_exchange(self, response: "httpx.Response") -> "httpx.Response":
        verdict = judge_token_answer(response.status_code, response.text, code_grant=True)
        if verdict is Verdict.LOGIN_REFUSED:
            raise LoginRequired(
                "Schwab refused the code of this login: a code works once and for about 30 seconds; "
                "start again and finish without a pause: schwabstream auth login"
            )
        return self._judge(response, verdict)

    def _judge(self, response: "httpx.Response", verdict: Verdict) -> "httpx.Response":
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
        raise self._weather(response)

    def _weather(self, response: "httpx.Response") -> SchwabUnavailable:
        name = error_name(response.text)
        said = f"HTTP {response.status_code}{f' {name}' if name else ''}"
        if response.status_code < 300:
            said += " without what was asked for"
        retry_after_s = self._retry_after_s(response.headers.get("Retry-After"))
        wait = f"in {retry_after_s:.0f} s" if retry_after_s else "in a minute"
        return SchwabUnavailable(
            f"Schwab ({self._host}) answered {said}; the login is untouched, try again {wait}",
            retry_after_s=retry_after_s,
        )

    def _retry_after_s(self, value: str | None) -> float | None:
        seconds: float | None = None
        with contextlib.suppress(ValueError, TypeError):
            if value and value.strip().isdecimal():
                seconds = float(value)
            elif value:
                seconds = parsedate_to_datetime(value).timestamp() - self._clock()
        return None if seconds is None else min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)

    @property
    def _host(self) -> str:
        return urlsplit(self._base_url).netloc

    @contextlib.contextmanager
    def _translated(self, libraries: "_Libraries") -> Any:  # noqa: ANN401 - a generator, given away as a context manager
        try:
            yield
        except libraries.httpx.ConnectError as error:
            raise SchwabUnavailable(f"cannot connect to Schwab ({self._host}): {error}; check the network") from error
        except libraries.httpx.TimeoutException as error:
            raise SchwabUnavailable(f"Schwab ({self._host}) did not answer in time; try again in a minute") from error
        except libraries.httpx.HTTPError as error:
            # Not chained and not quoted: such messages can hold a header, and with it a token.
            reason = type(error).__name__
            raise SchwabUnavailable(
                f"the connection to Schwab ({self._host}) broke: {reason}; try again in a minute"
            ) from None
        except UnusableAnswer as error:
            raise SchwabUnavailable(
                f"the answer of Schwab ({self._host}) cannot be used: {error}; try again in a minute"
            ) from error


class _BaseUrlTransport:
    """Sends what is meant for Schwab to another base URL, whatever library asks."""

    def __init__(self, base_url: str, inner: "httpx.AsyncHTTPTransport") -> None:
        self._base = urlsplit(base_url)
        self._inner = inner

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response":
        path = self._base.path.rstrip("/").encode() + request.url.raw_path
        host, port = self._base.hostname, self._base.port
        request.url = request.url.copy_with(scheme=self._base.scheme, host=host, port=port, raw_path=path)
        request.headers["Host"] = self._base.netloc
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._inner.aclose()


@dataclass(frozen=True, slots=True)
class _Libraries:
    httpx: ModuleType
    session_class: Any


def preload() -> None:
    """Load the libraries now, off the event loop if need be, so that the first call does not wait for them."""
    _load_libraries()


def _load_libraries() -> _Libraries:
    """Import authlib without the deprecation warnings that it prints at import."""
    with warnings.catch_warnings():
        # authlib switches its own warnings on when this loads, so ignoring them comes after.
        importlib.import_module("authlib.deprecate")
        warnings.simplefilter("ignore")
        oauth2_client = lean.load_authlib()
    # authlib prefers httpx's successor where that is installed; errors and transports must be of the same make.
    httpx = importlib.import_module(oauth2_client.Response.__module__.partition(".")[0])
    return _Libraries(httpx, _bounded(oauth2_client.AsyncOAuth2Client, httpx.Response))


def _bounded(session_class: Any, response_class: Any) -> Any:  # noqa: ANN401 - libraries that are loaded late
    """The session, but for reading answers within bounds: httpx collects and unpacks whatever comes."""

    class Session(session_class):  # type: ignore[misc]  # loaded late, so unknown to mypy
        async def send(self, request: "httpx.Request", **options: Any) -> "httpx.Response":  # noqa: ANN401 - as given
            response = await super().send(request, **options | {"stream": True})
            try:
                content = await read_answer(response)
            finally:
                await response.aclose()
            headers = [pair for pair in response.headers.multi_items() if pair[0].lower() not in _OF_THE_BODY]
            answer: httpx.Response = response_class(
                response.status_code, headers=headers, content=content, request=request
            )
            return answer

    return Session


def _load_client_class() -> Any:  # noqa: ANN401 - untyped library
    """Import schwab-py without the deprecation warnings that its imports print."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client_class = lean.load_schwab_client().AsyncClient
    # At DEBUG it would log whole answers, account numbers included.
    logging.getLogger("schwab").setLevel(logging.WARNING)
    return client_class


def _check_proxies(httpx: ModuleType) -> None:
    """Raise ``ConfigurationError`` when the environment's proxies are of a kind that cannot be used."""
    if not getproxies():
        return
    try:
        httpx.AsyncClient()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            "the proxy that the environment names (ALL_PROXY, HTTPS_PROXY) cannot be used: only http:// and https:// "
            "ones can; correct or unset it"
        ) from error


def app_credentials(settings: Settings) -> tuple[str, str]:
    """Return the app's key and secret, or raise ``ConfigurationError`` naming what misses or cannot be right."""
    secret = settings.schwab_client_secret
    values = {
        "SCHWAB_CLIENT_ID": settings.schwab_client_id,
        "SCHWAB_CLIENT_SECRET": secret.get_secret_value() if secret else None,
    }
    absent = [name for name, value in values.items() if not value]
    if absent:
        raise ConfigurationError(
            f"{' and '.join(absent)} not set: put the app's key and secret from developer.schwab.com into the "
            "environment or into .env (template: .env.back)"
        )
    odd = [name for name, value in values.items() if not is_token(value)]
    if odd:
        raise ConfigurationError(
            f"{' and '.join(odd)} cannot be right: it holds a blank or a character outside ASCII; copy it again"
        )
    return str(values["SCHWAB_CLIENT_ID"]), str(values["SCHWAB_CLIENT_SECRET"])


def _json(response: "httpx.Response") -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None
