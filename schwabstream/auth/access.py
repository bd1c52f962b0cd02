"""A valid access token of one login for every caller, refreshed once however many tasks and processes ask for it.

A refused login stops all further calls until somebody logs in. A transient failure is retried and never discards a
token. Does not write files (``store``), speak HTTP (``http``) or prompt the user (``commands/login``).

From top to bottom: a valid token, a new login, and where the newest login is.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Self

import structlog

from schwabstream.auth.env_back import keep_refresh_token
from schwabstream.auth.http import SchwabHttp
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import LOG_IN, TokenSet, fingerprint, is_token
from schwabstream.errors import LoginRequired, ProtocolError, SchwabUnavailable, TokenFileError
from schwabstream.settings import Settings

log = structlog.get_logger(__name__)

_LAST_SAVE_LIMIT_S = 1.0


class AccessTokens:
    """Keeps one login's access token valid; use it as an async context manager. Tasks may share one.

    ``tokens`` are those in use, as last seen; ``refreshes`` counts refreshes by outcome.

    Every method that calls Schwab raises ``LoginRequired`` when the user must log in, ``SchwabUnavailable`` when the
    same call may work later, ``TokenFileError`` when the token file cannot be used.
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
        self.tokens: TokenSet | None = None
        self.refreshes: Counter[str] = Counter()
        self._clock = clock
        self._http = SchwabHttp(settings, clock=clock, sleep=sleep)
        self._keeper = TokenKeeper(store)
        self._refused: tuple[str, str] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await self.close()
        if self.lost is not None and not isinstance(error, TokenFileError):
            log.error(str(self.lost))

    async def close(self) -> None:
        """Try once more to write a login that could not be written, and close the connections."""
        with contextlib.suppress(TokenFileError, TimeoutError):
            async with asyncio.timeout(_LAST_SAVE_LIMIT_S):
                await self.save()
        await self._http.close()

    async def token(self) -> TokenSet:
        """Return tokens whose access token lives at least another minute."""
        tokens = self.tokens
        return tokens if tokens and tokens.is_valid(self._clock()) else await self.refresh_tokens()

    async def refresh_tokens(self, *, force: bool = False, seen: TokenSet | None = None) -> TokenSet:
        """Return fresh tokens: from the file when it has them, otherwise from Schwab, already stored.

        Tokens that cannot be stored are used anyway, and stored as soon as possible: see ``unsaved``.
        ``force`` asks Schwab although the access token is still valid, unless another task or process has replaced the
        tokens ``seen``, by default those in use.
        """
        seen = seen or self.tokens or self.store.load()
        async with self._one_at_a_time, self.store.lock_async():
            stored = self._keeper.load() or self._from_environment()
            adopted = seen is None or stored.access_token != seen.access_token
            if stored.is_valid(self._clock()) and (adopted or not force):
                self.tokens = stored
                return stored
            fresh = await self._ask(stored)
            self._keeper.keep(fresh)
            self._use(fresh)
            return fresh

    def _from_environment(self) -> TokenSet:
        """Return the initial login of SCHWAB_REFRESH_TOKEN, or raise ``LoginRequired``."""
        refresh_token = self.settings.schwab_refresh_token
        if refresh_token is None:
            self.tokens = None
            raise LoginRequired(f"nobody is logged in; {LOG_IN}")
        return _initial(refresh_token.get_secret_value())

    async def _ask(self, tokens: TokenSet) -> TokenSet:
        """Refresh at Schwab; a refresh token that was refused is never sent again."""
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
        self.tokens, self._refused = tokens, None
        if self.settings.schwab_persist_refresh_to_env:
            keep_refresh_token(self.settings.schwab_env_back_path, tokens.refresh_token)

    # -- a new login

    async def log_in_with_code(self, code: str) -> TokenSet:
        """Exchange the code of a browser login for tokens and store them; the seven days start now."""
        now = self._clock()
        answer = await self._http.exchange(code, self.settings.schwab_callback_url)
        try:
            tokens = TokenSet.from_answer(answer, now=now, login_at=int(now))
        except ValueError as error:
            raise ProtocolError(f"Schwab's answer to the login cannot be used: {error}; {LOG_IN}") from None
        async with self._one_at_a_time, self.store.lock_async():
            self.store.save(tokens)
            self._use(tokens)
        return tokens

    async def log_in_with_refresh_token(self, refresh_token: str) -> TokenSet:
        """Prove a refresh token by refreshing with it, and store the login; its age stays unknown."""
        async with self._one_at_a_time, self.store.lock_async():
            tokens = await self._ask(_initial(refresh_token))
            self.store.save(tokens)
            self._use(tokens)
        return tokens

    # -- where the newest login is

    @property
    def unsaved(self) -> TokenFileError | None:
        """Why the newest tokens are in memory only; None when the token file has them."""
        return self._keeper.unsaved

    @property
    def lost(self) -> TokenFileError | None:
        """Why the login would end with this process; None while the token file holds a refresh token that works."""
        return self._keeper.lost

    async def save(self) -> None:
        """Write the newest login if that failed before."""
        if self.unsaved is not None:
            async with self._one_at_a_time, self.store.lock_async():
                self._keeper.load()

    def login_mark(self) -> str | None:
        """Return a value that changes when somebody logs in, None without a login; reads the token file only."""
        tokens = self.store.load()
        return None if tokens is None else fingerprint(tokens.refresh_token + tokens.access_token)


class TokenKeeper:
    """The newest login: in the token file, or in memory while the file cannot be written.

    When a full disk does not take a new token, Schwab may already have ended the one before it.
    ``unsaved`` is why the file does not hold the newest login, None when it does. Does not lock: its caller holds the
    token store's lock.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._on_disk: TokenSet | None = None
        self._in_memory: TokenSet | None = None
        self.unsaved: TokenFileError | None = None

    def load(self) -> TokenSet | None:
        """Return the newest login, None when nobody is logged in; one that could not be written is written now.

        When another process has changed the file meanwhile, by a login, a refresh or a logout, the file counts.
        """
        stored = self._store.load()
        if self._in_memory is not None and stored == self._on_disk:
            self.keep(self._in_memory)
            return self._in_memory or self._on_disk
        self._on_disk, self._in_memory, self.unsaved = stored, None, None
        return stored

    def keep(self, tokens: TokenSet) -> None:
        """Write a login to the file; when that fails, log it once and keep the login in memory."""
        try:
            self._store.save(tokens)
        except TokenFileError as error:
            if self.unsaved is None:
                log.warning(
                    "the newest tokens are kept in memory until the token file can be written", reason=str(error)
                )
            self._in_memory, self.unsaved = tokens, error
            return
        if self.unsaved is not None:
            log.info("the token file is up to date again", path=str(self._store.path))
        self._on_disk, self._in_memory, self.unsaved = tokens, None, None

    @property
    def lost(self) -> TokenFileError | None:
        """Why the newest login ends with this process; None when the file holds the same refresh token, or a newer."""
        if self._in_memory is None or (self._on_disk and self._on_disk.refresh_token == self._in_memory.refresh_token):
            return None
        return TokenFileError(
            "the new login could not be saved, and Schwab may no longer accept the one in the file: "
            f"{self.unsaved}, then {LOG_IN}"
        )


def _initial(refresh_token: str) -> TokenSet:
    text = refresh_token.strip().strip("'\"")
    if not is_token(text):
        raise LoginRequired(f"this is not a refresh token: it is empty or contains blanks; {LOG_IN}")
    return TokenSet(access_token="", refresh_token=text, expires_at=0.0)
