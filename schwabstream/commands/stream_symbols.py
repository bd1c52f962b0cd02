"""``stream add``, ``remove`` and ``list``: the symbols of a running streamer.

Writes requests to Redis and reads the streamer's report and StatusEvents; the streamer does the rest.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import RedisError

from schwabstream.broker.client import redis_client
from schwabstream.broker.url import prefix_at, redact_url, translated
from schwabstream.commands.start import settings_and_logs, symbols_of
from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.subscription import CONNECT_TIMEOUT_S, Subscription, read_report
from schwabstream.consumer.wishes import WantedSet
from schwabstream.errors import ConfigurationError, RedisUnavailable, Refused, SchwabStreamError, SchwabUnavailable
from schwabstream.escapes import safe
from schwabstream.events import Channel, StatusEvent
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.settings import Settings
from schwabstream.terminal.lines import arrival
from schwabstream.terminal.text import services

ANSWER_LIMIT_S: Final = 20.0
_LOOK_EVERY_S: Final = 0.5
_REPORTS_BEFORE_TRUST: Final = 2
_NO_STREAMER: Final = "no streamer is running: start one with schwabstream stream run"


@dataclass
class Outcome:
    """One sentence for each symbol that is subscribed, and the error for the others, None when there are none."""

    lines: list[str] = field(default_factory=list)
    error: SchwabStreamError | None = None


def add(texts: Sequence[str], redis: str | None, verbosity: int) -> Outcome:
    """Ask the running streamer for symbols until they are removed, and wait for the answers.

    A symbol that is not accepted leaves no request behind. Raises ``SchwabStreamError``.
    """
    settings, symbols = _begin(texts, redis, verbosity)
    return asyncio.run(_add(settings, symbols))


def remove(texts: Sequence[str], redis: str | None, verbosity: int) -> list[str]:
    """Withdraw what ``add`` asked for; one sentence for each symbol. Raises ``SchwabStreamError``."""
    settings, symbols = _begin(texts, redis, verbosity)
    return asyncio.run(_remove(settings, symbols))


def report_of(redis: str | None, verbosity: int) -> StreamerReport:
    """The running streamer's report; raises ``SchwabUnavailable`` when none is running, and ``RedisUnavailable``."""
    settings = settings_and_logs(verbosity, redis_url=redis)
    return asyncio.run(_report(settings))


def _begin(texts: Sequence[str], redis: str | None, verbosity: int) -> tuple[Settings, list[Symbol]]:
    """The settings and the symbols; a symbol of several words needs no quotation marks."""
    settings = settings_and_logs(verbosity, redis_url=redis)
    by_key = {symbol.key: symbol for symbol in reversed(symbols_of([" ".join(texts)]))}
    return settings, list(reversed(by_key.values()))


async def _report(settings: Settings) -> StreamerReport:
    report = await read_report(settings.redis_url, settings.schwab_redis_prefix)
    if report is None:
        raise SchwabUnavailable(_NO_STREAMER)
    return report


async def _add(settings: Settings, symbols: list[Symbol]) -> Outcome:
    report, outcome = await _report(settings), Outcome()
    if not report.symbols:
        raise SchwabUnavailable(
            "a replay is running, which streams only what was recorded: stop it and start a streamer"
        )
    lines = report.by_key()
    # Under the alias that readers of the symbol already get.
    aliases = {symbol.key: lines[symbol.key].symbol if symbol.key in lines else symbol.alias for symbol in symbols}
    async with _wanted(settings) as wanted:
        before = await wanted.expiries(aliases.values())
        asked: list[str] = []
        refused: dict[str, str] = {}
        for symbol in symbols:
            line, alias = lines.get(symbol.key), aliases[symbol.key]
            if line is not None and line.source == "configured":
                if line.refusal:
                    refused[alias] = line.refusal
                else:
                    outcome.lines.append(f"{symbol.alias} is already streamed (configured)")
            elif line is not None and line.services and before.get(alias) == math.inf:
                outcome.lines.append(f"{symbol.alias} is already streamed (added)")
            else:
                asked.append(alias)
        await _Request(settings, asked, refused, outcome).run(wanted, before)
    return outcome


class _Request:
    """The symbols that are asked for, until each has been accepted or refused or the time is up."""

    def __init__(self, settings: Settings, aliases: list[str], refused: dict[str, str], outcome: Outcome) -> None:
        self._settings, self._outcome = settings, outcome
        self._pending = dict.fromkeys(aliases)
        self._refused = refused
        self._reports: set[int] = set()
        self._state = ""

    async def run(self, wanted: WantedSet, before: Mapping[str, float]) -> None:
        """Ask and wait, then withdraw what was not accepted, also when the wait is interrupted."""
        if self._pending:
            await self._ask(wanted, before)
        self._outcome.error = self._error()

    async def _ask(self, wanted: WantedSet, before: Mapping[str, float]) -> None:
        url, prefix = self._settings.redis_url, self._settings.schwab_redis_prefix
        queue = ConflatingQueue(self._pending)
        async with Subscription(queue, kinds={Channel.STATUS}, redis_url=url, prefix=prefix) as subscription:
            try:
                await wanted.renew(self._pending, math.inf)
                await self._await_answers(subscription)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    # A request that lasted before may have been removed in the meantime.
                    added = [alias for alias in self._pending.keys() | self._refused if before.get(alias) != math.inf]
                    await wanted.restore(added, before)

    async def _await_answers(self, subscription: Subscription) -> None:
        started = time.monotonic()
        while time.monotonic() - started < ANSWER_LIMIT_S:
            while (event := subscription.queue.take()) is not None:
                if isinstance(event, StatusEvent):
                    self._take_status(event)
            with contextlib.suppress(RedisUnavailable):
                self._take_report(await subscription.fetch_report())
            if not self._pending:
                return
            await arrival(subscription, _LOOK_EVERY_S)

    def _take_status(self, event: StatusEvent) -> None:
        if event.symbol in self._pending and event.state == "refused":
            self._refuse(event.symbol, event.reason)

    def _take_report(self, report: StreamerReport | None) -> None:
        """Take in one report; a refusal in the first two may be of an earlier request."""
        if report is None:
            self._state = _NO_STREAMER
            return
        self._reports.add(report.reported)
        self._state = "" if report.state == "streaming" else f"the streamer is {report.state}: {report.reason}"
        lines = {line.symbol: line for line in report.symbols}
        for alias in [*self._pending]:
            line = lines.get(alias)
            refusal = report.refused.get(alias) if line is None else line.refusal
            if refusal and len(self._reports) > _REPORTS_BEFORE_TRUST:
                self._refuse(alias, refusal)
            elif line is not None and line.source == "added" and line.services:
                del self._pending[alias]
                self._outcome.lines.append(f"{alias} is subscribed ({services(line.services)})")

    def _refuse(self, alias: str, reason: str) -> None:
        del self._pending[alias]
        self._refused[alias] = reason

    def _error(self) -> SchwabStreamError | None:
        problems = list(self._refused.values())
        if self._pending:
            names, why = ", ".join(self._pending), f" ({self._state})" if self._state else ""
            problems.append(f"no answer for {names} within {ANSWER_LIMIT_S:.0f} s{why}: see schwabstream status")
        if not problems:
            return None
        return (Refused if self._refused else SchwabUnavailable)(safe("; ".join(problems)))


async def _remove(settings: Settings, symbols: list[Symbol]) -> list[str]:
    report = await read_report(settings.redis_url, settings.schwab_redis_prefix)
    lines = list(report.symbols) if report else []
    fixed = {line.key for line in lines if line.source == "configured"}
    if named := [symbol.alias for symbol in symbols if symbol.key in fixed]:
        verb, them = ("is", "it") if len(named) == 1 else ("are", "them")
        raise ConfigurationError(
            f"{', '.join(named)} {verb} configured: remove {them} from SCHWAB_SYMBOLS or --symbols of the streamer "
            "and restart it"
        )
    async with _wanted(settings) as wanted:
        return [await _remove_one(wanted, symbol, lines) for symbol in symbols]


async def _remove_one(wanted: WantedSet, symbol: Symbol, lines: list[SymbolReport]) -> str:
    aliases = [symbol.alias, *(line.symbol for line in lines if line.key == symbol.key)]
    added = [alias for alias, expiry in (await wanted.expiries(aliases)).items() if math.isinf(expiry)]
    if added:
        await wanted.restore(added, {})
        return f"{symbol.alias} is removed; the streamer releases it a minute after its last reader has ended"
    if any(line.key == symbol.key for line in lines):
        return (
            f"{symbol.alias} is not among the added symbols; the streamer releases it a minute after its last reader "
            "has ended"
        )
    return f"{symbol.alias} was not added"


@contextlib.asynccontextmanager
async def _wanted(settings: Settings) -> AsyncIterator[WantedSet]:
    """The set of wishes in the Redis of the settings, over a connection for the duration of the block."""
    url = settings.redis_url
    prefix = prefix_at(url, settings.schwab_redis_prefix)
    async with redis_client(url, prefix, timeout_s=CONNECT_TIMEOUT_S, decode_responses=True) as client:
        with translated(redact_url(url)):
            yield WantedSet(client, prefix)
