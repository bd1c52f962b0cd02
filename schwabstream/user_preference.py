"""What Schwab's userPreference says about the streamer: its address, and the ids that a LOGIN needs (protocol 2.1)."""

from collections.abc import Mapping
from typing import Any

from schwabstream.errors import ProtocolError
from schwabstream.session import StreamerLogin

_NO_STREAMER = "Schwab's userPreference names no streamer; if it lasts, report it"


def read_streamer_login(content: Any, access_token: str, correl_id: str) -> StreamerLogin:  # noqa: ANN401 - JSON
    """Return the login, with ``correl_id`` unless Schwab names one; ``ProtocolError`` when no streamer is named."""
    # An object in practice, a list of them in Schwab's own description.
    preference = content[0] if isinstance(content, list) and content else content
    entries = preference.get("streamerInfo") if isinstance(preference, Mapping) else None
    info = entries[0] if isinstance(entries, list) and entries else None
    if not isinstance(info, Mapping):
        raise ProtocolError(_NO_STREAMER)
    names = ("streamerSocketUrl", "schwabClientCustomerId", "schwabClientChannel", "schwabClientFunctionId")
    values = [info.get(name) for name in names]
    if not all(isinstance(value, str) and value for value in values):
        raise ProtocolError(_NO_STREAMER)
    socket_url, customer_id, channel, function_id = map(str, values)
    named = str(info.get("schwabClientCorrelId") or correl_id)
    return StreamerLogin(socket_url, customer_id, named, channel, function_id, access_token)
