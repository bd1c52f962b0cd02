"""``schwabstream doctor``: looks at everything a run needs, and names the fix for what is wrong.

Each look is bounded, those that wait for somebody go on at the same time, and what one of them needs and does not have
makes it say so. Of what it sees it shows no secret, no account number and no customer id.
"""

import asyncio
import contextlib
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from schwabstream.alerts import split_command
from schwabstream.auth import SchwabAuthClient, open_store
from schwabstream.diagnosis import Diagnosis, Finding, failed, failure, ok, unchecked, warning
from schwabstream.doctor_redis import RedisExaminer
from schwabstream.doctor_schwab import examine_account, examine_network
from schwabstream.errors import ConfigurationError, SchwabStreamError
from schwabstream.schwab_http import preload
from schwabstream.settings import Settings, load_settings, origin
from schwabstream.surroundings import EMBEDDED, redis_for, schwab_for
from schwabstream.symbols import Symbol, parse_symbols
from schwabstream.telemetry import redact
from schwabstream.tokens import TokenSet

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOG_IN = "run schwabstream auth login"
_ACCOUNT = ("account", "entitlements", "quotes", "streamer")


async def examine(
    *, simulate: bool = False, redis: str | None = None, clock: Callable[[], float] = time.time
) -> Diagnosis:
    """Everything there is to find; raises nothing that belongs into a finding."""
    origins: dict[str, str] = {name.upper(): origin(name.upper()) for name in Settings.model_fields}
    try:
        settings = load_settings(redis_url=None if redis == EMBEDDED else redis)
    except ConfigurationError as error:
        names = ("login", "dns", "tls", "clock", *_ACCOUNT, "redis", "redis memory", "redis readers", "lease", "report")
        rest = [unchecked(name, "the settings cannot be read") for name in names]
        return _diagnosis([failure("settings", error), *rest], origins)
    async with contextlib.AsyncExitStack() as stack:
        try:
            schwab = await stack.enter_async_context(schwab_for(settings, simulated=simulate))
            place = await stack.enter_async_context(redis_for(settings, redis, simulated=simulate))
        except SchwabStreamError as error:
            return _diagnosis([failure("redis", error)], origins)
        examiner = RedisExaminer(place.url, settings.schwab_redis_prefix, wall=clock)
        stack.push_async_callback(examiner.close)
        return _diagnosis(await _examine(schwab, examiner, origins, simulate=simulate, clock=clock), origins)


async def _examine(
    settings: Settings,
    examiner: RedisExaminer,
    origins: dict[str, str],
    *,
    simulate: bool,
    clock: Callable[[], float],
) -> list[Finding]:
    symbols, configured = _settings(settings, origins, simulate=simulate)
    login, logged_in = _login(settings, clock)
    # Loading takes a while and would count against the looks that go on meanwhile.
    await asyncio.to_thread(preload)
    network, (account, customer_id), server = await asyncio.gather(
        examine_network(settings.schwab_api_base_url, wall=clock),
        _account(settings, symbols, logged_in=logged_in),
        examiner.examine_server(),
    )
    streamer = [unchecked(name, "Redis cannot be reached") for name in ("lease", "report")]
    if not server[0].code:
        streamer = await examiner.examine_streamer(customer_id)
    return [configured, login, *network, *account, *server, *streamer, _alerts(settings)]


def _diagnosis(findings: list[Finding], origins: dict[str, str]) -> Diagnosis:
    told = (replace(each, detail=redact(each.detail), fix=each.fix and redact(each.fix)) for each in findings)
    return Diagnosis(tuple(told), origins)


def _settings(settings: Settings, origins: dict[str, str], *, simulate: bool) -> tuple[list[Symbol], Finding]:
    """The wanted symbols, and what is to be said of the settings."""
    try:
        symbols = parse_symbols(settings.symbols, date.today())  # noqa: DTZ011 - contracts expire by the local calendar
    except ConfigurationError as error:
        return [], failure("settings", error)
    if absent := [] if simulate else settings.missing():
        fix = "put them into the environment or into .env; without an account: --simulate"
        return symbols, failed("settings", f"{' and '.join(absent)} not set", fix, 2)
    given = [f"{name} ({place})" for name, place in origins.items() if place != "default"]
    return symbols, ok("settings", ", ".join(given) if given else "all by default")


def _login(settings: Settings, clock: Callable[[], float]) -> tuple[Finding, bool]:
    """The stored login, and whether there is anything to ask Schwab with."""
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
        return warning("login", f"{path}: of unknown age; its seven days may end at any time", _LOG_IN)
    at = datetime.fromtimestamp(tokens.login_at, UTC).astimezone()
    what = f"{path}, mode {mode:04o}: logged in {at:%a %d %b %H:%M}, {left / 86_400:.1f} days left"
    if left <= 0:
        return failed("login", f"{path}: the login of {at:%a %d %b %H:%M} has ended", _LOG_IN, 3)
    if tokens.login_due_soon(now):
        return warning("login", what, _LOG_IN)
    if mode & _OTHERS:
        fix = "it is closed now; if others use this machine, log in again: schwabstream auth login --force"
        return warning("login", f"{what}; others could read it", fix)
    return ok("login", what)


async def _account(settings: Settings, symbols: list[Symbol], *, logged_in: bool) -> tuple[list[Finding], str | None]:
    if not logged_in:
        return [unchecked(name, "nobody is logged in") for name in _ACCOUNT], None
    try:
        auth = SchwabAuthClient(settings, open_store(settings))
    except ConfigurationError:
        return [unchecked(name, "the app's key and secret are not set") for name in _ACCOUNT], None
    async with auth:
        return await examine_account(auth, symbols)


def _alerts(settings: Settings) -> Finding:
    if settings.schwab_alert_command is None:
        return ok("alerts", "nobody is called (SCHWAB_ALERT_COMMAND is not set)")
    try:
        program = split_command(settings.schwab_alert_command)[0]
    except ConfigurationError as error:
        return failure("alerts", error)
    if shutil.which(program) is None:
        return failed("alerts", f"{program} is no program that can be run", "correct SCHWAB_ALERT_COMMAND", 2)
    return ok("alerts", f"{program} is run when a person is needed")
