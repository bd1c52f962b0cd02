"""The calls to Schwab, one method each: refresh a token, exchange a code, ask the REST API through schwab-py's client.

Retries transient failures, within limits. Every failure is one of our errors. Keeps no token: the caller stores what
Schwab answers. The libraries are heavy, so they load with the first call.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from schwabstream.auth.tokens import is_token
from schwabstream.backoff import Allowance
from schwabstream.errors import ConfigurationError, SchwabUnavailable
from schwabstream.settings import Settings

if TYPE_CHECKING:
    import httpx

    from schwabstream.auth.session import RestAnswer, Session

EXCHANGE_LIMIT_S = 10.0
RETRY_LIMIT_S = 3.0
MOST_FAILING_CALLS, FAILING_SPAN_S = 20, 60.0
_MOST_ATTEMPTS = 4

T = TypeVar("T")


class SchwabHttp:
    """One HTTP client for the token endpoint and the REST API; close it when done.

    Each method retries transient failures, and returns or raises within ``EXCHANGE_LIMIT_S``, however slowly Schwab
    answers.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Check the app's credentials; ``ConfigurationError`` names the variables that are missing or malformed."""
        self._app = _app_credentials(settings)
        self._base_url = settings.schwab_api_base_url
        self._clock, self._sleep = clock, sleep
        self._allowance = Allowance(MOST_FAILING_CALLS, FAILING_SPAN_S)
        self._session: Session | None = None

    async def refresh(self, refresh_token: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to a refresh token.

        ``LoginRequired`` when it refuses, ``SchwabUnavailable`` when it may work later or failed too often recently.
        """
        self._open()  # loading the libraries is not part of the exchange
        return await self._repeated(self._refresh_once, refresh_token)

    async def exchange(self, code: str, callback_url: str) -> Mapping[str, Any]:
        """Return what the token endpoint answers to an authorization code; errors as for :meth:`refresh`."""
        return await self._repeated(self._open().ask_exchange, code, callback_url)

    async def call(self, access_token: str, request: "Callable[[Any], Awaitable[httpx.Response]]") -> "RestAnswer":
        """Make one request on schwab-py's ``AsyncClient``; ``SchwabUnavailable`` when it may work later."""
        session = self._open()
        schwab = session.rest_client()
        return await self._repeated(session.ask_rest, access_token, lambda: request(schwab))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.aclose()
            self._session = None

    def _open(self) -> "Session":
        """Return the session; the first one loads authlib and httpx."""
        if self._session is None:
            from schwabstream.auth.session import open_session

            self._session = open_session(self._app, self._base_url, self._clock)
        return self._session

    async def _repeated(self, call: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Return what ``call`` returns; repeat it after ``SchwabUnavailable`` while there is time.

        Without time the last error is raised, and ``SchwabUnavailable`` after ``EXCHANGE_LIMIT_S`` in any case: no
        timeout of a library bounds an answer that comes byte by byte.
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
        try:
            async with asyncio.timeout(EXCHANGE_LIMIT_S):
                return await attempts(call, *arguments)
        except TimeoutError:
            raise SchwabUnavailable(
                f"Schwab's answer was not complete within {EXCHANGE_LIMIT_S:g} s; check the network, try again in a "
                "minute"
            ) from None

    async def _refresh_once(self, refresh_token: str) -> Mapping[str, Any]:
        # Background refresh, reconnects and requests each retry on their own: only here are all of them counted.
        wait_s = self._allowance.take(self._clock())
        if wait_s:
            raise SchwabUnavailable(
                f"{MOST_FAILING_CALLS} calls for a new access token failed within {FAILING_SPAN_S:g} s; the login is "
                f"untouched, the next call is made in {wait_s:.0f} s",
                retry_after_s=wait_s,
            )
        answer = await self._open().ask_refresh(refresh_token)
        self._allowance.restore()
        return answer


def preload() -> None:
    """Load the libraries now, in a thread if need be, so that the first call does not wait for them."""
    from schwabstream.auth.session import load_rest_client

    load_rest_client()


def _app_credentials(settings: Settings) -> tuple[str, str]:
    """Return the app's key and secret, or raise ``ConfigurationError`` naming what is missing or malformed."""
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
    malformed = [name for name, value in values.items() if not is_token(value)]
    if malformed:
        raise ConfigurationError(
            f"{' and '.join(malformed)} cannot be right: it contains a blank or a character outside ASCII; "
            "copy it again"
        )
    return str(values["SCHWAB_CLIENT_ID"]), str(values["SCHWAB_CLIENT_SECRET"])


def _wait_as_asked(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, SchwabUnavailable) else None
    return max(asked_s or 0.0, tenacity.wait_random_exponential(multiplier=0.5, max=4)(state))
