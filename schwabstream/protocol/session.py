"""One streamer session as a state machine: login, one command in flight, a deadline for each answer.

Pure: time is an argument (any monotonic seconds), ``next_frame`` returns the frames to send, and ``receive``
returns the outcome of a message. A session is used once. ``TRANSITIONS`` is its life cycle; ``error_of`` and
``CutSessions`` decide what its end means for the next session.
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
UNAVAILABLE = 11
"""The code for a service that Schwab does not have (protocol 3.4)."""
ENDING_CODES = frozenset({LOGIN_DENIED, EVICTED, STREAM_NOT_FOUND, STOP_STREAMING})
"""Codes that end the session, whichever command they answer."""
SHORT_S = 120.0
"""A program that takes the connection back does so within its longest pause, usually a minute or less."""
SHORT_SESSIONS = 5


class State(StrEnum):
    """The state of a session."""

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
    """The parameters of LOGIN; all but the token come from userPreference (protocol 2.1)."""

    socket_url: str
    customer_id: str
    correl_id: str
    channel: str
    function_id: str
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The streamer accepted the login; ``server`` is its message."""

    server: str


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The streamer rejected the login; ``code`` is None when it did not answer."""

    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a command; ``code`` is None when no answer came in time."""

    command: Command
    code: int | None
    message: str

    @property
    def ok(self) -> bool:
        """Whether the command succeeded."""
        return self.code in SUCCESS_CODES

    @property
    def discarded(self) -> int:
        """How many keys at the end exceeded the symbol limit; the others are subscribed (protocol 3.4)."""
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
    """The protocol of one login; the module's docstring describes its use."""

    def __init__(self, login: StreamerLogin, *, answer_timeout_s: float = 10.0) -> None:
        self._login = login
        self._answer_timeout_s = answer_timeout_s
        self._queue: deque[Command] = deque()
        self._in_flight: _InFlight | None = None
        self._last_id = 0
        self.state = State.NEW
        self.counts: Counter[str] = Counter()

    def request(self, *commands: Command) -> None:
        """Queue commands, to be sent one at a time after the login; ignored after a logout."""
        if self.state not in _ENDING:
            self._queue.extend(commands)

    def logout(self) -> None:
        """End the session: drop the queue, and send LOGOUT next if the login succeeded."""
        if self.state not in _ENDING:
            self._queue.clear()
            self._in_flight = None
            self._move(Trigger.LOGOUT)

    @property
    def deadline(self) -> float | None:
        """The latest time to call :meth:`check`, on the caller's clock; None when no answer is due."""
        return self._in_flight.deadline if self._in_flight else None

    @property
    def idle(self) -> bool:
        """Whether no command is queued or in flight."""
        return self._in_flight is None and not self._queue

    def next_frame(self, now: float) -> str | None:
        """The next frame to send; None when the queue is empty or an answer is due."""
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
        """The outcome of this message; None when the session does not change."""
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
        """Fail the command in flight when its deadline has passed."""
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
    """The error for this end of a session; None after our own LOGOUT."""
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
        return SessionLost(f"the streamer rejected the login (code {end.code}: {end.message})")
    return SessionLost(f"the streamer ended the session (code {end.code}: {end.message})")


class CutSessions:
    """Treats several sessions in a row that are cut soon after login as an eviction without a notice.

    Their logins show that the network and REST work. It is unknown whether Schwab sends the notice (protocol 3.8).
    """

    def __init__(self) -> None:
        self._row = 0

    def judge(self, error: SchwabStreamError, logged_in_s: float | None) -> SchwabStreamError:
        """The error to act on; call it once per session. ``logged_in_s``: how long it was logged in, or None."""
        is_cut = isinstance(error, SessionLost) and error.unexplained
        is_short = logged_in_s is not None and logged_in_s < SHORT_S
        self._row = self._row + 1 if is_cut and is_short else 0
        if self._row < SHORT_SESSIONS:
            return error
        return Evicted(
            f"{self._row} sessions in a row were cut within {SHORT_S:g} s of their login ({error}) while Schwab's REST "
            "API answers: another session probably took the one streamer connection Schwab allows, so stop the other "
            "program; hundreds of options can have the same effect"
        )
