"""What the end of a session means for the next one."""

import pytest

from schwabstream.errors import Evicted, LoginDenied, SchwabStreamError, SchwabUnavailable, SessionLost
from schwabstream.protocol.endings import ENDING_CODES, SHORT_S, SHORT_SESSIONS, CutSessions, error_of
from schwabstream.protocol.session import Ended, LoginFailed


def test_our_own_logout_is_no_error() -> None:
    """Only an end that nobody asked for is one."""
    assert error_of(Ended(None, "SUCCESS")) is None


@pytest.mark.parametrize("end", [LoginFailed(12, "another"), Ended(12, "another")])
def test_an_eviction_names_the_way_to_take_the_connection_back(end: LoginFailed | Ended) -> None:
    """Code 12 is an eviction wherever it comes, and its message says which command undoes it."""
    error = error_of(end)
    assert isinstance(error, Evicted)
    assert "schwabstream stream run --take-over" in str(error)


@pytest.mark.parametrize("end", [LoginFailed(3, "token is invalid"), Ended(3, "token is invalid")])
def test_code_3_asks_for_another_token(end: LoginFailed | Ended) -> None:
    """A denied login is told apart: only a refresh helps."""
    assert isinstance(error_of(end), LoginDenied)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (LoginFailed(None, "no answer within 10 s"), "did not answer the login (no answer within 10 s)"),
        (LoginFailed(9, "Unknown failure"), "did not take the login (code 9: Unknown failure)"),
        (Ended(30, "slowness"), "ended the session (code 30: slowness)"),
        (Ended(20, "not found"), "ended the session (code 20: not found)"),
    ],
)
def test_every_other_end_is_worth_another_try_and_says_why(end: LoginFailed | Ended, said: str) -> None:
    """What a new session may cure is SessionLost, with Schwab's own words."""
    error = error_of(end)
    assert isinstance(error, SessionLost)
    assert said in str(error)


def test_the_codes_that_end_a_session_all_mean_something() -> None:
    """Each ending code has an error that the supervisor can go on after."""
    for code in ENDING_CODES:
        assert isinstance(error_of(Ended(code, "")), SchwabUnavailable | Evicted)


CUT = SessionLost("the streamer closed the connection (no close frame)", unexplained=True)


def judged(cut: CutSessions, error: SchwabStreamError = CUT, after_s: float | None = 2.0, times: int = 1) -> list[bool]:
    """Whether each of these ends in a row is taken for an eviction."""
    return [isinstance(cut.judge(error, after_s), Evicted) for _ in range(times)]


@pytest.mark.parametrize("after_s", [0.0, 2.0, SHORT_S - 1])
def test_a_row_of_sessions_cut_soon_after_their_login_is_taken_for_an_eviction(after_s: float) -> None:
    """The last of the row and each one after it is an eviction without its notice; the message says what is known."""
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
