"""The state of a Schwab token at a given moment: valid, due for a refresh, due for a new login.

Pure: the clock is an argument (seconds since the epoch). An access token lives 1800 s, and the login behind it 7 days,
counted from the browser login and not extended by refreshing (protocol 1.3). Schwab does not rotate the refresh token;
if it ever does, the new one is kept.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeGuard

LOG_IN = "log in: schwabstream auth login"
ACCESS_LIFE_S = 1800
LOGIN_LIFE_S = 7 * 24 * 3600
LOGIN_WARNING_S = 24 * 3600
LEEWAY_S = 60

_TOKEN = re.compile(r"[\x21-\x7e]+")
_LARGEST = 1e15
_OWN_MEMBERS = frozenset({"access_token", "refresh_token", "expires_at"})


def fingerprint(secret: str) -> str:
    """Eight hexadecimal digits that distinguish two tokens and reveal nothing of them."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def is_token(value: object) -> TypeGuard[str]:
    """Whether the value could be a token: printable ASCII without blanks, as a header requires."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def number(value: object) -> float | None:
    """Return the value as a float when it is a number of a plausible size (NaN is not), else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LARGEST else None


@dataclass(frozen=True, slots=True)
class TokenSet:
    """One login's tokens; times in seconds since the epoch.

    ``login_at`` is the moment of the browser login, None when it is unknown. ``extra`` holds the other members that
    Schwab sent (``scope``, ``id_token``, ...) and is written back unchanged. No token appears in ``repr``.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    login_at: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_file(cls, content: Mapping[str, Any]) -> Self:
        """Read the content of a token file; ``ValueError`` names the problem without quoting the file.

        A ``creation_timestamp`` of 0, null or any other non-time means that the age of the login is unknown.
        """
        token = content.get("token")
        if not isinstance(token, Mapping):
            raise ValueError("it has no member 'token'")
        login_at = number(content.get("creation_timestamp"))
        return cls.from_answer(token, login_at=login_at if login_at and login_at > 0 else None)

    @classmethod
    def from_answer(
        cls,
        answer: Mapping[str, Any],
        *,
        now: float | None = None,
        refresh_token: str = "",
        login_at: float | None = None,
    ) -> Self:
        """Read an OAuth token object; ``now`` is when it was requested, from which ``expires_in`` counts.

        Without ``now`` the object's own ``expires_at`` counts; an object without one has expired.
        ``refresh_token`` is kept when the answer has none. ``ValueError`` when a token is missing.
        """
        access, refresh = answer.get("access_token"), answer.get("refresh_token") or refresh_token
        if not (is_token(access) and is_token(refresh)):
            raise ValueError("it holds no access token or no refresh token")
        expires_at = number(answer.get("expires_at"))
        if now is not None:
            # Whole seconds, as in the file: what was saved equals what is loaded.
            expires_at = int(now + (number(answer.get("expires_in")) or ACCESS_LIFE_S))
        extra = {name: value for name, value in answer.items() if name not in _OWN_MEMBERS}
        return cls(access, refresh, expires_at or 0.0, login_at, extra)

    def to_file(self) -> dict[str, Any]:
        """Return the content of a token file in schwab-py's format; an unknown login time is written as 0."""
        token = {
            **self.extra,
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_at": int(self.expires_at),
        }
        # 0 and not null: schwab-py subtracts this number, and asks for a new login when the result is large.
        return {"creation_timestamp": int(self.login_at or 0), "token": token}

    def refreshed(self, answer: Mapping[str, Any], now: float) -> Self:
        """Return these tokens after a refresh requested at ``now``, with the same login time."""
        merged = {**self.extra, **{name: value for name, value in answer.items() if value is not None}}
        return type(self).from_answer(merged, now=now, refresh_token=self.refresh_token, login_at=self.login_at)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the access token, safe to show."""
        return fingerprint(self.access_token)

    @property
    def login_due_at(self) -> float | None:
        """When the next browser login is due at the latest, None when that is unknown."""
        return None if self.login_at is None else self.login_at + LOGIN_LIFE_S

    def is_valid(self, now: float, leeway_s: float = LEEWAY_S) -> bool:
        """Whether the access token still lives ``leeway_s`` from now."""
        return now + leeway_s < self.expires_at

    def refresh_at(self, interval_s: float, leeway_s: float = LEEWAY_S) -> float:
        """When to refresh: ``interval_s`` after the access token was issued, and always before it expires."""
        life_s = number(self.extra.get("expires_in")) or ACCESS_LIFE_S
        return min(self.expires_at - life_s + interval_s, self.expires_at - leeway_s)

    def refresh_due(self, now: float, interval_s: float) -> bool:
        """Whether the background refresh should happen now."""
        return now >= self.refresh_at(interval_s)

    def login_due_in_s(self, now: float) -> float | None:
        """Seconds until the next browser login is due; negative when overdue, None when that is unknown."""
        return None if self.login_due_at is None else self.login_due_at - now

    def login_due_soon(self, now: float) -> bool:
        """Whether the user should log in within the next 24 hours, or is overdue."""
        return self.login_reminder(now) is not None

    def login_reminder(self, now: float) -> str | None:
        """Return the sentence that asks the user to log in, from a day before the login ends; None until then."""
        return login_reminder(self.login_due_in_s(now))


def login_reminder(left_s: float | None) -> str | None:
    """Return the reminder for the seconds until the login ends; None when that is more than a day away, or unknown.

    The log, the StatusEvent, the alert and the live table all show it.
    """
    if left_s is None or left_s > LOGIN_WARNING_S:
        return None
    if left_s <= 0:
        return "a new login is overdue: schwabstream auth login"
    hours, minutes = divmod(int(left_s / 60), 60)
    return f"a new login is due in {hours} h {minutes} min: schwabstream auth login"
