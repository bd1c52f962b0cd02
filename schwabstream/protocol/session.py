"""One streamer session as a state machine: login, one command in flight, a deadline for each answer.

Pure: time comes in as an argument (any monotonic seconds), frames to send come out of ``next_frame``, and what a
message means comes back as an outcome. A session is used once. The life cycle is ``TRANSITIONS``; what the end of a
session means for the next one is ``error_of`` and ``CutSessions``.
"""

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from schwabstream.errors import Evicted, LoginDenied, SchwabStreamError, SessionLost
from schwabstream.protocol.codec import Heartbeat, Notice, Response, encode
from schwabstream.protocol.fields import field_numbers
from schwabstream.protocol.subscriptions import Command, Verb
from schwabstream.report import Count

LOGIN_DENIED, EVICTED, SYMBOL_LIMIT, STREAM_NOT_FOUND, STOP_STREAMING = 3, 12, 19, 20, 30
_DISCARDED = re.compile(r"DISCARDED=(\d{1,6})")
SUCCESS_CODES = frozenset({0, 26, 27, 28, 29})  # only 0 was ever seen live (protocol 3.4)
ENDING_CODES = frozenset({LOGIN_DENIED, EVICTED, STREAM_NOT_FOUND, STOP_STREAMING})
"""Codes after which a session is of no more use, whatever they answer."""
SHORT_S = 120.0
"""Another program that takes the connection back does so within its own longest wait, mostly a minute or less."""
SHORT_SESSIONS = 5


class State(StrEnum):
    """Where a session is in its life."""

    NEW = "new"
    LOGGING_IN = "logging in"
    READY = "ready"
    LOGGING_OUT = "logging out"
    CLOSED = "closed"


class Trigger(StrEnum):
    """What moves a session from one state to the next."""

    START = "start"
    LOGIN_OK = "login ok"
    LOGIN_FAILED = "login failed"
    LOGOUT = "logout"
    LOGOUT_DONE = "logout done"
    ENDED = "ended by the streamer"


TRANSITIONS: Mapping[State, Mapping[Trigger, State]] = {
    State.NEW: {Trigger.START: State.LOGGING_IN, Trigger.LOGOUT: State.CLOSED},
    State.LOGGING_IN: {
        Trigger.LOGIN_OK: State.READY,
        Trigger.LOGIN_FAILED: State.CLOSED,
        Trigger.LOGOUT: State.CLOSED,
        Trigger.ENDED: State.CLOSED,
    },
    State.READY: {Trigger.LOGOUT: State.LOGGING_OUT, Trigger.ENDED: State.CLOSED},
    State.LOGGING_OUT: {Trigger.LOGOUT_DONE: State.CLOSED, Trigger.ENDED: State.CLOSED},
    State.CLOSED: {},
}
_ENDING = frozenset({State.LOGGING_OUT, State.CLOSED})


@dataclass(frozen=True, slots=True)
class StreamerLogin:
    """What LOGIN needs; all but the token comes from userPreference (protocol 2.1)."""

    socket_url: str
    customer_id: str
    correl_id: str
    channel: str
    function_id: str
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The streamer took the login; ``server`` is what it says of itself."""

    server: str


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The streamer did not take the login; ``code`` is None when it never answered."""

    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A command's end; ``code`` is None when nobody answered in time."""

    command: Command
    code: int | None
    message: str

    @property
    def ok(self) -> bool:
        """Whether the streamer carried the command out."""
        return self.code in SUCCESS_CODES

    @property
    def discarded(self) -> int:
        """How many of the last keys fell to the symbol limit; the others are subscribed (protocol 3.4)."""
        match = _DISCARDED.search(self.message)
        return int(match[1]) if match else 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over: ``code`` is the streamer's reason, None after our own LOGOUT."""

    code: int | None
    message: str


Outcome = LoggedIn | LoginFailed | Answered | Ended


@dataclass(frozen=True, slots=True)
class _InFlight:
    request_id: str
    verb: str
    command: Command | None
    deadline: float


class StreamerProtocol:
    """Speaks for one login; see the module's docstring for how it is driven."""

    def __init__(self, login: StreamerLogin, *, answer_timeout_s: float = 10.0) -> None:
        self._login = login
        self._answer_timeout_s = answer_timeout_s
        self._queue: deque[Command] = deque()
        self._in_flight: _InFlight | None = None
        self._last_id = 0
        self.state = State.NEW
        self.counts: Counter[str] = Counter()

    def request(self, *commands: Command) -> None:
        """Queue commands; they are sent one at a time once the login is through, and forgotten after a logout."""
        if self.state not in _ENDING:
            self._queue.extend(commands)

    def logout(self) -> None:
        """End the session: what is queued is forgotten, LOGOUT is the next frame when there is a login to end."""
        if self.state not in _ENDING:
            self._queue.clear()
            self._in_flight = None
            self._move(Trigger.LOGOUT)

    @property
    def deadline(self) -> float | None:
        """When :meth:`check` must be called at the latest, on the caller's clock; None when nothing is awaited."""
        return self._in_flight.deadline if self._in_flight else None

    @property
    def idle(self) -> bool:
        """Whether nothing is queued and nothing awaits an answer."""
        return self._in_flight is None and not self._queue

    def next_frame(self, now: float) -> str | None:
        """The next frame to send, or None when there is nothing to say or an answer is awaited."""
        if self._in_flight is not None:
            return None
        if self.state is State.NEW:
            self._move(Trigger.START)
            return self._send("LOGIN", self._login_parameters(), None, now)
        if self.state is State.LOGGING_OUT:
            return self._send("LOGOUT", {}, None, now)
        if self.state is State.READY and self._queue:
            command = self._queue.popleft()
            parameters = {"keys": ",".join(command.keys)}
            if command.verb is not Verb.UNSUBS:
                parameters["fields"] = field_numbers(command.service)
            return self._send(command.verb, parameters, command, now)
        return None

    def receive(self, message: Response | Notice | Heartbeat) -> Outcome | None:
        """What this message means for the session; None when it changes nothing."""
        if isinstance(message, Heartbeat):
            return None
        if isinstance(message, Response):
            return self._answer(message)
        if message.code in (EVICTED, STOP_STREAMING) and Trigger.ENDED in TRANSITIONS[self.state]:
            self._in_flight = None
            self._move(Trigger.ENDED)
            return Ended(message.code, message.message)
        self.counts[Count.UNKNOWN_NOTICES] += 1
        return None

    def check(self, now: float) -> Outcome | None:
        """Give up on the answer awaited when its time has passed; only that command fails."""
        flight = self._in_flight
        if flight is None or now < flight.deadline:
            return None
        self.counts[Count.UNANSWERED] += 1
        self._in_flight = None
        return self._conclude(flight, None, f"no answer within {self._answer_timeout_s:g} s")

    def _answer(self, response: Response) -> Outcome | None:
        flight = self._in_flight
        if flight is None or response.request_id != flight.request_id:
            late = response.request_id in map(str, range(1, self._last_id + 1))
            self.counts[Count.LATE_ANSWERS if late else Count.UNKNOWN_ANSWERS] += 1
            return None
        self._in_flight = None
        return self._conclude(flight, response.code, response.message)

    def _conclude(self, flight: _InFlight, code: int | None, message: str) -> Outcome:
        if flight.command is not None:
            return Answered(flight.command, code, message)
        if flight.verb == "LOGOUT":
            self._move(Trigger.LOGOUT_DONE)
            return Ended(None, message)
        if code in SUCCESS_CODES:
            self._move(Trigger.LOGIN_OK)
            return LoggedIn(message)
        self._move(Trigger.LOGIN_FAILED)
        return LoginFailed(code, message)

    def _send(self, verb: str, parameters: dict[str, str], command: Command | None, now: float) -> str:
        self._last_id += 1
        request_id = str(self._last_id)
        self._in_flight = _InFlight(request_id, verb, command, now + self._answer_timeout_s)
        request: dict[str, Any] = {
            "service": command.service if command else "ADMIN",
            "command": verb,
            "requestid": request_id,
            "SchwabClientCustomerId": self._login.customer_id,
            "SchwabClientCorrelId": self._login.correl_id,
            "parameters": parameters,
        }
        return encode([request])

    def _login_parameters(self) -> dict[str, str]:
        return {
            "Authorization": self._login.access_token,
            "SchwabClientChannel": self._login.channel,
            "SchwabClientFunctionId": self._login.function_id,
        }

    def _move(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]
        if self.state is State.CLOSED:
            self._queue.clear()


def error_of(end: LoginFailed | Ended) -> SchwabStreamError | None:
    """The error this end is; None for the end that our own LOGOUT brought."""
    match end:
        case Ended(code=None):
            return None
        case LoginFailed(code=None, message=message):
            return SessionLost(f"the streamer did not answer the login ({message})")
    if end.code == LOGIN_DENIED:
        return LoginDenied(f"the streamer denied the login ({end.message})")
    if end.code == EVICTED:
        return Evicted(
            f"another session took the one streamer connection Schwab allows ({end.message}): stop the other "
            "program, or take the connection back with schwabstream stream run --take-over"
        )
    if isinstance(end, LoginFailed):
        return SessionLost(f"the streamer did not take the login (code {end.code}: {end.message})")
    return SessionLost(f"the streamer ended the session (code {end.code}: {end.message})")


class CutSessions:
    """Takes a row of sessions that are cut soon after their login for evictions: their notice may not come.

    That they log in at all shows that network and REST work. Whether Schwab sends the notice is unknown (protocol 3.8).
    """

    def __init__(self) -> None:
        self._row = 0

    def judge(self, error: SchwabStreamError, logged_in_s: float | None) -> SchwabStreamError:
        """The error to act on, given how long the session was logged in, None if it never was; one call per end."""
        is_cut = isinstance(error, SessionLost) and error.unexplained
        is_short = logged_in_s is not None and logged_in_s < SHORT_S
        self._row = self._row + 1 if is_cut and is_short else 0
        if self._row < SHORT_SESSIONS:
            return error
        return Evicted(
            f"{self._row} sessions in a row were cut within {SHORT_S:g} s of their login ({error}) while Schwab's REST "
            "API answers: another session probably takes the one streamer connection Schwab allows, so stop the other "
            "program; hundreds of options can have the same effect"
        )
