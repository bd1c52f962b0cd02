"""The state that a later part of a rotated recording repeats from the earlier ones, so that it can be replayed alone.

Pure. Schwab sends each key's whole state once and then only changes (protocol 3.5), so a part that begins in the middle
of a session would lack most fields. The later part repeats this session's commands and answers, and each key's current
level 1 while it is subscribed. Books and bars are always whole, so they are not repeated.
"""

from typing import Any

import orjson

from schwabstream.protocol.codec import decode_requests
from schwabstream.protocol.subscriptions import LEVEL_ONE
from schwabstream.recording.format import Record

_SERVICES = frozenset(map(str, LEVEL_ONE.values()))
_LONGEST_DIALOGUE = 1_000


class CarryOver:
    """Follows the records of a stream; :meth:`records` is the beginning of the next part."""

    def __init__(self) -> None:
        self._dialogue: list[Record] = []
        self._entries: dict[str, dict[str, dict[str, Any]]] = {}
        self._timestamps: dict[str, int] = {}

    def follow(self, record: Record) -> None:
        """Note one record as it is written."""
        payload = record.payload
        if record.kind == "out":
            if '"command":"LOGIN"' in str(payload):
                self._dialogue.clear()
            if '"command":"UNSUBS"' in str(payload):
                self._forget(str(payload))
            self._keep(record)
        elif record.kind == "in" and isinstance(payload, bytes):
            if payload.startswith(b'{"data"'):
                self._merge(payload)
            elif payload.startswith(b'{"response"'):
                self._keep(record)

    def records(self, at_us: int) -> list[Record]:
        """The current state, as records of the moment ``at_us``."""
        dialogue = [record._replace(repeated=True) for record in self._dialogue]
        frames = []
        for service, entries in self._entries.items():
            message = {
                "service": service,
                "timestamp": self._timestamps.get(service),
                "command": "SUBS",
                "content": list(entries.values()),
            }
            frames.append(Record(at_us, "in", orjson.dumps({"data": [message]}), repeated=True))
        return dialogue + frames

    def _keep(self, record: Record) -> None:
        if len(self._dialogue) < _LONGEST_DIALOGUE:
            self._dialogue.append(record)

    def _forget(self, command: str) -> None:
        """Drop the state of keys that are no longer subscribed."""
        for request in decode_requests(command):
            entries, parameters = self._entries.get(str(request.get("service"))), request.get("parameters")
            if entries and isinstance(parameters, dict):
                for key in str(parameters.get("keys")).split(","):
                    entries.pop(key, None)

    def _merge(self, frame: bytes) -> None:
        """Update the state with a frame; a malformed frame is ignored."""
        try:
            for message in orjson.loads(frame)["data"]:
                service = message["service"]
                if service not in _SERVICES:
                    continue
                by_key = self._entries.setdefault(service, {})
                for entry in message["content"]:
                    by_key.setdefault(entry["key"], {}).update(entry)
                self._timestamps[service] = message.get("timestamp")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
