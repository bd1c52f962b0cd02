"""What Schwab says in userPreference (protocol 2.1): the streamer, what a LOGIN needs, what the account may see.

It comes as an object in practice, as a list of them in Schwab's own description, and holds account numbers, which
nothing here returns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schwabstream.errors import ProtocolError
from schwabstream.protocol.session import StreamerLogin

SIGN = "sign the market data agreements at schwab.com"
ASK_FOR_LEVEL2 = "ask Schwab for level 2 if books are needed; ticks need none"
_NO_STREAMER = "Schwab's userPreference names no streamer; if it lasts, report it"
_KINDS = {"NP": "non-professional", "PP": "professional", "PN": "professional, not paying"}


@dataclass(frozen=True, slots=True)
class Entitlements:
    """What an account may see; ``market_data`` is the kind of its permission, None when Schwab names none we know."""

    level2: bool
    market_data: str | None

    def missing(self) -> dict[str, str]:
        """What data lacks because of them, and what to do about it, by a word for programs."""
        found = {}
        if not self.level2:
            found["no_level2"] = (
                f"this account has no level 2, so books of equities and options stay empty: {ASK_FOR_LEVEL2}"
            )
        if self.market_data is None:
            found["no_market_data"] = (
                f"Schwab names no market data permission for this account, so quotes may be delayed: {SIGN}"
            )
        return found


def read_entitlements(content: Any) -> Entitlements:
    """Return what the account may see; what userPreference does not grant counts as not granted."""
    offer = first(_preference(content).get("offers"))
    return Entitlements(offer.get("level2Permissions") is True, _KINDS.get(str(offer.get("mktDataPermission"))))


def read_streamer_login(content: Any, access_token: str, correl_id: str) -> StreamerLogin:
    """Return the login, with ``correl_id`` unless Schwab names one; ``ProtocolError`` when no streamer is named."""
    info = first(_preference(content).get("streamerInfo"))
    names = ("streamerSocketUrl", "schwabClientCustomerId", "schwabClientChannel", "schwabClientFunctionId")
    values = [info.get(name) for name in names]
    if not all(isinstance(value, str) and value for value in values):
        raise ProtocolError(_NO_STREAMER)
    socket_url, customer_id, channel, function_id = map(str, values)
    named = str(info.get("schwabClientCorrelId") or correl_id)
    return StreamerLogin(socket_url, customer_id, named, channel, function_id, access_token)


def first(entries: Any) -> Mapping[str, Any]:
    """The first object of a list; an empty one when there is none."""
    entry = entries[0] if isinstance(entries, list) and entries else None
    return entry if isinstance(entry, dict) else {}


def _preference(content: Any) -> Mapping[str, Any]:
    return first(content) if isinstance(content, list) else first([content])
