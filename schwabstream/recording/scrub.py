"""Removes from frames and commands what must never be on a disk: the access token, session ids, account data.

Pure. The ids and the token are learned from the LOGIN command, which precedes every frame that could contain them, and
are then replaced wherever they appear. A frame with account activity that cannot be parsed is not kept.
"""

import re
from collections import deque
from typing import Any

import orjson

from schwabstream.protocol.codec import decode_requests, encode
from schwabstream.protocol.masking import mask_text

REMOVED = "*"
_ID_FIELDS = ("SchwabClientCustomerId", "SchwabClientCorrelId")
_IDS = re.compile(rb'("SchwabClient\w+"\s*:\s*)"[^"]*"')
_MESSAGES = re.compile(rb'("msg"\s*:\s*")((?:[^"\\]|\\.)*+)')
_ACCOUNT = b"_ACTIVITY"
_NO_ACCOUNT = b'{"data":[{"service":"ACCT_ACTIVITY","command":"SUBS","content":[]}]}'
# A shorter value could appear in prices and names by chance; its own field is emptied in any case.
_SHORTEST_SECRET = 8


class Scrubber:
    """Cleans the frames and commands of one stream, in their order; remembers the secrets of the last few logins."""

    def __init__(self) -> None:
        self._secrets: deque[bytes] = deque(maxlen=9)

    def command(self, text: str) -> str:
        """A command without token and ids; empty when it cannot be parsed."""
        try:
            requests = [dict(request) for request in decode_requests(text)]
        except ValueError:
            return ""
        for request in requests:
            for name in _ID_FIELDS:
                if name in request:
                    request[name] = self._learn(request[name])
            parameters = request.get("parameters")
            if "_ACTIVITY" in str(request.get("service")):
                request["parameters"] = {}
            elif isinstance(parameters, dict) and "Authorization" in parameters:
                request["parameters"] = parameters | {"Authorization": self._learn(parameters["Authorization"])}
        return encode(requests)

    def frame(self, frame: bytes) -> bytes:
        """A frame of the streamer without token, ids and account data; unchanged when it contains none."""
        if _ACCOUNT in frame:
            frame = _without_account_data(frame)
        if b'"SchwabClient' in frame:
            frame = _IDS.sub(rb'\1"*"', frame)
        for secret in self._secrets:
            if secret in frame:
                frame = frame.replace(secret, REMOVED.encode())
        if b'"msg"' in frame and (clean := _MESSAGES.sub(_without_account_numbers, frame)) != frame:
            return clean
        return frame

    def _learn(self, value: object) -> str:
        secret = str(value).encode()
        if len(secret) >= _SHORTEST_SECRET and secret not in self._secrets:
            self._secrets.append(secret)
        return REMOVED


def _without_account_numbers(match: re.Match[bytes]) -> bytes:
    return match[1] + mask_text(match[2].decode(errors="replace")).encode()


def _without_account_data(frame: bytes) -> bytes:
    try:
        envelope = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return _NO_ACCOUNT
    if not isinstance(envelope, dict):
        return _NO_ACCOUNT
    for name, elements in envelope.items():
        if name == "response":
            continue
        if not isinstance(elements, list):
            return _NO_ACCOUNT
        envelope[name] = [_emptied(element) for element in elements]
    return orjson.dumps(envelope)


def _emptied(element: Any) -> Any:
    """The element without content when it concerns an account, or cannot be judged."""
    if not isinstance(element, dict):
        return {}
    if "_ACTIVITY" in str(element.get("service", "_ACTIVITY")):
        return {"service": "ACCT_ACTIVITY", "command": "SUBS", "content": []}
    return element
