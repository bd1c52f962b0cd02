"""The session's life: login awaited, one command in flight, answers matched, and no event without an outcome."""

from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schwabstream.errors import Evicted, LoginDenied, SchwabStreamError, SchwabUnavailable, SessionLost
from schwabstream.protocol.codec import Heartbeat, Notice, Response
from schwabstream.protocol.fields import Service, field_numbers
from schwabstream.protocol.session import (
    ENDING_CODES,
    EVICTED,
    LOGIN_DENIED,
    SHORT_S,
    SHORT_SESSIONS,
    STOP_STREAMING,
    STREAM_NOT_FOUND,
    SUCCESS_CODES,
    TRANSITIONS,
    Answered,
    CutSessions,
    Ended,
    LoggedIn,
    LoginFailed,
    State,
    StreamerLogin,
    StreamerProtocol,
    Trigger,
    error_of,
)
from schwabstream.protocol.subscriptions import Command, Verb

LOGIN = StreamerLogin("wss://example.invalid/ws", "customer", "correl", "N9", "APIAPP", "the-access-token")
FUTURES = Command(Verb.SUBS, Service.LEVELONE_FUTURES, ("/ES", "/NQ"))
EQUITIES = Command(Verb.ADD, Service.LEVELONE_EQUITIES, ("AAPL",))
DROP = Command(Verb.UNSUBS, Service.LEVELONE_FUTURES, ("/ES",))


def answer(request_id: str, code: int = 0, message: str = "") -> Response:
    """The streamer's answer to the request with this id."""
    return Response("ADMIN", "LOGIN", request_id, code, message)


def sent(frame: str | None) -> dict[str, Any]:
    """The one request of a frame."""
    assert frame is not None
    (request,) = orjson.loads(frame)["requests"]
    assert isinstance(request, dict)
    return request


def awaits(session: StreamerProtocol) -> bool:
    """Whether anything is queued or in flight."""
    return not session.idle


def limit(session: StreamerProtocol) -> float | None:
    """When the session wants to be checked."""
    return session.deadline


def in_state(state: State) -> StreamerProtocol:
    """A session that has come to this state the ordinary way."""
    session = StreamerProtocol(LOGIN)
    if state is State.NEW:
        return session
    session.next_frame(0)
    if state is State.LOGGING_IN:
        return session
    session.receive(answer("1", LOGIN_DENIED if state is State.CLOSED else 0))
    if state is State.LOGGING_OUT:
        session.logout()
    assert session.state is state
    return session


# --- the table ---------------------------------------------------------------------------------------------------


def test_the_table_is_total() -> None:
    """Every state has a row, every trigger moves some state, and each leads to a state with a row."""
    assert set(TRANSITIONS) == set(State)
    assert {trigger for row in TRANSITIONS.values() for trigger in row} == set(Trigger)
    assert {target for row in TRANSITIONS.values() for target in row.values()} <= set(State)


def test_every_life_ends() -> None:
    """Only CLOSED has no way out, and from every state some way leads there."""
    assert [state for state, row in TRANSITIONS.items() if not row] == [State.CLOSED]
    ending = {State.CLOSED}
    for _ in State:
        ending |= {state for state, row in TRANSITIONS.items() if ending & set(row.values())}
    assert ending == set(State)


def test_no_state_is_entered_twice() -> None:
    """A session is used once: the table has no way back, so no state is reachable from itself."""
    reachable = {state: set(row.values()) for state, row in TRANSITIONS.items()}
    for _ in State:
        for targets in reachable.values():
            targets |= {far for near in targets for far in reachable[near]}
    assert not [state for state, targets in reachable.items() if state in targets]


# --- login -------------------------------------------------------------------------------------------------------


def test_the_first_frame_is_login() -> None:
    """LOGIN has the token without "Bearer" and all five names of userPreference (protocol 3.3)."""
    session = StreamerProtocol(LOGIN)
    request = sent(session.next_frame(0))
    assert request == {
        "service": "ADMIN",
        "command": "LOGIN",
        "requestid": "1",
        "SchwabClientCustomerId": "customer",
        "SchwabClientCorrelId": "correl",
        "parameters": {
            "Authorization": "the-access-token",
            "SchwabClientChannel": "N9",
            "SchwabClientFunctionId": "APIAPP",
        },
    }
    assert session.state is State.LOGGING_IN


def test_nothing_is_sent_before_the_login_is_answered() -> None:
    """Commands queued early wait for the LOGIN answer; anything sooner would earn code 20."""
    session = StreamerProtocol(LOGIN)
    session.request(FUTURES)
    session.next_frame(0)
    assert session.next_frame(1) is None
    assert session.receive(answer("1", 0, "server=s1;status=NP")) == LoggedIn("server=s1;status=NP")
    assert sent(session.next_frame(2))["command"] == "SUBS"


@pytest.mark.parametrize("code", sorted(set(range(-1, 31)) - SUCCESS_CODES))
def test_a_login_not_taken_closes_the_session(code: int) -> None:
    """Any code but success fails the login, with the code and the streamer's message."""
    session = in_state(State.LOGGING_IN)
    session.request(FUTURES)
    assert session.receive(answer("1", code, "why")) == LoginFailed(code, "why")
    assert session.state is State.CLOSED
    assert session.next_frame(5) is None


def test_a_login_nobody_answers_fails_without_a_code() -> None:
    """When the deadline passes, the login has failed and the session is closed."""
    session = in_state(State.LOGGING_IN)
    assert session.check(9.999) is None
    assert session.check(10.0) == LoginFailed(None, "no answer within 10 s")
    assert session.state is State.CLOSED
    assert session.receive(answer("1")) is None
    assert session.state is State.CLOSED
    assert session.counts == {"unanswered": 1, "late answers": 1}


def test_the_token_is_in_no_repr() -> None:
    """The printed form of a login or a session never holds the access token."""
    assert "the-access-token" not in repr(LOGIN)
    assert "the-access-token" not in f"{in_state(State.READY)!r}{vars(in_state(State.READY))!r}"


# --- commands ----------------------------------------------------------------------------------------------------


def test_a_command_on_the_wire() -> None:
    """Keys and all field numbers go out joined by commas; UNSUBS needs keys only (protocol 3.6)."""
    session = in_state(State.READY)
    session.request(FUTURES, DROP)
    request = sent(session.next_frame(0))
    assert (request["service"], request["command"], request["requestid"]) == ("LEVELONE_FUTURES", "SUBS", "2")
    assert (request["SchwabClientCustomerId"], request["SchwabClientCorrelId"]) == ("customer", "correl")
    assert request["parameters"] == {"keys": "/ES,/NQ", "fields": field_numbers(Service.LEVELONE_FUTURES)}
    session.receive(answer("2"))
    request = sent(session.next_frame(0))
    assert (request["command"], request["parameters"]) == ("UNSUBS", {"keys": "/ES"})


def test_one_command_is_in_flight() -> None:
    """The next command leaves only once the one before is answered, in the order asked."""
    session = in_state(State.READY)
    session.request(FUTURES)
    session.request(EQUITIES)
    assert sent(session.next_frame(0))["service"] == "LEVELONE_FUTURES"
    assert session.next_frame(1) is None
    assert awaits(session)
    assert session.receive(answer("2", 0, "fine")) == Answered(FUTURES, 0, "fine")
    assert awaits(session)
    assert sent(session.next_frame(2))["service"] == "LEVELONE_EQUITIES"
    assert session.receive(answer("3")) == Answered(EQUITIES, 0, "")
    assert not awaits(session)
    assert session.next_frame(3) is None


@pytest.mark.parametrize("code", range(-1, 35))
def test_success_is_0_and_26_to_29(code: int) -> None:
    """A command succeeds on code 0 and 26 to 29, and on no other; a refusal leaves the session ready."""
    session = in_state(State.READY)
    session.request(FUTURES)
    session.next_frame(0)
    outcome = session.receive(answer("2", code, "said"))
    assert outcome == Answered(FUTURES, code, "said")
    assert isinstance(outcome, Answered)
    assert outcome.ok is (code in {0, 26, 27, 28, 29})
    assert session.state is State.READY


@pytest.mark.parametrize(
    ("message", "discarded"),
    [
        ("Symbol limit reached (SCREENER_EQUITY=10, DISCARDED=1)", 1),
        ("(LEVELONE_FUTURES=500, DISCARDED=27)", 27),
        ("Service not available or temporary down.", 0),
        ("DISCARDED=", 0),
        ("DISCARDED=-3", 0),
        ("", 0),
    ],
)
def test_the_symbol_limit_gives_the_number_of_discarded_keys(message: str, discarded: int) -> None:
    """A refusal for too many keys names how many were discarded; any other names none (protocol 3.4)."""
    assert Answered(FUTURES, 19, message).discarded == discarded


def test_an_unanswered_command_fails_alone() -> None:
    """Ten seconds without an answer fail that command; the session continues with the next."""
    session = in_state(State.READY)
    session.request(FUTURES, EQUITIES)
    session.next_frame(100)
    assert limit(session) == 110
    assert session.check(109.9) is None
    outcome = session.check(110)
    assert outcome == Answered(FUTURES, None, "no answer within 10 s")
    assert isinstance(outcome, Answered)
    assert not outcome.ok
    assert session.state is State.READY
    assert limit(session) is None
    assert sent(session.next_frame(111))["service"] == "LEVELONE_EQUITIES"
    assert session.receive(answer("2")) is None
    assert session.receive(answer("3")) == Answered(EQUITIES, 0, "")
    assert session.counts == {"unanswered": 1, "late answers": 1}


def test_the_limit_is_the_callers() -> None:
    """Another time limit counts from the moment the frame was asked for, and the message names it."""
    session = StreamerProtocol(LOGIN, answer_timeout_s=2.5)
    session.next_frame(7)
    assert session.deadline == 9.5
    assert session.check(9.5) == LoginFailed(None, "no answer within 2.5 s")


def test_nothing_is_awaited_in_a_quiet_session() -> None:
    """Without a command in flight there is no deadline, and any time may pass."""
    session = in_state(State.READY)
    assert session.deadline is None
    assert session.check(1e9) is None
    assert session.state is State.READY


# --- what arrives unasked ----------------------------------------------------------------------------------------


def test_a_second_answer_is_late() -> None:
    """The same request answered twice counts once; the second answer is counted as late and changes nothing."""
    session = in_state(State.READY)
    session.request(FUTURES, EQUITIES)
    session.next_frame(0)
    assert session.receive(answer("2", 0)) is not None
    assert session.receive(answer("2", 22)) is None
    session.next_frame(1)
    assert session.receive(answer("1", LOGIN_DENIED)) is None
    assert session.state is State.READY
    assert session.counts == {"late answers": 2}


@pytest.mark.parametrize("request_id", ["0", "3", "99", "-1", "", "x", "02", "1.0", "None", "²", "٢", "9" * 5000])
def test_an_answer_to_nothing_we_asked_is_counted(request_id: str) -> None:
    """An answer whose id was never sent is counted as unknown, whatever it looks like."""
    session = in_state(State.READY)
    session.request(FUTURES)
    session.next_frame(0)
    assert session.receive(answer(request_id)) is None
    assert session.counts == {"unknown answers": 1}
    assert session.receive(answer("2")) == Answered(FUTURES, 0, "")


@pytest.mark.parametrize("state", State)
def test_a_heartbeat_changes_nothing(state: State) -> None:
    """A heartbeat has no outcome in any state."""
    session = in_state(state)
    assert session.receive(Heartbeat(1)) is None
    assert session.state is state
    assert not session.counts


@pytest.mark.parametrize("code", [EVICTED, STOP_STREAMING])
@pytest.mark.parametrize("state", [State.LOGGING_IN, State.READY, State.LOGGING_OUT])
def test_eviction_and_stop_end_the_session(state: State, code: int) -> None:
    """Code 12 or 30 as a notice ends a session in any state in which it is open, under any service's name."""
    session = in_state(state)
    session.request(FUTURES)
    session.next_frame(0)
    assert session.receive(Notice("Invalid Service", code, "why")) == Ended(code, "why")
    assert session.state is State.CLOSED
    assert session.deadline is None
    assert session.next_frame(1) is None
    assert session.check(1e9) is None
    assert not awaits(session), "what was queued is forgotten with the session"


@pytest.mark.parametrize("state", [State.NEW, State.CLOSED])
def test_a_session_not_open_cannot_be_ended(state: State) -> None:
    """Before the login and after the end an eviction is counted and nothing else."""
    session = in_state(state)
    assert session.receive(Notice("ADMIN", EVICTED, "")) is None
    assert session.state is state
    assert session.counts == {"unknown notices": 1}


@pytest.mark.parametrize("code", [0, LOGIN_DENIED, 9, STREAM_NOT_FOUND, 31])
def test_another_notice_is_counted(code: int) -> None:
    """A notice of any other code leaves the session as it is."""
    session = in_state(State.READY)
    assert session.receive(Notice("ADMIN", code, "")) is None
    assert session.state is State.READY
    assert session.counts == {"unknown notices": 1}


# --- logout ------------------------------------------------------------------------------------------------------


def test_logout_is_the_next_frame_and_the_last() -> None:
    """Logout forgets queued and sent commands, sends LOGOUT once, and ends the session on its answer."""
    session = in_state(State.READY)
    session.request(FUTURES, EQUITIES)
    session.next_frame(0)
    session.logout()
    request = sent(session.next_frame(1))
    assert (request["service"], request["command"], request["parameters"]) == ("ADMIN", "LOGOUT", {})
    assert session.receive(answer("2")) is None, "the forgotten command's answer is late"
    assert session.next_frame(2) is None
    assert session.receive(answer("3", 0, "SUCCESS")) == Ended(None, "SUCCESS")
    assert session.state is State.CLOSED
    assert session.next_frame(3) is None


def test_a_logout_nobody_answers_ends_too() -> None:
    """LOGOUT unanswered ends the session when its deadline has passed."""
    session = in_state(State.LOGGING_OUT)
    session.next_frame(0)
    assert session.check(10) == Ended(None, "no answer within 10 s")
    assert session.state is State.CLOSED


@pytest.mark.parametrize("state", State)
def test_logout_from_every_state(state: State) -> None:
    """Logout never fails: an open session sends LOGOUT, any other is closed at once without it."""
    session = in_state(state)
    session.request(FUTURES)
    session.logout()
    if state in (State.READY, State.LOGGING_OUT):
        assert session.state is State.LOGGING_OUT
        assert sent(session.next_frame(0))["command"] == "LOGOUT"
    else:
        assert session.state is State.CLOSED
        assert session.next_frame(0) is None
    assert session.idle is (session.state is State.CLOSED)


def test_a_second_logout_changes_nothing() -> None:
    """Logging out twice sends LOGOUT once."""
    session = in_state(State.READY)
    session.logout()
    assert sent(session.next_frame(0))["command"] == "LOGOUT"
    session.logout()
    assert session.next_frame(1) is None
    assert session.receive(answer("2", 0, "bye")) == Ended(None, "bye")
    session.logout()
    assert session.state is State.CLOSED


# --- what the end means for the next session -------------------------------------------------------------------------


def test_our_own_logout_is_not_an_error() -> None:
    """Only an end that nobody asked for is one."""
    assert error_of(Ended(None, "SUCCESS")) is None


@pytest.mark.parametrize("end", [LoginFailed(12, "another"), Ended(12, "another")])
def test_an_eviction_names_the_way_to_take_the_connection_back(end: LoginFailed | Ended) -> None:
    """Code 12 is an eviction wherever it comes, and its message names the command that undoes it."""
    error = error_of(end)
    assert isinstance(error, Evicted)
    assert "schwabstream stream run --take-over" in str(error)


@pytest.mark.parametrize("end", [LoginFailed(3, "token is invalid"), Ended(3, "token is invalid")])
def test_code_3_asks_for_another_token(end: LoginFailed | Ended) -> None:
    """A denied login is an error of its own: only a refresh helps."""
    assert isinstance(error_of(end), LoginDenied)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (LoginFailed(None, "no answer within 10 s"), "did not answer the login (no answer within 10 s)"),
        (LoginFailed(9, "Unknown failure"), "rejected the login (code 9: Unknown failure)"),
        (Ended(30, "slowness"), "ended the session (code 30: slowness)"),
        (Ended(20, "not found"), "ended the session (code 20: not found)"),
    ],
)
def test_every_other_end_is_transient_and_has_a_reason(end: LoginFailed | Ended, said: str) -> None:
    """An end that a new session may cure is SessionLost, with Schwab's own words."""
    error = error_of(end)
    assert isinstance(error, SessionLost)
    assert said in str(error)


def test_the_codes_that_end_a_session_all_mean_something() -> None:
    """Each ending code has an error after which the supervisor can continue."""
    for code in ENDING_CODES:
        assert isinstance(error_of(Ended(code, "")), SchwabUnavailable | Evicted)


CUT = SessionLost("the streamer closed the connection (no close frame)", unexplained=True)


def judged(cut: CutSessions, error: SchwabStreamError = CUT, after_s: float | None = 2.0, times: int = 1) -> list[bool]:
    """Whether each of these ends in a row is taken for an eviction."""
    return [isinstance(cut.judge(error, after_s), Evicted) for _ in range(times)]


@pytest.mark.parametrize("after_s", [0.0, 2.0, SHORT_S - 1])
def test_a_row_of_sessions_cut_soon_after_their_login_is_taken_for_an_eviction(after_s: float) -> None:
    """From the last of the row on each loss is an eviction without its notice; the message states what is certain."""
    cut = CutSessions()
    assert judged(cut, after_s=after_s, times=SHORT_SESSIONS + 2) == [False] * (SHORT_SESSIONS - 1) + [True] * 3
    message = str(cut.judge(CUT, after_s))
    assert "another session" in message
    assert str(CUT) in message


@pytest.mark.parametrize(
    ("error", "after_s"),
    [
        (CUT, SHORT_S),
        (CUT, None),
        (SessionLost("the streamer closed the connection (code 1012)"), 2.0),
        (SchwabUnavailable("HTTP 503"), None),
        (Evicted("code 12"), 2.0),
        (LoginDenied("code 3"), None),
    ],
    ids=["a long session", "no login", "a reason", "REST fails", "the notice", "denied"],
)
def test_any_other_end_begins_a_new_row(error: SchwabStreamError, after_s: float | None) -> None:
    """A session that lasted, gave a reason or never logged in is not an eviction; its error is unchanged."""
    cut = CutSessions()
    judged(cut, times=SHORT_SESSIONS - 1)
    assert cut.judge(error, after_s) is error
    assert judged(cut, times=SHORT_SESSIONS) == [False] * (SHORT_SESSIONS - 1) + [True]


# --- everything at once ------------------------------------------------------------------------------------------


class AnyLife(RuleBasedStateMachine):
    """A session that anything happens to, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.session = StreamerProtocol(LOGIN)
        self.seen = [State.NEW]
        self.now = 0.0
        self.open_requests: list[str] = []
        self.ends = 0

    def note(self, outcome: object) -> None:
        """Count the outcomes that end a session."""
        self.ends += isinstance(outcome, Ended | LoginFailed)

    @rule()
    def send(self) -> None:
        """Ask for the next frame."""
        frame = self.session.next_frame(self.now)
        if frame is not None:
            self.open_requests.append(sent(frame)["requestid"])

    @rule(command=st.sampled_from([FUTURES, EQUITIES, DROP]))
    def ask(self, command: Command) -> None:
        """Queue a command."""
        self.session.request(command)

    @rule(request_id=st.sampled_from([*map(str, range(6)), "x"]), code=st.integers(-1, 31))
    def be_answered(self, request_id: str, code: int) -> None:
        """Receive some answer."""
        self.note(self.session.receive(answer(request_id, code)))

    @rule(code=st.integers(-1, 31))
    def take_code(self, code: int) -> None:
        """Receive some notice."""
        self.note(self.session.receive(Notice("ADMIN", code, "")))

    @rule(seconds=st.floats(0, 20))
    def let_time_pass(self, seconds: float) -> None:
        """Move the clock and look at the deadline."""
        self.now += seconds
        self.note(self.session.check(self.now))

    @rule()
    def log_out(self) -> None:
        """End the session ourselves."""
        self.session.logout()

    @invariant()
    def follows_the_table(self) -> None:
        """Each change of state is one of the table's, and at most one outcome ends the session."""
        if self.session.state is not self.seen[-1]:
            targets = set(TRANSITIONS[self.seen[-1]].values())
            # One rule may take two steps only if the table has them both; no rule here does.
            assert self.session.state in targets
            self.seen.append(self.session.state)
        assert self.ends <= 1
        assert len(set(self.open_requests)) == len(self.open_requests), "a request id is never used again"
        if self.session.state is State.CLOSED:
            assert self.session.deadline is None
            assert self.session.next_frame(self.now) is None


AnyLife.TestCase.settings = settings(max_examples=100, stateful_step_count=20)
TestAnyLife = AnyLife.TestCase
