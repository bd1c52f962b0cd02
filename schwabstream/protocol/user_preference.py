"""Reads userPreference (protocol 2.1): the streamer's address, the parameters of LOGIN, the account's entitlements.

Schwab sends an object, though its documentation shows a list of objects. It contains account numbers, which no function
here returns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schwabstream.errors import ProtocolError
from schwabstream.protocol.session import StreamerLogin

SIGN = "sign the market data agreements at schwab.com"
ASK_FOR_LEVEL2 = "ask Schwab for level 2 if books are needed; ticks need none"
_NO_STREAMER = "Schwab's userPreference names no streamer; if this persists, report it"
_KINDS = {"NP": "non-professional", "PP": "professional", "PN": "professional, not paying"}


@dataclass(frozen=True, slots=True)
class Entitlements:
    """The entitlements of an account; ``market_data`` is the kind of its permission, None for an unknown one."""

    level2: bool
    market_data: str | None

    def missing(self) -> dict[str, str]:
        """A sentence for each missing entitlement, with the next step, by a word for programs."""
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
    """The entitlements that userPreference grants."""
    offer = first(_preference(content).get("offers"))
    return Entitlements(offer.get("level2Permissions") is True, _KINDS.get(str(offer.get("mktDataPermission"))))


def read_streamer_login(content: Any, access_token: str, correl_id: str) -> StreamerLogin:
    """The login, with ``correl_id`` unless Schwab sends one; raises ``ProtocolError`` when no streamer is named."""
    info = first(_preference(content).get("streamerInfo"))
    names = ("streamerSocketUrl", "schwabClientCustomerId", "schwabClientChannel", "schwabClientFunctionId")
    values = [info.get(name) for name in names]
    if not all(isinstance(value, str) and value for value in values):
        raise ProtocolError(_NO_STREAMER)
    socket_url, customer_id, channel, function_id = map(str, values)
    named = str(info.get("schwabClientCorrelId") or correl_id)
    return StreamerLogin(socket_url, customer_id, named, channel, function_id, access_token)


def first(entries: Any) -> Mapping[str, Any]:
    """The first object of a list; an empty one when the list has none."""
    entry = entries[0] if isinstance(entries, list) and entries else None
    return entry if isinstance(entry, dict) else {}


def _preference(content: Any) -> Mapping[str, Any]:
    return first(content) if isinstance(content, list) else first([content])
