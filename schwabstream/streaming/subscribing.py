"""Keeps one session subscribed to what is wanted: asks, follows the answers, sends again what was refused in passing.

Commands go out through the session, which keeps one in flight. What was learned of Schwab outlives the session in
:class:`Memory`. A refusal is told per symbol and costs nothing else; only a code that ends the session raises.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from schwabstream.market.last_values import Market
from schwabstream.protocol.endings import ENDING_CODES, error_of
from schwabstream.protocol.fields import Service
from schwabstream.protocol.session import SYMBOL_LIMIT, Answered, Ended
from schwabstream.protocol.subscriptions import (
    BOOK_SERVICES,
    EQUITY_BOOKS,
    LEVEL_ONE,
    Command,
    Verb,
    Wanted,
    plan,
    wanted,
)
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import Count
from schwabstream.streaming.connection import Connection
from schwabstream.streaming.gaps import Outages
from schwabstream.streaming.liveness import Known, Liveness, Silence
from schwabstream.streaming.meter import Meter
from schwabstream.streaming.status import Announcer

log = structlog.get_logger(__name__)

RETRY_DELAYS_S = (5.0, 30.0, 120.0, 300.0)
UNAVAILABLE = 11
# Unanswered, unknown failure, source down, and the failures of commands that crossed (protocol 3.4).
_PASSING_CODES = frozenset({None, 9, UNAVAILABLE, 22, 23, 24, 25})
_LEVEL_ONE_SERVICES = frozenset(LEVEL_ONE.values())
_LISTED_AT = {Service.NASDAQ_BOOK: "Q", Service.NYSE_BOOK: "N"}


@dataclass(slots=True)
class Memory:
    """What outlives a session: what was learned of Schwab, what is missing, and why.

    ``silence``: how long a session may be silent; ``listings``: exchange code by equity key, None until asked;
    ``unavailable``: services Schwab does not have; ``refused`` and ``stale``: why there is no data, by service and key;
    ``delayed``: keys reported as delayed.
    """

    silence: Silence
    listings: dict[str, str] | None = None
    unavailable: set[Service] = field(default_factory=set)
    known: Known = field(default_factory=Known)
    outages: Outages = field(default_factory=Outages)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    stale: dict[tuple[str, str], str] = field(default_factory=dict)
    delayed: set[str] = field(default_factory=set)
    meter: Meter = field(default_factory=Meter)

    def troubles(self) -> dict[str, list[str]]:
        """Why data is missing, for each key of which it is."""
        found: dict[str, list[str]] = {}
        for troubles in (self.refused, self.stale):
            for (_, key), why in troubles.items():
                found.setdefault(key, []).append(why)
        return found


@dataclass(frozen=True, slots=True)
class _Retry:
    due: float
    service: Service
    keys: tuple[str, ...]


class Subscriber:
    """The subscriptions of one session; ``confirmed`` are the keys whose level 1 Schwab acknowledged."""

    def __init__(
        self,
        connection: Connection,
        symbols: Iterable[Symbol],
        market: Market,
        announcer: Announcer,
        memory: Memory,
        liveness: Liveness,
        monotonic: Callable[[], float],
    ) -> None:
        self._connection, self._symbols, self._market = connection, tuple(symbols), market
        self._announcer, self._memory, self._liveness, self._monotonic = announcer, memory, liveness, monotonic
        self._goal: Wanted = {}
        self._failures: dict[tuple[Service, tuple[str, ...]], int] = {}
        self._retries: list[_Retry] = []
        self.accepted = 0
        self.confirmed: set[str] = set()

    def begin(self) -> None:
        """Ask for everything that is wanted; call it once the login is through."""
        self._memory.refused.clear()
        self._aim()

    def _aim(self) -> None:
        """Ask for whatever leads from what is subscribed to what is wanted."""
        everything = wanted(self._symbols, self._memory.listings)
        goal = {service: keys for service, keys in everything.items() if service not in self._memory.unavailable}
        self._send(*plan(goal, self._goal))
        self._goal = goal
        for service in BOOK_SERVICES & goal.keys():
            self._liveness.aim_books(service, goal[service], self._monotonic())

    def _send(self, *commands: Command) -> None:
        self._connection.session.request(*commands)
        self._connection.wake()

    def ask_again(self, service: str, keys: Iterable[str]) -> None:
        """Subscribe these keys once more, one by one: each answer brings a snapshot."""
        self._send(*(Command(Verb.ADD, Service(service), (key,)) for key in keys))

    def ask_all_again(self, service: str) -> None:
        """Subscribe a whole service anew."""
        keys = self._goal[Service(service)]
        self._send(*plan({Service(service): keys}, {}))

    def take_answer(self, answer: Answered) -> None:
        """Note what an answer means for its keys; raises what a code that ends the session means."""
        command, service = answer.command, answer.command.service
        if answer.code in ENDING_CODES:
            raise error_of(Ended(answer.code, answer.message)) or AssertionError(answer.code)
        if command.verb is Verb.UNSUBS:
            return
        if answer.ok:
            self._take_in(service, command.keys)
        elif answer.code == SYMBOL_LIMIT:
            # Without a count any key may be among the discarded ones; to add one that is subscribed does no harm.
            kept = max(0, len(command.keys) - answer.discarded) if answer.discarded else 0
            if kept:
                self._take_in(service, command.keys[:kept])
            self._do_without(answer, command.keys[kept:])
        else:
            self._do_without(answer, command.keys)

    def _take_in(self, service: Service, keys: tuple[str, ...]) -> None:
        self.accepted += len(keys)
        self._failures.pop((service, keys), None)
        for key in keys:
            self._memory.refused.pop((service, key), None)
        if service in _LEVEL_ONE_SERVICES:
            self.confirmed.update(keys)
            self._liveness.subscribed(service, keys, self._monotonic())

    def _do_without(self, answer: Answered, keys: tuple[str, ...]) -> None:
        """Report what these refused keys miss, and plan to ask again where that may help."""
        service = answer.command.service
        if service is Service.FUTURES_BOOK:
            self._market.use_top_of_book(keys)
            log.info("no futures depth at Schwab; books are the top of book", answer=answer.message)
            if answer.code == UNAVAILABLE:
                self._memory.unavailable.add(service)
                return
        else:
            self._note_refusal(answer, keys)
        if answer.code == SYMBOL_LIMIT:
            self._plan_retry(service, keys, RETRY_DELAYS_S[-1])
        elif answer.code in _PASSING_CODES or service is Service.FUTURES_BOOK:
            self._plan_retry(service, keys)

    def _note_refusal(self, answer: Answered, keys: tuple[str, ...]) -> None:
        service = answer.command.service
        why = f"{service} refused: {answer.message}"
        new = [key for key in keys if (service, key) not in self._memory.refused]
        self._memory.refused.update({(service, key): why for key in keys})
        self._announcer.counts[Count.REFUSED_COMMANDS] += 1
        for key in new:
            for alias in self._market.instruments[key].aliases:
                self._announcer.tell("stale", f"{alias}: {why}", symbol=alias, key=key, detail=_code(answer))

    def _plan_retry(self, service: Service, keys: tuple[str, ...], delay_s: float | None = None) -> None:
        failures = self._failures.get((service, keys), 0)
        self._failures[service, keys] = failures + 1
        if delay_s is None:
            delay_s = RETRY_DELAYS_S[min(failures, len(RETRY_DELAYS_S) - 1)]
        self._retries.append(_Retry(self._monotonic() + delay_s, service, keys))

    def retry_one(self) -> None:
        """Send again one subscription that was refused for a passing reason, when nothing else is under way.

        As ADD: the service's other keys may be subscribed by now, and SUBS would replace them (protocol 3.6).
        """
        now = self._monotonic()
        retry = next((retry for retry in self._retries if retry.due <= now), None)
        if retry is None or not self._connection.session.idle:
            return
        self._retries.remove(retry)
        if set(retry.keys) <= set(self._goal.get(retry.service, ())):
            self._send(Command(Verb.ADD, retry.service, retry.keys))
            return
        self._failures.pop((retry.service, retry.keys), None)
        if keys := tuple(key for key in retry.keys if key in self._goal.get(retry.service, ())):
            self._send(Command(Verb.ADD, retry.service, keys))

    def settle_listings(self) -> None:
        """Drop the book service that stays silent for an equity whose listing nobody told."""
        listings: Mapping[str, str] = self._memory.listings or {}
        found = {
            key: _LISTED_AT[service]
            for service in EQUITY_BOOKS
            for key in self._goal.get(service, ())
            if key not in listings and self._market.instruments[key].book_service == service
        }
        if found:
            self._memory.listings = {**listings, **found}
            self._aim()


def _code(answer: Answered) -> str:
    return "no answer" if answer.code is None else f"code {answer.code}"
