"""Which tool wrote a token file, and the login it holds: every older format in, a TokenSet out.

Pure. Does not read files, never unpickles, and never guesses an age: where a format does not record the time of the
browser login, the age is unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schwabstream.auth.tokens import ACCESS_LIFE_S, TokenSet, number

OURS = "schwabstream"
_SCHWABDEV_TOKEN = ("access_token", "refresh_token", "id_token", "expires_in", "token_type", "scope")
_ENCRYPTED_BY_SCHWABDEV = "enc:"
_MILLISECONDS_FROM = 1e11


@dataclass(frozen=True, slots=True)
class Found:
    """A login and the format it came in."""

    tokens: TokenSet
    format: str

    @property
    def is_legacy(self) -> bool:
        """Whether the file must be rewritten in the current format."""
        return self.format != OURS


def read_content(content: object) -> Found:
    """Recognize the format of a parsed token file and read it; ``ValueError``, quoting nothing, when it is unknown."""
    if not isinstance(content, Mapping):
        raise ValueError("it holds no JSON object")
    if isinstance(content.get("token_dictionary"), Mapping):
        return Found(_from_schwabdev(content, content["token_dictionary"]), "Schwabdev JSON")
    if isinstance(content.get("token"), Mapping):
        dated = "creation_timestamp" in content
        return Found(TokenSet.from_file(content), OURS if dated else "schwab-py without metadata")
    tokens = TokenSet.from_answer({**content, "expires_at": _moment(content.get("expires_at"))})
    return Found(tokens, "bare OAuth token")


def read_schwabdev_row(row: Mapping[str, Any]) -> Found:
    """Read a row of Schwabdev's SQLite table; ``ValueError`` when it is encrypted or incomplete."""
    if str(row.get("refresh_token") or "").startswith(_ENCRYPTED_BY_SCHWABDEV):
        raise ValueError("Schwabdev encrypted it; log in again instead")
    token = {name: row.get(name) for name in _SCHWABDEV_TOKEN if row.get(name) is not None}
    return Found(_from_schwabdev(row, token), "Schwabdev SQLite")


def _from_schwabdev(issued: Mapping[str, Any], token: Mapping[str, Any]) -> TokenSet:
    access_at = _moment(issued.get("access_token_issued"))
    life_s = number(token.get("expires_in")) or ACCESS_LIFE_S
    expires_at = None if access_at is None else access_at + life_s
    login_at = _moment(issued.get("refresh_token_issued"))
    return TokenSet.from_answer({**token, "expires_at": expires_at}, login_at=login_at)


def _moment(value: object) -> float | None:
    """Read seconds, milliseconds or an ISO time; one without a zone is UTC, as Schwabdev writes it."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return None
        value = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    seconds = number(value)
    if seconds is None or seconds <= 0:
        return None
    return seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds
