"""What the end of a session means for the next one, as the error that the supervisor acts on (protocol 3.4); pure."""

from schwabstream.errors import Evicted, LoginDenied, SchwabStreamError, SessionLost
from schwabstream.session import EVICTED, LOGIN_DENIED, STOP_STREAMING, STREAM_NOT_FOUND, Ended, LoginFailed

ENDING_CODES = frozenset({LOGIN_DENIED, EVICTED, STREAM_NOT_FOUND, STOP_STREAMING})
"""Codes after which a session is of no more use, whatever they answer."""


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
