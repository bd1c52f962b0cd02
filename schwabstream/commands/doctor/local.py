"""The checks that need no connection: settings, login, token directory, alert command.

``doctor`` shows them all; ``stream run --ensure-env`` starts only if none of them fails.
"""

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from schwabstream.auth.store import open_store
from schwabstream.auth.tokens import TokenSet
from schwabstream.clock import today
from schwabstream.commands.doctor.findings import Finding, Verdict, failed, failure, ok, warning
from schwabstream.errors import ConfigurationError, SchwabStreamError
from schwabstream.monitoring.alerts import split_command
from schwabstream.protocol.symbols import Symbol, parse_symbols
from schwabstream.settings import Settings, examine_settings, unknown_variables

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOG_IN = "run schwabstream auth login"


def ensure_environment(*, simulated: bool, **overrides: Any) -> None:
    """Check what a run with these overrides needs before it connects.

    Raises one ``ConfigurationError`` that names everything missing or wrong.
    """
    settings, missing = examine_settings(**overrides)
    looks = [look_at_settings(settings, {}, simulate=simulated)[1], look_at_alerts(settings)]
    if not simulated:
        looks[1:1] = [look_at_login(settings, time.time)[0], look_at_token_directory(settings)]
    missing += [f"{each.detail} ({each.fix})" for each in looks if each.verdict is Verdict.FAILED]
    if missing:
        raise ConfigurationError(f"the run cannot start: {'; '.join(missing)}")


def checked_settings(**overrides: Any) -> Settings:
    """The settings; raises one ``ConfigurationError`` that names every invalid one."""
    settings, problems = examine_settings(**overrides)
    if problems:
        raise ConfigurationError("; ".join(problems))
    return settings


def look_at_settings(settings: Settings, origins: dict[str, str], *, simulate: bool) -> tuple[list[Symbol], Finding]:
    """The configured symbols, and the finding about the settings."""
    symbols: list[Symbol] = []
    troubles = []
    if absent := [] if simulate else settings.missing():
        troubles.append(f"{' and '.join(absent)} not set")
    try:
        symbols = parse_symbols(settings.symbols, today())
    except ConfigurationError as error:
        troubles.append(str(error))
    if troubles:
        fix = "set or correct it in the environment or in .env, or try without an account: --simulate"
        return symbols, failed("settings", "; ".join(troubles), fix, 2)
    given = [f"{name} ({place})" for name, place in origins.items() if place != "default"]
    what = ", ".join(given) if given else "all have their defaults"
    if unknown := unknown_variables():
        names = ", ".join(f"{name} ({place})" for name, place in unknown.items())
        return symbols, warning("settings", f"{what}; unknown: {names}", _nearest(unknown))
    return symbols, ok("settings", what)


def _nearest(unknown: Iterable[str]) -> str:
    """Which settings the unknown names may be misspellings of."""
    known = [name.upper() for name in Settings.model_fields]
    near = [f"{name}: did you mean {match}?" for name in unknown for match in get_close_matches(name, known, 1, 0.8)]
    return "; ".join(near) or "remove it; docs/reference/settings.md lists all settings"


def look_at_login(settings: Settings, clock: Callable[[], float]) -> tuple[Finding, bool]:
    """The finding about the stored login, and whether there is a login to ask Schwab with."""
    path = settings.schwab_token_path.expanduser()
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
        tokens = open_store(settings, clock=clock).load()
    except OSError as error:
        return failed("login", f"{path}: {error.strerror}", "correct SCHWAB_TOKEN_PATH", 7), False
    except SchwabStreamError as error:
        return failure("login", error), False
    if tokens is None and settings.schwab_refresh_token is not None:
        return ok("login", "no token file yet; SCHWAB_REFRESH_TOKEN will be used"), True
    if tokens is None:
        return failed("login", f"no login in {path}", _LOG_IN, 3), False
    return _stored_login(path, mode, tokens, clock()), True


def _stored_login(path: Path, mode: int, tokens: TokenSet, now: float) -> Finding:
    left = tokens.login_due_in_s(now)
    if left is None or tokens.login_at is None:
        return warning("login", f"{path}: the age of the login is unknown; its seven days may end at any time", _LOG_IN)
    at = datetime.fromtimestamp(tokens.login_at, UTC).astimezone()
    what = f"{path}, mode {mode:04o}: logged in {at:%a %d %b %H:%M}, {left / 86_400:.1f} days left"
    if left <= 0:
        return failed("login", f"{path}: the login of {at:%a %d %b %H:%M} has ended", _LOG_IN, 3)
    if tokens.login_due_soon(now):
        return warning("login", what, _LOG_IN)
    if mode & _OTHERS:
        fix = "the mode is 0600 now; if others use this machine, log in again: schwabstream auth login --force"
        return warning("login", f"{what}; other users could read it", fix)
    return ok("login", what)


def look_at_token_directory(settings: Settings) -> Finding:
    """Whether a refreshed token can be saved."""
    directory = settings.schwab_token_path.expanduser().absolute().parent
    try:
        nearest = next(each for each in (directory, *directory.parents) if each.exists())
        if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
            return ok("token directory", f"{directory} can be written to")
        trouble = f"{nearest} cannot be written to" if nearest.is_dir() else f"{nearest} is not a directory"
    except OSError as error:
        trouble = f"{directory}: {error.strerror}"
    return failed("token directory", trouble, "correct SCHWAB_TOKEN_PATH, or give yourself access", 7)


def look_at_alerts(settings: Settings) -> Finding:
    """Whether the alert command can be run."""
    if settings.schwab_alert_command is None:
        return ok("alerts", "off (SCHWAB_ALERT_COMMAND is not set)")
    try:
        program = split_command(settings.schwab_alert_command)[0]
    except ConfigurationError as error:
        return failure("alerts", error)
    if shutil.which(program) is None:
        return failed(
            "alerts", f"{program} cannot be run: the program does not exist", "correct SCHWAB_ALERT_COMMAND", 2
        )
    return ok("alerts", f"{program} is run when a person is needed")
