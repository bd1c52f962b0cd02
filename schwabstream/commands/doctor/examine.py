"""``schwabstream doctor``: checks everything that a run needs, and names the fix for each failure.

Every check has a time limit, and checks that wait for the network run at the same time. A check that depends on a
failed one reports that it was not made. No finding shows a secret, an account number or a customer id.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.http import preload
from schwabstream.auth.store import open_store
from schwabstream.commands.doctor.findings import Diagnosis, Finding, failure, unchecked
from schwabstream.commands.doctor.local import (
    checked_settings,
    look_at_alerts,
    look_at_login,
    look_at_settings,
    look_at_token_directory,
)
from schwabstream.commands.doctor.redis import SERVER_FINDINGS, RedisExaminer
from schwabstream.commands.doctor.schwab import examine_account, examine_network
from schwabstream.commands.embedded_redis import EMBEDDED
from schwabstream.commands.resources import redis_for, schwab_for
from schwabstream.errors import ConfigurationError, SchwabStreamError
from schwabstream.logs import redact
from schwabstream.protocol.symbols import Symbol
from schwabstream.publishing.fence import SIMULATION
from schwabstream.settings import Settings, origin

_ACCOUNT = ("account", "entitlements", "quotes", "streamer")


async def examine(
    *, simulate: bool = False, redis: str | None = None, clock: Callable[[], float] = time.time
) -> Diagnosis:
    """All findings; an error that a finding can report is not raised."""
    origins: dict[str, str] = {name.upper(): origin(name.upper()) for name in Settings.model_fields}
    try:
        settings = checked_settings(redis_url=None if redis == EMBEDDED else redis)
    except ConfigurationError as error:
        names = ("login", "token directory", "dns", "tls", "clock", *_ACCOUNT, *SERVER_FINDINGS, "lease", "report")
        rest = [unchecked(name, "the settings cannot be read") for name in names]
        return _diagnosis([failure("settings", error), *rest], origins)
    async with contextlib.AsyncExitStack() as stack:
        try:
            schwab = await stack.enter_async_context(schwab_for(settings, simulated=simulate))
            place = await stack.enter_async_context(redis_for(settings, redis, simulated=simulate))
        except SchwabStreamError as error:
            return _diagnosis([failure("redis", error)], origins)
        examiner = RedisExaminer(
            place.url,
            settings.schwab_redis_prefix,
            max_symbols=settings.schwab_max_symbols,
            symbol_channels=settings.schwab_redis_symbol_channels,
            wall=clock,
        )
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
    symbols, configured = look_at_settings(settings, origins, simulate=simulate)
    login, logged_in = look_at_login(settings, clock)
    # Loading takes a while, which would count against the time limit of the checks beside it.
    await asyncio.to_thread(preload)
    network, (account, customer_id), server = await asyncio.gather(
        examine_network(settings.schwab_api_base_url, wall=clock),
        _account(settings, symbols, logged_in=logged_in),
        examiner.examine_server(),
    )
    streamer = [unchecked(name, "Redis cannot be reached") for name in ("lease", "report")]
    if not server[0].code:
        # Simulated prices of every simulator share one lease.
        streamer = await examiner.examine_streamer(SIMULATION if simulate else customer_id)
    directory = look_at_token_directory(settings)
    return [configured, login, directory, *network, *account, *server, *streamer, look_at_alerts(settings)]


def _diagnosis(findings: list[Finding], origins: dict[str, str]) -> Diagnosis:
    shown = (replace(each, detail=redact(each.detail), fix=each.fix and redact(each.fix)) for each in findings)
    return Diagnosis(tuple(shown), origins)


async def _account(settings: Settings, symbols: list[Symbol], *, logged_in: bool) -> tuple[list[Finding], str | None]:
    if not logged_in:
        return [unchecked(name, "no login is stored") for name in _ACCOUNT], None
    try:
        auth = SchwabAuthClient(settings, open_store(settings))
    except ConfigurationError:
        return [unchecked(name, "the app's key and secret are not set") for name in _ACCOUNT], None
    async with auth:
        return await examine_account(auth, symbols)
