"""The hash of instruments: the newest InstrumentEvent of each symbol, until Redis has it. No I/O."""

from collections.abc import Iterable
from typing import Any

import orjson

from schwabstream.publishing.packing import bulk, command


class InstrumentHash:
    """The InstrumentEvents that Redis does not have yet, the newest of each symbol; they go into the hash ``key``.

    They are not in the queue of events: what rarely changes must survive an outage that the queue does not.
    """

    def __init__(self, prefix: str) -> None:
        self.key = f"{prefix}:instruments"
        self._queued: dict[str, bytes] = {}
        self._in_flight: dict[str, bytes] = {}

    def add(self, events: Iterable[dict[str, Any]]) -> None:
        """Queue events, each in place of an earlier one of its symbol."""
        for event in events:
            self._queued[event["symbol"]] = bulk(event["symbol"].encode()) + bulk(orjson.dumps(event))

    def load(self) -> list[bytes]:
        """The command that writes all that Redis does not have, in a list; an empty list when there is nothing."""
        self._in_flight.update(self._queued)
        self._queued.clear()
        events = self._in_flight.values()
        return [command("HSET", self.key, more=2 * len(events)) + b"".join(events)] if events else []

    @property
    def in_flight(self) -> bool:
        """Whether the last :meth:`load` had a command that :meth:`written` has not confirmed."""
        return bool(self._in_flight)

    def written(self) -> None:
        """Forget what the last :meth:`load` returned: Redis has it."""
        self._in_flight.clear()
