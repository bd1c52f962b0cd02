"""A recording served instead of made-up prices: its frames at its own pace, to every client that subscribes.

Sessions, logins and answers stay the simulator's own; only data comes from the tape. It begins with the first
subscription; a client that subscribes later gets each key's state so far, as Schwab does (protocol 3.5).
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from schwabstream.simulator.faults import Faults
from schwabstream.simulator.feed import BOOKS, CHARTS, Entry, Feed
from schwabstream.simulator.market import Market
from schwabstream.simulator.pulse import Pulse
from schwabstream.simulator.record import Received
from schwabstream.simulator.streamer import Session

if TYPE_CHECKING:
    from schwabstream.simulator.server import SchwabSimulator

_FRAMES_PER_TURN = 100


@dataclass(frozen=True, slots=True)
class Tape:
    """What to play: ``frames`` gives the data frames with their times in microseconds, from the beginning each time.

    ``services`` are those that had data; all others are unavailable (code 11), as they were.
    """

    frames: Callable[[], Iterator[tuple[int, str | bytes]]]
    services: frozenset[str]
    speed: float = 1.0
    loop: bool = False


class TapeFeed(Feed):
    """Hands recorded frames to sessions, each only what it subscribed to."""

    def __init__(
        self, tape: Tape, market: Market, faults: Faults, received: Received, rng: random.Random, seed: int
    ) -> None:
        super().__init__(market, faults, received, rng, seed)
        self._tape = tape
        self._known: dict[str, dict[str, Entry]] = {}
        self.wanted = asyncio.Event()

    def serves(self, service: str) -> bool:
        """Whether the recording has data of this service."""
        return service in self._tape.services

    def send_snapshot(self, session: Session, service: str, keys: Iterable[str]) -> None:
        """What the tape has said of the keys so far; it begins to run when this is asked for the first time."""
        known, subscribed = self._known.get(service, {}), session.subscriptions.get(service, {})
        entries = []
        for key in keys:
            session.awaiting.discard((service, key))
            if key in known and (fields := subscribed.get(key)) is not None:
                entries.append(_asked_for(known[key], fields))
        if entries:
            self._send(session, {service: entries})
        self.wanted.set()

    def play(self, sessions: Iterable[Session], frame: str | bytes) -> None:
        """One recorded frame to everyone it concerns; one that is not JSON goes to all, as it stands."""
        try:
            messages = orjson.loads(frame)["data"]
            for message in messages:
                self._remember(message["service"], message["content"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            messages = None
        for session in sessions:
            if messages is None:
                session.socket.send(frame)
                continue
            asked = [part for message in messages if (part := _part(session, message)) is not None]
            if asked == messages:
                # Nothing was left out, so it goes byte for byte, unless a switch is to spoil it.
                self._received.frames_sent += 1
                session.socket.send(frame)
            elif asked:
                self.send_frame(session, asked)

    def forget(self) -> None:
        """Know nothing any more: the tape begins again."""
        self._known.clear()

    def _remember(self, service: str, content: list[Entry]) -> None:
        if service in CHARTS:
            return
        known = self._known.setdefault(service, {})
        for entry in content:
            if service in BOOKS:
                known[entry["key"]] = entry
            else:
                known.setdefault(entry["key"], {}).update(entry)


class TapePlayer(Pulse):
    """Plays the tape in place of made-up prices."""

    def __init__(self, simulator: "SchwabSimulator", feed: TapeFeed, tape: Tape) -> None:
        super().__init__(simulator)
        self._feed, self._tape = feed, tape

    def step(self) -> None:
        """Nothing: a recording moves at its own pace."""

    async def _run(self) -> None:
        await self._feed.wanted.wait()
        await self._play()
        while self._tape.loop:
            # An empty tape must not keep the loop from everything else.
            await asyncio.sleep(0.01)
            self._feed.forget()
            await self._play()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        first_us: int | None = None
        for number, (at_us, frame) in enumerate(self._tape.frames()):
            first_us = at_us if first_us is None else first_us
            delay_s = began + (at_us - first_us) / 1e6 / self._tape.speed - loop.time()
            if delay_s > 0 or number % _FRAMES_PER_TURN == 0:
                await asyncio.sleep(max(0.0, delay_s))
            self._feed.play(self._simulator.live_sessions(), frame)


def _part(session: Session, message: dict[str, Any]) -> dict[str, Any] | None:
    """The message with what this session asked for; None when that is nothing."""
    service = message["service"]
    subscribed = session.subscriptions.get(service)
    if not subscribed:
        return None
    entries = [
        _asked_for(entry, subscribed[entry["key"]])
        for entry in message["content"]
        if entry["key"] in subscribed and (service, entry["key"]) not in session.awaiting
    ]
    return {**message, "content": entries} if entries else None


def _asked_for(entry: Entry, fields: frozenset[str]) -> Entry:
    return {name: value for name, value in entry.items() if name in fields or not name.isdigit()}
