"""The calls to Schwab, one method each: refresh a token, exchange a code, ask the REST API through schwab-py's client.

Every failure is one of our errors, and a refusal is never confused with a transient failure (protocol 1.4). It keeps
no token: what comes back is for the caller to store. The libraries are heavy, so they load with the first call.
"""

import asyncio
import contextlib
import logging
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import tenacity

from schwabstream.auth.oauth import SCHWAB, TOKEN_PATH, Verdict, error_name, judge_rest_answer, judge_token_answer
from schwabstream.auth.tokens import is_token
from schwabstream.backoff import Allowance
from schwabstream.errors import ConfigurationError, LoginRequired, SchwabUnavailable
from schwabstream.settings import Settings

if TYPE_CHECKING:
    import httpx

    from schwabstream.auth.session import Session

LOG_IN = "log in: schwabstream auth login"
EXCHANGE_LIMIT_S = 10.0
RETRY_LIMIT_S = 3.0
MOST_FAILING_CALLS, FAILING_SPAN_S = 20, 60.0
_MOST_ATTEMPTS = 4
# schwab-py's address whatever the base URL: the session's transport points both kinds of calls there.
_TOKEN_URL = SCHWAB + TOKEN_PATH
_LONGEST_RETRY_AFTER_S = 3600.0

T = TypeVar("T")
RestRequest = Callable[[Any], Awaitable["httpx.Response"]]


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """A REST answer: its JSON, or an access token that Schwab does not take (any more)."""

    accepted: bool
    content: Any = None


class SchwabHttp:
    """One HTTP client for the token endpoint and the REST API; close it when done.

    Each method repeats a call that failed for a moment, and is over within ``EXCHANGE_LIMIT_S`` whatever the peer does.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Check the app's credentials; ``ConfigurationError`` names the variables that miss or cannot be right."""
        self._client_id, self._client_secret = app_credentials(settings)
        self._base_url = settings.schwab_api_base_url
        self._peer = urlsplit(self._base_url).netloc
        self._clock, self._sleep = clock, sleep
        self._allowance = Allowance(MOST_FAILING_CALLS, FAILING_SPAN_S)
        self._session: Session | None = None
        self._schwab: Any = None

    async def refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to a refresh token.

        ``LoginRequired`` when it refuses, ``SchwabUnavailable`` when it may work later or failed too often of late.
        """
        return await self._repeated(self._refresh_once, refresh_token)

    async def exchange(self, code: str, callback_url: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to an authorization code; errors as for :meth:`refresh`."""
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback_url}
        return await self._repeated(self._ask_token, lambda session: session.fetch_token(_TOKEN_URL, **grant))

    async def call(self, access_token: str, request: RestRequest) -> RestAnswer:
        """Make one request on schwab-py's ``AsyncClient``; ``SchwabUnavailable`` when it may work later."""
        schwab = self._rest_client()
        return await self._repeated(self._call_once, access_token, lambda: request(schwab))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.aclose()
            self._session = self._schwab = None

    async def _repeated(self, call: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Return what ``call`` returns; it is called again after ``SchwabUnavailable``, while there is time.

        The last error is raised when there is none, and ``SchwabUnavailable`` after ``EXCHANGE_LIMIT_S`` in any case:
        no timeout of a library bounds an answer that comes byte by byte.
        """
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(SchwabUnavailable),
            wait=_wait_as_asked,
            stop=tenacity.stop_any(
                tenacity.stop_before_delay(RETRY_LIMIT_S), tenacity.stop_after_attempt(_MOST_ATTEMPTS)
            ),
            sleep=self._sleep,
            reraise=True,
        )
        self._open()  # loading the libraries is not part of the exchange
        try:
            async with asyncio.timeout(EXCHANGE_LIMIT_S):
                return await attempts(call, *arguments)
        except TimeoutError:
            raise SchwabUnavailable(
                f"Schwab's answer was not complete within {EXCHANGE_LIMIT_S:g} s; check the network, try again in a "
                "minute"
            ) from None

    async def _refresh_once(self, refresh_token: str) -> Mapping[str, Any]:
        # Background refresh, reconnects and requests each try again on their own: only here are all of them seen.
        wait_s = self._allowance.take(self._clock())
        if wait_s:
            raise SchwabUnavailable(
                f"{MOST_FAILING_CALLS} calls for a new access token failed within {FAILING_SPAN_S:g} s; the login is "
                f"untouched, the next call is made in {wait_s:.0f} s",
                retry_after_s=wait_s,
            )
        answer = await self._ask_token(lambda session: session.refresh_token(_TOKEN_URL, refresh_token=refresh_token))
        self._allowance.restore()
        return answer

    async def _ask_token(self, ask: "Callable[[Session], Awaitable[Mapping[str, Any]]]") -> Mapping[str, Any]:
        session = self._open()
        with session.translated():
            return await ask(session)

    async def _call_once(self, access_token: str, request: "Callable[[], Awaitable[httpx.Response]]") -> RestAnswer:
        session = self._open()
        # Without an expiry authlib leaves the token alone; when to refresh is the auth client's decision.
        session.token = {"access_token": access_token, "token_type": "Bearer"}
        with session.translated():
            response = await request()
        verdict = judge_rest_answer(response.status_code, response.text)
        if verdict is Verdict.UNAUTHORIZED:
            return RestAnswer(accepted=False)
        content = _json(response) if verdict is Verdict.OK else None
        if content is None:
            raise self._transient(response)
        return RestAnswer(accepted=True, content=content)

    def _open(self) -> "Session":
        """Return the session; the first one loads authlib and httpx."""
        if self._session is None:
            from schwabstream.auth.session import Session, check_proxies

            check_proxies()
            session = self._session = Session(self._client_id, self._client_secret, self._base_url)
            # authlib takes whatever was answered for a token, and would turn a refusal, whose body is often not JSON
            # (protocol 1.4), into an error that no longer says what it was. Its hooks see the answer before that: they
            # let a token through and raise our error, through authlib, for everything else.
            session.register_compliance_hook("refresh_token_response", self._judge_refresh)
            session.register_compliance_hook("access_token_response", self._judge_exchange)
        return self._session

    def _rest_client(self) -> Any:
        """Return schwab-py's client on our session; a refresh alone never loads it."""
        session = self._open()
        if self._schwab is None:
            timeout = session.timeout
            self._schwab = _load_rest_client()(self._client_id, session)
            self._schwab.set_timeout(timeout)  # its constructor sets one of its own
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
        raise self._transient(response)

    def _transient(self, response: "httpx.Response") -> SchwabUnavailable:
        name = error_name(response.text)
        said = f"HTTP {response.status_code}{f' {name}' if name else ''}"
        if response.status_code < 300:
            said += " without what was asked for"
        retry_after_s = self._retry_after_s(response.headers.get("Retry-After"))
        wait = f"in {retry_after_s:.0f} s" if retry_after_s else "in a minute"
        return SchwabUnavailable(
            f"Schwab ({self._peer}) answered {said}; the login is untouched, try again {wait}",
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


def preload() -> None:
    """Load the libraries now, in a thread if need be, so that the first call does not wait for them."""
    from schwabstream.auth import session  # noqa: F401 - to have it loaded

    _load_rest_client()


def _load_rest_client() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports print deprecation warnings
        from schwab.client import AsyncClient
    # At DEBUG it would log whole answers, account numbers included.
    logging.getLogger("schwab").setLevel(logging.WARNING)
    return AsyncClient


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


def _wait_as_asked(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, SchwabUnavailable) else None
    return max(asked_s or 0.0, tenacity.wait_random_exponential(multiplier=0.5, max=4)(state))


def _json(response: "httpx.Response") -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None
