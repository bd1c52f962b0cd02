"""A valid access token for every caller, refreshed once however many ask for it, in however many processes.

A refused login stops all further calls until somebody logs in; a transient failure is retried and never costs a token.
Does not write files (``store.py``), speak HTTP (``http.py``) or talk to a person (``commands/login.py``).

From top to bottom: the tokens in use, how they are refreshed, a new login, the REST calls, the background refresh.
"""

import asyncio
import contextlib
import datetime as dt
import math
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog

from schwabstream.auth.env_back import keep_refresh_token
from schwabstream.auth.http import LOG_IN, SchwabHttp
from schwabstream.auth.keeper import TokenKeeper
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet, fingerprint, is_token
from schwabstream.errors import LoginRequired, ProtocolError, SchwabStreamError, SchwabUnavailable, TokenFileError
from schwabstream.protocol.session import StreamerLogin
from schwabstream.protocol.user_preference import Entitlements, read_entitlements, read_streamer_login
from schwabstream.settings import Settings
from schwabstream.side_tasks import end, start_beside

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger(__name__)

_QUOTES_PER_CALL = 500  # protocol 2.2
_LONGEST_NAP_S = 30.0
_REMIND_EVERY_S = 3600.0
_LAST_SAVE_LIMIT_S = 1.0
_RETRY_WAITS_S = (5.0, 120.0)
_NO_LOGIN = f"there is no login; {LOG_IN}"


class SchwabAuthClient:
    """Tokens, REST and streamer credentials for one login; use it as an async context manager.

    ``entitlements``: what the account may see, as of the last streamer login.

    Every method that talks to Schwab raises ``LoginRequired`` when a person is needed, ``SchwabUnavailable`` when the
    same call may work later, ``TokenFileError`` when the token file cannot be used. Tasks may share one client.
    """

    def __init__(
        self,
        settings: Settings,
        store: TokenStore,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Check the app's credentials (``ConfigurationError``); nothing is read or connected yet."""
        self.settings = settings
        self.store = store
        self._clock = clock
        self._sleep = sleep
        self._http = SchwabHttp(settings, clock=clock, sleep=sleep)
        self._keeper = TokenKeeper(store)
        self._tokens: TokenSet | None = None
        self._refused: tuple[str, str] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._auto_refresh: asyncio.Task[None] | None = None
        self._next_reminder_at = 0.0
        self.problem: SchwabStreamError | None = None
        self.entitlements: Entitlements | None = None
        self.refreshes: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the background refresh, write what could not be written before, and close the connections."""
        await self.stop_auto_refresh()
        with contextlib.suppress(TokenFileError, TimeoutError):
            async with asyncio.timeout(_LAST_SAVE_LIMIT_S):
                await self._save_if_unsaved()
        if self.unsaved is not None:
            log.error(
                "the newest tokens were never written and end here; if the next start asks for it, log in again: "
                "schwabstream auth login",
                reason=str(self.unsaved),
            )
        await self._http.close()

    @property
    def tokens(self) -> TokenSet | None:
        """The tokens in use, as last seen; asks nobody."""
        return self._tokens

    @property
    def unsaved(self) -> TokenFileError | None:
        """Why the newest tokens are in memory only; None when the token file has them."""
        return self._keeper.unsaved

    def login_mark(self) -> str | None:
        """Look at the token file without calling anybody: what changes when somebody logs in; None without a login."""
        tokens = self.store.load()
        return None if tokens is None else fingerprint(tokens.refresh_token + tokens.access_token)

    async def token(self) -> TokenSet:
        """Return tokens whose access token lives at least another minute."""
        tokens = self._tokens
        return tokens if tokens and tokens.is_valid(self._clock()) else await self.refresh_tokens()

    async def refresh_tokens(self, *, force: bool = False) -> TokenSet:
        """Return fresh tokens: from the file when it has them, else from Schwab, and then stored already.

        When they cannot be stored they are used all the same, and stored as soon as that is possible: see ``unsaved``.
        ``force`` asks Schwab although the access token still lives, unless another task or process just did.
        """
        return await self._refresh(self._tokens or self.store.load(), force=force)

    async def _refresh(self, seen: TokenSet | None, *, force: bool) -> TokenSet:
        """Refresh, unless the file holds something better than what the caller has seen."""
        async with self._one_at_a_time, self.store.lock_async():
            stored = self._keeper.load() or self._from_environment()
            adopted = seen is None or stored.access_token != seen.access_token
            if stored.is_valid(self._clock()) and (adopted or not force):
                self._tokens = stored
                return stored
            fresh = await self._ask(stored)
            self._keeper.keep(fresh)
            self._use(fresh)
            return fresh

    def _from_environment(self) -> TokenSet:
        """Return the bootstrap login of SCHWAB_REFRESH_TOKEN, or raise ``LoginRequired``."""
        refresh_token = self.settings.schwab_refresh_token
        if refresh_token is None:
            self._tokens = None
            raise LoginRequired(_NO_LOGIN)
        return _bootstrap(refresh_token.get_secret_value())

    async def _ask(self, tokens: TokenSet) -> TokenSet:
        """Refresh at Schwab; once refused, the same refresh token is never sent again."""
        print_ = fingerprint(tokens.refresh_token)
        if self._refused and self._refused[0] == print_:
            raise LoginRequired(self._refused[1])
        now = self._clock()
        try:
            answer = await self._http.refresh(tokens.refresh_token)
        except LoginRequired as error:
            self._refused = (print_, str(error))
            self.refreshes["refused"] += 1
            raise
        except SchwabUnavailable:
            self.refreshes["unavailable"] += 1
            raise
        self.refreshes["ok"] += 1
        return tokens.refreshed(answer, now)

    def _use(self, tokens: TokenSet) -> None:
        self._tokens, self._refused = tokens, None
        if self.settings.schwab_persist_refresh_to_env:
            keep_refresh_token(self.settings.schwab_env_back_path, tokens.refresh_token)

    async def log_in_with_code(self, code: str) -> TokenSet:
        """Exchange the code of a browser login for tokens and store them; the seven days start now."""
        callback_url = self.settings.schwab_callback_url
        now = self._clock()
        answer = await self._http.exchange(code, callback_url)
        try:
            tokens = TokenSet.from_answer(answer, now=now, login_at=math.floor(now))
        except ValueError as error:
            raise ProtocolError(f"Schwab's answer to the login cannot be used: {error}; {LOG_IN}") from None
        async with self._one_at_a_time, self.store.lock_async():
            self.store.save(tokens)
            self._use(tokens)
        return tokens

    async def log_in_with_refresh_token(self, refresh_token: str) -> TokenSet:
        """Prove a refresh token by refreshing with it, then store the login; its age stays unknown."""
        async with self._one_at_a_time, self.store.lock_async():
            tokens = await self._ask(_bootstrap(refresh_token))
            self.store.save(tokens)
            self._use(tokens)
        return tokens

    async def fetch_user_preference(self) -> dict[str, Any]:
        """Return userPreference as sent (protocol 2.1); it holds account numbers."""
        content = await self._get(lambda schwab: schwab.get_user_preferences())
        return _object(content[0] if isinstance(content, list) and content else content)

    async def fetch_streamer_login(self) -> StreamerLogin:
        """Return what a streamer LOGIN needs, with a correlation id of its own each time (protocol 2.1)."""
        content = await self._get(lambda schwab: schwab.get_user_preferences())
        self.entitlements = read_entitlements(content)
        return read_streamer_login(content, (await self.token()).access_token, str(uuid.uuid4()))

    async def fetch_quotes(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return Schwab's quotes by the key Schwab answers with, as sent (protocol 2.2); any number of keys."""
        quotes: dict[str, Any] = {}
        for start in range(0, len(keys), _QUOTES_PER_CALL):
            quotes |= await self._fetch_some_quotes(list(keys[start : start + _QUOTES_PER_CALL]))
        return quotes

    async def _fetch_some_quotes(self, keys: list[str]) -> dict[str, Any]:
        return _object(await self._get(lambda schwab: schwab.get_quotes(keys)))

    async def fetch_market_hours(self, markets: Iterable[str], date: dt.date | None = None) -> dict[str, Any]:
        """Return the trading hours of ``equity``, ``option``, ``future``, ... as sent (protocol 2.3)."""
        names = list(markets)
        return _object(
            await self._get(
                lambda schwab: schwab.get_market_hours([schwab.MarketHours.Market(name) for name in names], date=date)
            )
        )

    async def _get(self, request: Callable[[Any], Awaitable["httpx.Response"]]) -> Any:
        tokens = await self.token()
        answer = await self._http.call(tokens.access_token, request)
        if not answer.accepted:
            # Schwab ends access tokens early now and then (protocol 1.3); a refreshed one works, or a person must act.
            tokens = await self._refresh(tokens, force=True)
            answer = await self._http.call(tokens.access_token, request)
        if not answer.accepted:
            raise LoginRequired(
                "Schwab does not accept this login for market data: the app needs both products, Accounts and "
                f"Trading and Market Data (developer.schwab.com); then {LOG_IN}"
            )
        return answer.content

    def start_auto_refresh(self) -> None:
        """Refresh in the background every ``SCHWAB_REFRESH_INTERVAL_S`` until closed; ``problem`` is why it fails."""
        if self._auto_refresh is None or self._auto_refresh.done():
            self._auto_refresh = start_beside(self._keep_fresh(), "token refresh")

    async def stop_auto_refresh(self) -> None:
        """Stop the background refresh and wait until it has stopped."""
        task, self._auto_refresh = self._auto_refresh, None
        if task is not None:
            await end(task)

    @contextlib.asynccontextmanager
    async def refresh_paused(self) -> AsyncIterator[None]:
        """Within the block nothing is refreshed in the background; afterwards as before."""
        refreshing = self._auto_refresh is not None
        await self.stop_auto_refresh()
        yield  # left by an error or a cancellation there is nothing to go on with
        if refreshing:
            self.start_auto_refresh()

    async def _keep_fresh(self) -> None:
        failures = 0
        while True:
            try:
                wait_s = await self._refresh_when_due()
                self.problem, failures = None, 0
            except SchwabStreamError as error:
                failures += 1
                wait_s = _retry_wait_s(error, failures)
                if str(error) != str(self.problem):
                    log.warning("token refresh failed", reason=str(error), again_in_s=round(wait_s))
                self.problem = error
            await self._sleep(wait_s)

    async def _refresh_when_due(self) -> float:
        """Refresh if it is time, and return the seconds until the next look.

        Looks are short naps: after a suspended night the clock has moved, the event loop's has not.
        """
        await self._save_if_unsaved()
        tokens = await self.token()
        interval_s = self.settings.schwab_refresh_interval_s
        if tokens.refresh_due(self._clock(), interval_s):
            tokens = await self._refresh(tokens, force=True)
        now = self._clock()
        if now >= self._next_reminder_at and (reminder := tokens.login_reminder(now)):
            self._next_reminder_at = now + _REMIND_EVERY_S
            log.warning(reminder)
        return min(max(tokens.refresh_at(interval_s) - now, 1.0), _LONGEST_NAP_S)

    async def _save_if_unsaved(self) -> None:
        if self.unsaved is not None:
            async with self._one_at_a_time, self.store.lock_async():
                self._keeper.load()


def open_store(settings: Settings, *, clock: Callable[[], float] = time.time) -> TokenStore:
    """Return the token store that the settings name, encrypted when they hold a key."""
    key = settings.schwab_token_key
    return TokenStore(settings.schwab_token_path, key=key.get_secret_value() if key else None, clock=clock)


def _bootstrap(refresh_token: str) -> TokenSet:
    text = refresh_token.strip().strip("'\"")
    if not is_token(text):
        raise LoginRequired(f"the given refresh token cannot be one: it is empty or holds blanks; {LOG_IN}")
    return TokenSet(access_token="", refresh_token=text, expires_at=0.0)


def _retry_wait_s(error: SchwabStreamError, failures: int) -> float:
    """Seconds until the next background attempt; a refused login is only looked for in the file, so often enough."""
    shortest, longest = _RETRY_WAITS_S
    if not isinstance(error, SchwabUnavailable):
        return shortest
    jittered = random.uniform(shortest, min(longest, shortest * 2.0 ** min(failures, 10)))  # noqa: S311 - no secret
    return max(error.retry_after_s or 0.0, jittered)


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ProtocolError("Schwab answered something else than a JSON object; if it lasts, report it")
    return content
