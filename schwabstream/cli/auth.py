"""``schwabstream auth …``: log in, refresh from cron, show how long the login lasts, log out."""

import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from schwabstream.cli import options, pages
from schwabstream.errors import ConfigurationError
from schwabstream.escapes import safe
from schwabstream.output import show
from schwabstream.terminal.text import age

if TYPE_CHECKING:
    from schwabstream.commands.login import (
        LoginReport,
        LoginState,
        LogoutReport,
        Prompt,
        RefreshReport,
        Report,
        StatusReport,
    )
    from schwabstream.settings import Settings

T = TypeVar("T")
app = pages.group("Log in to Schwab and manage the login.", "schwabstream auth login", "schwabstream auth status")


@pages.command(app, "schwabstream auth login", "schwabstream auth login --manual")
def login(
    *,
    manual: Annotated[
        bool,
        options.flag(
            "--manual", "Print the login address, then read the redirect address that you paste.", options.LOGIN
        ),
    ] = False,
    with_refresh_token: Annotated[
        bool, options.flag("--with-refresh-token", "Read a refresh token from standard input.", options.LOGIN)
    ] = False,
    browser: Annotated[
        bool, options.flag("--browser/--no-browser", "Open a browser, or only print the login address.", options.LOGIN)
    ] = True,
    force: Annotated[
        bool, options.flag("--force", "Log in even when the stored login is still good.", options.LOGIN)
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Log in through the browser; the login lasts seven days."""
    from schwabstream.commands.login import Method, log_in

    if manual and with_refresh_token:
        raise ConfigurationError("use either --manual or --with-refresh-token, not both")
    method = Method.MANUAL if manual else Method.REFRESH_TOKEN if with_refresh_token else Method.BROWSER
    settings = _settings(verbose, quiet=quiet)
    report = _run(log_in(settings, _prompt(), method=method, browser=browser, force=force))
    _show(report, _login_text(report), json=json, quiet=quiet)


@pages.command(app, "schwabstream auth refresh", "schwabstream auth refresh --if-due --quiet")
def refresh(
    *,
    if_due: Annotated[
        bool, options.flag("--if-due", "Refresh only when the access token is due.", options.LOGIN)
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Refresh the access token now and show its old and new fingerprint; never prompts, so it suits cron."""
    from schwabstream.commands import login

    settings = _settings(verbose, quiet=quiet)
    report = _run(login.refresh(settings, if_due=if_due))
    _show(report, _refresh_text(report), json=json, quiet=quiet)


@pages.command(app, "schwabstream auth status", "schwabstream auth status --json")
def status(*, json: options.Json = False, quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """Show the stored login and how long it lasts; exit 3 when a login is needed."""
    from schwabstream.commands import login

    report = login.status(_settings(verbose, quiet=quiet))
    _show(report, _status_text(report), json=json, quiet=quiet)
    if report.state.login_needed:
        raise typer.Exit(3)


@pages.command(app, "schwabstream auth logout")
def logout(*, json: options.Json = False, quiet: options.Quiet = False, verbose: options.Verbose = 0) -> None:
    """Forget the login; the token file is kept as a snapshot."""
    from schwabstream.commands.login import log_out

    report = log_out(_settings(verbose, quiet=quiet))
    _show(report, _logout_text(report), json=json, quiet=quiet)


def _settings(verbose: int, *, quiet: bool) -> "Settings":
    from schwabstream.commands.start import settings_and_logs

    return settings_and_logs(options.verbosity(verbose, quiet=quiet))


def _prompt() -> "Prompt":
    from schwabstream.commands.login import Prompt, open_browser

    return Prompt(
        show=lambda text: typer.echo("\n".join(map(safe, text.split("\n"))), err=True),
        read_line=_read_line,
        read_secret=_read_secret,
        open_browser=open_browser,
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    from schwabstream.commands.signals import run_until_interrupted

    return run_until_interrupted(work)


def _read_line() -> str:
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        return "\n"  # bytes that are not UTF-8 cannot be an address


def _read_secret() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    import getpass

    try:
        return getpass.getpass("Refresh token (not shown): ", stream=sys.stderr)
    except EOFError:
        return ""


def _show(report: "Report", text: str, *, json: bool, quiet: bool) -> None:
    if json:
        from json import dumps

        from schwabstream.commands.login import as_json

        show(dumps(as_json(report)))
    elif not quiet:
        show(text)


def _login_text(report: "LoginReport") -> str:
    done = "Already logged in; use --force to log in again." if report.skipped else "Logged in."
    return f"{done}\n{_state_text(report.state)}"


def _refresh_text(report: "RefreshReport") -> str:
    if not report.refreshed:
        return f"Not due yet.\n{_state_text(report.state)}"
    lines = ["Refreshed.", _fact("Old access token", report.old_fingerprint or "none")]
    if report.snapshot:
        lines.append(_fact("Snapshot", report.snapshot))
    return "\n".join([*lines, _state_text(report.state)])


def _status_text(report: "StatusReport") -> str:
    lines = [
        _state_text(report.state, " (encrypted)" if report.encrypted else ""),
        _fact("Snapshots", report.snapshots),
    ]
    lines += [_fact(name, origin or "not set") for name, origin in report.credentials.items()]
    if not report.state.logged_in and not report.state.login_needed:
        lines.append("No login is stored yet: the next run starts one from SCHWAB_REFRESH_TOKEN.")
    if report.unwritable:
        lines.append(f"WARNING: {report.unwritable}; a running streamer keeps new tokens in memory until it can")
    return "\n".join(lines)


def _logout_text(report: "LogoutReport") -> str:
    kept = f"Logged out. The token file is kept as {report.snapshot}"
    text = kept if report.snapshot else "There was no login to forget."
    if report.still_set:
        text += f"\nSCHWAB_REFRESH_TOKEN is still set ({report.still_set}): the next run would log in with it."
    return text


def _state_text(state: "LoginState", note: str = "") -> str:
    lines = [_fact("Token file", f"{state.token_file}{note}")]
    if state.logged_in and state.access_expires_in_s is not None:
        left = state.access_expires_in_s
        expiry = f"expires in {age(left)}" if left > 0 else f"expired {age(-left)} ago, will be refreshed"
        lines += [_fact("Access token", f"{state.access_fingerprint}, {expiry}"), _fact("Login", _login_age(state))]
    if state.login_needed:
        lines.append("Login needed: run schwabstream auth login")
    elif state.login_due_soon:
        lines.append("WARNING: streaming stops within 24 hours unless you log in: schwabstream auth login")
    return "\n".join(lines)


def _login_age(state: "LoginState") -> str:
    if state.login_due_at is None or state.login_due_in_s is None:
        return "of unknown age; its seven days may end at any time"
    due = f"{datetime.fromtimestamp(state.login_due_at, UTC).astimezone():%a %d %b %Y %H:%M %Z}"
    left = state.login_due_in_s
    return f"next one due {due} ({f'in {age(left)}' if left > 0 else f'{age(-left)} ago'})"


def _fact(name: str, value: object) -> str:
    return f"{name:20}  {value}"
