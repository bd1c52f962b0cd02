"""What a later part of a rotated recording needs of the earlier ones, so that it makes sense alone.

Pure. Schwab sends each key's whole state once and then only changes (protocol 3.5), so a part that begins in the middle
of a session would know little of anything. What is carried: this session's commands and answers, and each key's
level 1 as it stands. Books and bars arrive whole and need no past.
"""

from typing import Any

import orjson

from schwabstream.protocol.subscriptions import LEVEL_ONE
from schwabstream.recording.format import Record

_SERVICES = frozenset(map(str, LEVEL_ONE.values()))
_MOST_TALK = 1_000


class Carry:
    """Follows the records of a stream; :meth:`records` is what the next part begins with."""

    def __init__(self) -> None:
        self._talk: list[Record] = []
        self._entries: dict[str, dict[str, dict[str, Any]]] = {}
        self._timestamps: dict[str, int] = {}

    def follow(self, record: Record) -> None:
        """Take one record as it is written."""
        payload = record.payload
        if record.kind == "out":
            if '"command":"LOGIN"' in str(payload):
                self._talk.clear()
            self._keep(record)
        elif record.kind == "in" and isinstance(payload, bytes):
            if payload.startswith(b'{"data"'):
                self._merge(payload)
            elif payload.startswith(b'{"response"'):
                self._keep(record)

    def records(self, at_us: int) -> list[Record]:
        """The state so far, as records of the moment ``at_us``."""
        talk = [record._replace(carried=True) for record in self._talk]
        frames = []
        for service, entries in self._entries.items():
            message = {
                "service": service,
                "timestamp": self._timestamps.get(service),
                "command": "SUBS",
                "content": list(entries.values()),
            }
            frames.append(Record(at_us, "in", orjson.dumps({"data": [message]}), carried=True))
        return talk + frames

    def _keep(self, record: Record) -> None:
        if len(self._talk) < _MOST_TALK:
            self._talk.append(record)

    def _merge(self, frame: bytes) -> None:
        """Overwrite what the frame names; a frame that is not what it should be tells nothing."""
        try:
            for message in orjson.loads(frame)["data"]:
                service = message["service"]
                if service not in _SERVICES:
                    continue
                known = self._entries.setdefault(service, {})
                for entry in message["content"]:
                    known.setdefault(entry["key"], {}).update(entry)
                self._timestamps[service] = message.get("timestamp")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
