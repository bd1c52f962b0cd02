"""What the streamers of a play published, what its readers received, and what Redis wrote, to be judged afterwards."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson

from schwabstream.events import StatusEvent
from schwabstream.publishing.publisher import TradingEventPublisher


@dataclass(eq=False)
class Run:
    """One run of a publisher: what it numbered, and what became of the run."""

    number: int
    streamer: str
    publisher: TradingEventPublisher
    published: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    statuses: list[dict[str, Any]] = field(default_factory=list)
    began: float = 0.0
    ended: float | None = None
    error: BaseException | None = None
    killed: bool = False

    def take(self, payload: bytes) -> None:
        """Note one event as it is published."""
        event = orjson.loads(payload)
        channel = _CHANNEL_OF[event["type"]]
        self.published[channel].append(event["seq"])
        if channel == "status":
            self.statuses.append(event)


_CHANNEL_OF = {"tick": "ticks", "level2": "level2", "bar": "bars", "status": "status", "screener": "screeners"}
_CHANNEL_OF |= {"account": "account"}


@dataclass(eq=False)
class Heard:
    """What one reader got: for each channel the ``seq`` in order, and the reports of gaps."""

    events: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    gaps: list[StatusEvent] = field(default_factory=list)
    error: BaseException | None = None
    story: list[tuple[float, str, int, str]] = field(default_factory=list)

    def take(self, event: Any) -> None:
        """Note one event."""
        self.story.append((asyncio.get_running_loop().time(), event.type, event.seq, getattr(event, "reason", "")))
        if isinstance(event, StatusEvent) and event.seq == 0:
            self.gaps.append(event)
        else:
            self.events[_CHANNEL_OF[event.type]].append(event.seq)


class Ledger:
    """All runs, all that readers got, and what the writers did to Redis."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.heard: dict[str, Heard] = defaultdict(Heard)
        self.written: dict[tuple[str, int], list[float]] = defaultdict(list)

    def write(self, key: bytes, payload: bytes, now: float) -> None:
        """Note one entry that Redis added to a stream."""
        channel = key.decode().rpartition(":")[2]
        self.written[channel, orjson.loads(payload)["seq"]].append(now)

    def begin(self, streamer: str, now: float) -> Run:
        """A publisher begins."""
        self.runs.append(Run(len(self.runs), streamer, None, began=now))  # type: ignore[arg-type]  # set at once
        return self.runs[-1]
