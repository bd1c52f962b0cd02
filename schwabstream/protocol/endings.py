"""What the end of a session means for the next one, as the error that the supervisor acts on (protocol 3.4); pure."""

from schwabstream.errors import Evicted, LoginDenied, SchwabStreamError, SessionLost
from schwabstream.protocol.session import EVICTED, LOGIN_DENIED, STOP_STREAMING, STREAM_NOT_FOUND, Ended, LoginFailed

ENDING_CODES = frozenset({LOGIN_DENIED, EVICTED, STREAM_NOT_FOUND, STOP_STREAMING})
"""Codes after which a session is of no more use, whatever they answer."""
SHORT_S = 120.0
"""Another program that takes the connection back does so within its own longest wait, mostly a minute or less."""
SHORT_SESSIONS = 5


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
