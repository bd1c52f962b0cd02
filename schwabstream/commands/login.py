"""The use cases of ``schwabstream auth``: log in, refresh, status, log out; each returns a typed report.

Questions to the person go through a :class:`Prompt`; the command line renders the reports.
"""

import dataclasses
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from schwabstream.auth.access import AccessTokens
from schwabstream.auth.callback import LIMIT_S, CallbackServer
from schwabstream.auth.env_back import drop_refresh_token
from schwabstream.auth.oauth import Redirect, authorize_url, read_paste
from schwabstream.auth.store import TokenStore, open_store
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import LoginRequired, TokenFileError
from schwabstream.settings import Settings, foreign_environment, origin

CREDENTIALS = ("SCHWAB_CLIENT_ID", "SCHWAB_CLIENT_SECRET", "SCHWAB_REFRESH_TOKEN", "SCHWAB_TOKEN_KEY")
_MOST_PASTES = 3
_AGAIN = "start again: schwabstream auth login"


class Method(StrEnum):
    """How the login reaches the program."""

    BROWSER = "browser"
    MANUAL = "manual"
    REFRESH_TOKEN = "refresh token"


@dataclass(frozen=True, slots=True)
class Prompt:
    """The terminal during a login. ``show`` writes to stderr; reading returns "" at the end of input."""

    show: Callable[[str], None]
    read_line: Callable[[], str]
    read_secret: Callable[[], str]
    open_browser: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class LoginState:
    """The stored login and its validity."""

    token_file: str
    """Path of the token file."""
    logged_in: bool
    """Whether a login is stored."""
    login_needed: bool
    """Whether a browser login is needed now."""
    login_due_soon: bool = False
    """Whether the next browser login is due within 24 hours."""
    access_fingerprint: str | None = None
    """Fingerprint of the access token."""
    access_expires_at: int | None = None
    """Time at which the access token expires, in seconds since the Unix epoch, UTC."""
    access_expires_in_s: int | None = None
    """Seconds until then."""
    login_at: int | None = None
    """Time of the last browser login, in seconds since the Unix epoch, UTC; null when unknown."""
    login_age_s: int | None = None
    """Seconds since then."""
    login_due_at: int | None = None
    """Time at which the next browser login is due, in seconds since the Unix epoch, UTC; null when unknown."""
    login_due_in_s: int | None = None
    """Seconds until then."""


@dataclass(frozen=True, slots=True)
class LoginReport:
    """The result of ``auth login``."""

    state: LoginState
    skipped: bool
    """Whether the login was skipped because the stored one is still good."""
    method: str
    """How the user logged in: `browser`, `manual` or `refresh token`."""


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """The result of ``auth refresh``."""

    state: LoginState
    refreshed: bool
    """Whether the token was refreshed; false with --if-due when it was not due."""
    old_fingerprint: str | None
    """Fingerprint of the previous access token; null when there was none."""
    new_fingerprint: str
    """Fingerprint of the new access token."""
    snapshot: str | None
    """Path of the snapshot written; null when none was."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The result of ``auth status``, which calls neither Schwab nor Redis."""

    state: LoginState
    credentials: dict[str, str | None]
    """The source of each credential: `environment`, `.env` or `.env.back`; null when it is not set."""
    encrypted: bool
    """Whether the token file is encrypted."""
    snapshots: int
    """Number of snapshots of the token file."""
    unwritable: str | None = None
    """Why the token file cannot be written, so that a running streamer may have newer tokens; null when it can."""


@dataclass(frozen=True, slots=True)
class LogoutReport:
    """The result of ``auth logout``."""

    token_file: str
    """Path of the token file, which no longer exists."""
    snapshot: str | None
    """Path of the snapshot that keeps the login; null when there was no login."""
    still_set: str | None
    """Where SCHWAB_REFRESH_TOKEN is set, with which the next run would log in; null when it is not set."""


Report = LoginReport | RefreshReport | StatusReport | LogoutReport


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as one flat JSON object of version 1."""
    content = dataclasses.asdict(report)
    return {"v": 1, **content.pop("state", {}), **content}


async def log_in(
    settings: Settings,
    prompt: Prompt,
    *,
    method: Method = Method.BROWSER,
    browser: bool = True,
    force: bool = False,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = time.time,
) -> LoginReport:
    """Log in unless the stored login is good; nothing is written before Schwab has accepted it.

    A stored login that ends within 24 hours is not good enough. ``browser``: open one, if this machine has one.
    """
    store = open_store(settings, clock=clock)
    async with AccessTokens(settings, store, clock=clock) as access:
        tokens = None if force else await _good_login(access, store, clock())
        if access.lost is not None:
            raise access.lost
        if tokens is not None:
            return LoginReport(_state(store, tokens, clock()), skipped=True, method=method.value)
        if method is Method.REFRESH_TOKEN:
            tokens = await access.log_in_with_refresh_token(prompt.read_secret())
        else:
            state = secrets.token_urlsafe(24)
            url = authorize_url(
                settings.schwab_api_base_url, str(settings.schwab_client_id), settings.schwab_callback_url, state
            )
            if method is Method.MANUAL:
                code = _pasted_code(prompt, url, state)
            else:
                code = await _received_code(settings.schwab_callback_url, prompt, url, state, browser, limit_s)
            tokens = await access.log_in_with_code(code)
        return LoginReport(_state(store, tokens, clock()), skipped=False, method=method.value)


async def refresh(settings: Settings, *, if_due: bool = False, clock: Callable[[], float] = time.time) -> RefreshReport:
    """Refresh the access token now, or with ``if_due`` only when it is due; never prompts.

    Raises ``TokenFileError`` before it asks Schwab when the file cannot be written: the new token would be lost.
    """
    store = open_store(settings, clock=clock)
    async with AccessTokens(settings, store, clock=clock) as access:
        before = store.load()
        due = before is None or not if_due or before.refresh_due(clock(), settings.schwab_refresh_interval_s)
        if due:
            store.prove_writable()
        after = await access.refresh_tokens(force=True) if due or before is None else before
        if error := access.lost or access.unsaved:
            raise error
    snapshots = store.snapshots()
    return RefreshReport(
        _state(store, after, clock()),
        refreshed=due,
        old_fingerprint=before.fingerprint if before else None,
        new_fingerprint=after.fingerprint,
        snapshot=str(snapshots[0]) if due and snapshots else None,
    )


def status(settings: Settings, *, clock: Callable[[], float] = time.time) -> StatusReport:
    """What is stored, and where each credential comes from; asks neither Schwab nor a person."""
    store = open_store(settings, clock=clock)
    tokens = store.load()
    credentials = {variable: _origin(variable) for variable in CREDENTIALS}
    state = _state(store, tokens, clock())
    if tokens is None and settings.schwab_refresh_token is not None:
        state = dataclasses.replace(state, login_needed=False)
    snapshots, unwritable = len(store.snapshots()), _unwritable(store)
    return StatusReport(state, credentials, encrypted=store.encrypted, snapshots=snapshots, unwritable=unwritable)


def log_out(settings: Settings) -> LogoutReport:
    """Forget the login; the file stays as a snapshot."""
    store = open_store(settings)
    kept = store.forget()
    if settings.schwab_persist_refresh_to_env:
        drop_refresh_token(settings.schwab_env_back_path)
    return LogoutReport(str(store.path), str(kept) if kept else None, still_set=_origin("SCHWAB_REFRESH_TOKEN"))


def open_browser(url: str) -> bool:
    """Open the address in a graphical browser without waiting for it; return whether there is one.

    A separate Python opens it: ``webbrowser`` would pass our environment and terminal to the browser.
    """
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # A text browser would take over the terminal of the login.
    if Path(getattr(browser, "name", "") or "").name in {"www-browser", "links", "elinks", "lynx", "w3m"}:
        return False
    command = [sys.executable, "-I", "-m", "webbrowser", url]
    silent: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    # Some controllers wait until the browser is closed, but the callback comes long before that. Ctrl-C ends the login
    # and not the browser.
    silent |= {"env": foreign_environment(), "start_new_session": True, "check": False}
    threading.Thread(target=subprocess.run, args=(command,), kwargs=silent, daemon=True).start()
    return True


async def _good_login(access: AccessTokens, store: TokenStore, now: float) -> TokenSet | None:
    stored = store.load()
    if stored is None or stored.login_due_soon(now):
        return None
    try:
        return await access.token()
    except LoginRequired:
        return None


async def _received_code(callback_url: str, prompt: Prompt, url: str, state: str, browser: bool, limit_s: float) -> str:
    async with CallbackServer(callback_url, state) as server:
        if browser and prompt.open_browser(url):
            prompt.show(f"A browser opens Schwab's login page. If it does not, open this address:\n\n  {url}\n")
        else:
            prompt.show(f"Open this address in a browser on this machine and log in:\n\n  {url}\n")
        prompt.show(
            "At the end the browser warns about the certificate of 127.0.0.1. This program has just made it: continue "
            "to the page.\nNo browser here? Stop with Ctrl-C and use: schwabstream auth login --manual"
        )
        redirect = await server.redirect(limit_s)
    if redirect.problem:
        raise LoginRequired(f"{redirect.problem}; {_AGAIN}")
    return redirect.code


def _pasted_code(prompt: Prompt, url: str, state: str) -> str:
    prompt.show(
        f"Open this address in any browser and log in:\n\n  {url}\n\nThe browser ends on a page that cannot be "
        "displayed, as expected.\nCopy the whole address of that page and paste it here within 30 seconds:"
    )
    for _ in range(_MOST_PASTES):
        redirect, more = _read_pasted(prompt)
        problem = redirect.problem
        if not problem and redirect.state not in (None, state):
            problem = "that address belongs to an earlier login; copy the one that this login ended on"
        if not problem:
            return redirect.code
        if not more:
            break
        prompt.show(f"That cannot be used: {problem}. Paste it again:")
    raise LoginRequired(f"no login: {problem}; {_AGAIN} --manual")


def _read_pasted(prompt: Prompt) -> tuple[Redirect, bool]:
    """Read lines until they hold a whole code, an empty line comes or the input ends."""
    text = ""
    while True:
        line = prompt.read_line()
        text += line
        redirect = read_paste(text)
        if redirect.whole or not line.strip():
            return redirect, bool(line)
        prompt.show("(If that was not the whole address, paste the rest; otherwise press Enter on an empty line.)")


def _unwritable(store: TokenStore) -> str | None:
    try:
        store.prove_writable()
    except TokenFileError as error:
        return str(error)
    return None


def _origin(variable: str) -> str | None:
    """Where a credential comes from; None when it is not set, since none has a default."""
    found = origin(variable)
    return None if found == "default" else found


def _state(store: TokenStore, tokens: TokenSet | None, now: float) -> LoginState:
    if tokens is None:
        return LoginState(str(store.path), logged_in=False, login_needed=True)
    due_at, due_in_s = tokens.login_due_at, tokens.login_due_in_s(now)
    return LoginState(
        token_file=str(store.path),
        logged_in=True,
        login_needed=due_in_s is not None and due_in_s <= 0,
        login_due_soon=tokens.login_due_soon(now),
        access_fingerprint=tokens.fingerprint,
        access_expires_at=int(tokens.expires_at),
        access_expires_in_s=int(tokens.expires_at - now),
        login_at=None if tokens.login_at is None else int(tokens.login_at),
        login_age_s=None if tokens.login_at is None else int(now - tokens.login_at),
        login_due_at=None if due_at is None else int(due_at),
        login_due_in_s=None if due_in_s is None else int(due_in_s),
    )
