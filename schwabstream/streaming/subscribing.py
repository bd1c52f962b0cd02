"""Keeps one session subscribed to the wanted symbols: sends commands, follows answers, retries temporary refusals.

Commands go out one at a time. Refusals and listings are kept in the ``StreamState``, which outlives the session. A
refusal is reported per symbol and affects nothing else; only a code that ends the session raises.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from schwabstream.protocol.fields import Service
from schwabstream.protocol.session import ENDING_CODES, SYMBOL_LIMIT, UNAVAILABLE, Answered, Ended, error_of
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
from schwabstream.report import Count
from schwabstream.streaming.connection import Connection
from schwabstream.streaming.liveness import Liveness
from schwabstream.streaming.state import StreamState

log = structlog.get_logger(__name__)

RETRY_DELAYS_S = (5.0, 30.0, 120.0, 300.0)
# Unanswered, unknown failure, source down, and the failures of single commands (protocol 3.4).
_TRANSIENT_CODES = frozenset({None, 9, UNAVAILABLE, 22, 23, 24, 25})
_LEVEL_ONE_SERVICES = frozenset(LEVEL_ONE.values())
_LISTED_AT = {Service.NASDAQ_BOOK: "Q", Service.NYSE_BOOK: "N"}


@dataclass(frozen=True, slots=True)
class _Retry:
    due: float
    command: Command


class Subscriptions:
    """The subscriptions of one session.

    ``confirmed`` has the keys whose level 1 Schwab acknowledged; ``unlisted`` the equities whose books are subscribed
    later, because Schwab is being asked for their listings.
    """

    def __init__(self, connection: Connection, stream: StreamState, liveness: Liveness) -> None:
        self._connection, self._stream, self._liveness = connection, stream, liveness
        self._market, self._announcer, self._monotonic = stream.market, stream.announcer, stream.clock.monotonic
        self._goal: Wanted = {}
        self._failures: dict[Command, int] = {}
        self._retries: list[_Retry] = []
        self.accepted = 0
        self.confirmed: set[str] = set()
        self.unlisted: set[str] = set()

    def begin(self) -> None:
        """Subscribe the wanted symbols; call it after the login."""
        self._stream.refused.clear()
        self.aim()

    def aim(self) -> None:
        """Send the commands that turn the current subscriptions into the wanted ones."""
        everything = {**wanted(self._stream.symbols, self._stream.listings), **self._stream.services}
        for service in EQUITY_BOOKS:
            everything[service] = tuple(key for key in everything.get(service, ()) if key not in self.unlisted)
        goal = {service: keys for service, keys in everything.items() if service not in self._stream.unavailable}
        self._send(*plan(goal, self._goal))
        self._set_goal(goal)
        for service in everything.keys() - goal.keys():
            self._market.use_top_of_book(everything[service])

    def _set_goal(self, goal: Wanted) -> None:
        self._goal = goal
        services: dict[str, tuple[str, ...]] = {}
        for service, keys in goal.items():
            for key in keys:
                services[key] = (*services.get(key, ()), service)
        self._stream.subscribed = services
        for service in BOOK_SERVICES:
            self._liveness.aim_books(service, goal.get(service, ()), self._monotonic())

    def _send(self, *commands: Command) -> None:
        self._connection.request(*commands)

    def ask_again(self, service: str, keys: Iterable[str]) -> None:
        """Subscribe these keys again, one by one: each answer brings a snapshot."""
        self._send(*(Command(Verb.ADD, Service(service), (key,)) for key in keys))

    def ask_all_again(self, service: str) -> None:
        """Subscribe a whole service again."""
        keys = self._goal[Service(service)]
        self._send(*plan({Service(service): keys}, {}))

    def take_answer(self, answer: Answered) -> None:
        """Note the answer for its keys; raises the error of a code that ends the session."""
        command, service = answer.command, answer.command.service
        if answer.code in ENDING_CODES:
            raise error_of(Ended(answer.code, answer.message)) or AssertionError(answer.code)
        if command.verb is Verb.UNSUBS:
            if answer.code in _TRANSIENT_CODES:
                self._plan_retry(command)
            return
        if answer.ok:
            self._accept(service, command.keys)
        elif answer.code == SYMBOL_LIMIT:
            # Without a count, any key may have been discarded; adding a subscribed key again is harmless.
            kept = max(0, len(command.keys) - answer.discarded) if answer.discarded else 0
            if kept:
                self._accept(service, command.keys[:kept])
            self._refuse(answer, command.keys[kept:])
        else:
            self._refuse(answer, command.keys)

    def _accept(self, service: Service, keys: tuple[str, ...]) -> None:
        self.accepted += len(keys)
        self._failures.pop(_addition(service, keys), None)
        for key in keys:
            self._stream.refused.pop((service, key), None)
        if service in _LEVEL_ONE_SERVICES:
            self.confirmed.update(keys)
            self._liveness.subscribed(service, keys, self._monotonic())
            self._stream.announce_accepted(keys)

    def _refuse(self, answer: Answered, keys: tuple[str, ...]) -> None:
        """Report the refused keys, and plan a retry where that may help."""
        service = answer.command.service
        if service is Service.FUTURES_BOOK:
            self._market.use_top_of_book(keys)
            log.info("schwab has no futures depth; books are the top of book", answer=answer.message)
            if answer.code == UNAVAILABLE:
                self._stream.unavailable.add(service)
                self._set_goal({other: keys for other, keys in self._goal.items() if other is not service})
                return
        else:
            self._note_refusal(answer, keys)
        if answer.code == SYMBOL_LIMIT:
            self._plan_retry(_addition(service, keys), RETRY_DELAYS_S[-1])
        elif answer.code in _TRANSIENT_CODES or service is Service.FUTURES_BOOK:
            self._plan_retry(_addition(service, keys))

    def _note_refusal(self, answer: Answered, keys: tuple[str, ...]) -> None:
        service = answer.command.service
        why = f"{service} refused: {answer.message}"
        new = [key for key in keys if (service, key) not in self._stream.refused]
        self._stream.refused.update({(service, key): why for key in keys})
        self._announcer.counts[Count.REFUSED_COMMANDS] += 1
        for key in new:
            for alias in self._aliases(key):
                wished = service in _LEVEL_ONE_SERVICES and self._stream.wanted.refuse(alias)
                occasion = "refused" if wished else "stale"
                self._announcer.announce(occasion, f"{alias}: {why}", symbol=alias, key=key, detail=_code(answer))

    def _aliases(self, key: str) -> tuple[str, ...]:
        """The names of this key in events: a screener has only its own."""
        instrument = self._market.instruments.get(key)
        return instrument.aliases if instrument else (key,)

    def _plan_retry(self, command: Command, delay_s: float | None = None) -> None:
        failures = self._failures.get(command, 0)
        self._failures[command] = failures + 1
        if delay_s is None:
            delay_s = RETRY_DELAYS_S[min(failures, len(RETRY_DELAYS_S) - 1)]
        self._retries.append(_Retry(self._monotonic() + delay_s, command))

    def retry_one(self) -> None:
        """Retry one command that failed temporarily, for the keys that it still applies to, when none is in flight."""
        now = self._monotonic()
        retry = next((retry for retry in self._retries if retry.due <= now), None)
        if retry is None or not self._connection.idle:
            return
        self._retries.remove(retry)
        command = retry.command
        goal = set(self._goal.get(command.service, ()))
        keys = tuple(key for key in command.keys if (key in goal) is (command.verb is not Verb.UNSUBS))
        if keys != command.keys:
            self._failures.pop(command, None)
        if keys:
            self._send(Command(command.verb, command.service, keys))

    def settle_listings(self) -> None:
        """Unsubscribe an equity of unknown listing from the book service that does not have it."""
        listings: Mapping[str, str] = self._stream.listings or {}
        found = {
            key: _LISTED_AT[service]
            for service in EQUITY_BOOKS
            for key in self._goal.get(service, ())
            if key not in listings and self._market.instruments[key].book_service == service
        }
        if found:
            self._stream.listings = {**listings, **found}
            self.aim()


def _addition(service: Service, keys: tuple[str, ...]) -> Command:
    """The command that subscribes these keys beside the service's others, which SUBS would replace (protocol 3.6)."""
    # Account activity has one key and no ADD (protocol 4.10).
    return Command(Verb.SUBS if service is Service.ACCT_ACTIVITY else Verb.ADD, service, keys)


def _code(answer: Answered) -> str:
    return "no answer" if answer.code is None else f"code {answer.code}"
