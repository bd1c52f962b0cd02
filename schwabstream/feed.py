"""Keeps what is wanted subscribed and alive over one connection; used once.

It asks for the symbols, follows the answers, sends again what was refused for a passing reason, probes what owes data,
and repeats the last tick of what is merely quiet. It raises when only a new session can help.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from schwabstream.announcer import Announcer
from schwabstream.codec import Batch, Undecodable
from schwabstream.connection import Connection, only_error
from schwabstream.errors import Refused, SessionLost
from schwabstream.fields import Service
from schwabstream.liveness import Dead, Finding, Limits, Liveness, NeverCame, Probe, Recovered, Silent
from schwabstream.market import Instrument, Market
from schwabstream.schedule import Schedule
from schwabstream.session import STREAM_NOT_FOUND, SYMBOL_LIMIT, Answered, Ended, LoggedIn, LoginFailed, Outcome
from schwabstream.subscriptions import EQUITY_BOOKS, LEVEL_ONE, Command, Verb, Wanted, plan, wanted
from schwabstream.symbols import Asset, Symbol

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
RETRY_DELAYS_S = (5.0, 30.0, 120.0, 300.0)
# Unanswered, unknown failure, source down, and the failures of commands that crossed (protocol 3.4).
_PASSING_CODES = frozenset({None, 9, 11, 22, 23, 24, 25})
_LEVEL_ONE_SERVICES = frozenset(LEVEL_ONE.values())
_LISTED_AT = {Service.NASDAQ_BOOK: "Q", Service.NYSE_BOOK: "N"}
_NOT_TRADING = frozenset({"Halted", "Closed"})


@dataclass(slots=True)
class Memory:
    """What outlives a session: what was learned of Schwab, and what to show of the present one.

    ``listings``: exchange code by equity key, None until asked; ``unavailable``: services Schwab does not have;
    ``escalated``: see ``Liveness``; ``refused``: why, by key; ``stale``: why, by alias.
    """

    listings: dict[str, str] | None = None
    unavailable: set[Service] = field(default_factory=set)
    escalated: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    stale: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clock:
    """The time and the chance that a stream lives by; tests bring their own."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Retry:
    due: float
    command: Command
    attempt: int


class Feed:
    """The subscriptions of one session; ``end`` is how the session ended, ``subscribed_at`` when it was complete."""

    def __init__(
        self,
        connection: Connection,
        symbols: Sequence[Symbol],
        market: Market,
        announcer: Announcer,
        memory: Memory,
        schedule: Schedule,
        clock: Clock,
        *,
        keepalive_s: float,
        on_subscribed: Callable[[], None],
        limits: Limits | None = None,
    ) -> None:
        self._connection, self._symbols, self._market = connection, symbols, market
        self._announcer, self._memory, self._schedule, self._clock = announcer, memory, schedule, clock
        self._keepalive_us = int(keepalive_s * 1e6)
        self._on_subscribed = on_subscribed
        self._liveness = Liveness(limits or Limits(), memory.escalated)
        self._goal: Wanted = {}
        self._accepted = 0
        self._attempts: dict[Command, int] = {}
        self._retries: list[_Retry] = []
        self._repeated_us: dict[str, int] = {}
        self._open_assets: Mapping[Asset, bool] = {}
        self.end: LoginFailed | Ended | None = None
        self.subscribed_at: float | None = None

    async def run(self) -> None:
        """Log in, subscribe and deliver until the session ends; raises when it was lost."""
        self._market.begin_session()
        self._memory.stale.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch())
                await self._connection.run(self)
                watch.cancel()
        except BaseExceptionGroup as group:
            error = only_error(group)
            raise error from error.__cause__

    def take_batch(self, batch: Batch, received_us: int) -> None:
        """Merge and publish."""
        self._market.apply(batch, received_us)

    def take_undecodable(self, part: Undecodable) -> None:
        """Count what could not be understood, and show the first of its kind."""
        counts = self._announcer.counts
        if not counts[part.reason]:
            log.warning("a frame could not be understood; the stream goes on", reason=part.reason, sample=part.sample)
        counts[part.reason] += 1
        counts["undecodable"] += 1

    def take_outcome(self, outcome: Outcome) -> None:
        """Subscribe after the login, note each answer, be complete when every command is answered."""
        match outcome:
            case LoggedIn():
                self._memory.refused.clear()
                self._aim(wanted(self._symbols, self._memory.listings))
            case Answered():
                self._note_answer(outcome)
            case _:
                self.end = outcome
                return
        if self.subscribed_at is None and self._connection.session.idle:
            self._complete()

    def _aim(self, goal: Wanted) -> None:
        """Ask for whatever leads from what is subscribed to this goal."""
        goal = {service: keys for service, keys in goal.items() if service not in self._memory.unavailable}
        self._send(*plan(goal, self._goal))
        self._goal = goal

    def _send(self, *commands: Command) -> None:
        self._connection.session.request(*commands)
        self._connection.wake()

    def _complete(self) -> None:
        if not self._accepted:
            reasons = "; ".join(dict.fromkeys(self._memory.refused.values()))
            raise Refused(f"Schwab subscribed none of {', '.join(self._memory.refused)} ({reasons})")
        self.subscribed_at = self._clock.monotonic()
        self._on_subscribed()

    def _note_answer(self, answer: Answered) -> None:
        command, service = answer.command, answer.command.service
        if answer.ok:
            self._accepted += 1
            self._forget_refusal(command)
            if service in _LEVEL_ONE_SERVICES and command.verb is not Verb.UNSUBS:
                self._liveness.subscribed(service, command.keys, self._clock.monotonic())
        elif service is Service.FUTURES_BOOK:
            self._memory.unavailable.add(service)
            self._market.use_top_of_book(command.keys)
            log.info("no futures depth at Schwab; books are the top of book", answer=answer.message)
        elif answer.code == STREAM_NOT_FOUND:
            raise SessionLost(f"the streamer does not know this session (code {answer.code}: {answer.message})")
        else:
            self._note_refusal(answer)

    def _note_refusal(self, answer: Answered) -> None:
        command = answer.command
        keys = command.keys
        if answer.code == SYMBOL_LIMIT and (discarded := answer.discarded):
            self._accepted += 1
            keys = command.keys[-discarded:]
        why = f"{command.service}: {answer.message}"
        self._memory.refused.update(dict.fromkeys(keys, why))
        self._announcer.counts["refused commands"] += 1
        log.warning("subscription refused", service=command.service, keys=keys, code=answer.code, answer=answer.message)
        if answer.code in _PASSING_CODES:
            attempt = self._attempts.get(command, 0)
            delay = RETRY_DELAYS_S[min(attempt, len(RETRY_DELAYS_S) - 1)]
            self._attempts[command] = attempt + 1
            self._retries.append(_Retry(self._clock.monotonic() + delay, command, attempt))

    def _forget_refusal(self, command: Command) -> None:
        self._attempts.pop(command, None)
        for key in command.keys:
            if self._memory.refused.get(key, "").startswith(f"{command.service}:"):
                del self._memory.refused[key]

    async def _watch(self) -> None:
        """Look after the subscriptions about every second."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            if self.subscribed_at is None:
                continue
            now = self._clock.monotonic()
            self._retry_one(now)
            self._settle_listings()
            at = datetime.fromtimestamp(self._clock.wall(), UTC)
            self._open_assets = {asset: self._schedule.is_open(asset, at) for asset in Asset}
            for finding in self._liveness.check(self._market.instruments, self._is_trading, now):
                self._act(finding)
            self._repeat_quiet()

    def _retry_one(self, now: float) -> None:
        """Send again one command that was refused for a passing reason; one at a time, so that none crosses another."""
        due = [retry for retry in self._retries if retry.due <= now]
        if due and self._connection.session.idle:
            self._retries.remove(due[0])
            self._send(due[0].command)

    def _settle_listings(self) -> None:
        """Drop the book service that stays silent for an equity whose listing nobody told."""
        listings = self._memory.listings if self._memory.listings is not None else {}
        found = {
            key: _LISTED_AT[Service(instrument.book_service)]
            for service in EQUITY_BOOKS
            for key in self._goal.get(service, ())
            if (instrument := self._market.instruments[key]).book_service and key not in listings
        }
        if found:
            self._memory.listings = listings | found
            self._aim(wanted(self._symbols, self._memory.listings))

    def _act(self, finding: Finding) -> None:
        match finding:
            case Dead(service=service):
                raise SessionLost(f"{service} stayed silent although its subscription was sent again")
            case Probe(service=service, keys=keys, whole=True):
                self._announcer.tell("stale", f"{service} is silent; its subscription is sent again", detail=service)
                self._send(*plan({Service(service): self._goal[Service(service)]}, {}))
                log.debug("probing a service", service=service, owing=keys)
            case Probe(service=service, keys=keys):
                self._send(*(Command(Verb.ADD, Service(service), (key,)) for key in keys))
            case NeverCame(key=key):
                instrument = self._market.instruments[key]
                self._tell_stale(instrument, self._why_never(instrument))
                self._send(Command(Verb.ADD, LEVEL_ONE[instrument.symbol.asset], (key,)))
            case Silent(key=key):
                self._tell_stale(self._market.instruments[key], "silent although its subscription was sent again")
            case Recovered(key=key):
                for alias in self._market.instruments[key].aliases:
                    self._memory.stale.pop(alias, None)

    def _tell_stale(self, instrument: Instrument, reason: str) -> None:
        for alias in instrument.aliases:
            self._memory.stale[alias] = reason
            self._announcer.tell("stale", f"{alias}: {reason}", symbol=alias, key=instrument.key)

    def _repeat_quiet(self) -> None:
        """Publish the last tick again where an open market has nothing new, so that quiet differs from dead."""
        now_us = int(self._clock.wall() * 1e6)
        for key, instrument in self._market.instruments.items():
            last_us = max(instrument.tick["received_us"], self._repeated_us.get(key, 0))
            if self._keepalive_us and now_us - last_us >= self._keepalive_us and self._is_trading(instrument):
                self._repeated_us[key] = now_us
                self._market.repeat(instrument)

    def _is_trading(self, instrument: Instrument) -> bool:
        """Whether data must be flowing: by the calendar, and by what the feed itself says of the instrument."""
        info = instrument.info
        return (
            self._open_assets[instrument.symbol.asset]
            and info.get("security_status") not in _NOT_TRADING
            and info.get("quoted_in_session") is not False
        )

    def _why_never(self, instrument: Instrument) -> str:
        if instrument.info.get("description") == "Symbol not found":  # trap T5
            return "Schwab does not know this symbol"
        if not self._open_assets[instrument.symbol.asset]:
            return "no data since it was subscribed: its market is closed, or Schwab does not know it"
        return "no data since it was subscribed: Schwab does not know it, or this login has no entitlement for it"
