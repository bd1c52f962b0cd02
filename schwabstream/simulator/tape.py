"""A recording served instead of invented prices: its frames, at the recorded pace, to every client that subscribes.

Only data comes from the tape; sessions, logins and answers are the simulator's. The tape starts with the first
subscription. A client that subscribes later gets each key's current state, as at Schwab (protocol 3.5).
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from schwabstream.simulator.feed import BOOKS, CHARTS, Entry, Feed
from schwabstream.simulator.pulse import Pulse
from schwabstream.simulator.streamer import Session

if TYPE_CHECKING:
    from schwabstream.simulator.server import SchwabSimulator

_FRAMES_PER_TURN = 100


@dataclass(frozen=True, slots=True)
class Tape:
    """A recording to serve: each call of ``frames`` yields all data frames, with their times in microseconds.

    ``services`` are the recorded services; all others are unavailable (code 11).
    """

    frames: Callable[[], Iterator[tuple[int, str | bytes]]]
    services: frozenset[str]
    speed: float = 1.0
    loop: bool = False


class TapeFeed(Feed):
    """Sends recorded frames to sessions, each reduced to what the session has subscribed to."""

    def __init__(self, simulator: "SchwabSimulator", seed: int, tape: Tape) -> None:
        super().__init__(simulator, seed)
        self._tape = tape
        self._state: dict[str, dict[str, Entry]] = {}
        self.wanted = asyncio.Event()

    def serves(self, service: str) -> bool:
        """Whether the recording has data of this service."""
        return service in self._tape.services

    def send_snapshot(self, session: Session, service: str, keys: Iterable[str]) -> None:
        """Send the keys' current state on the tape; the first call starts the tape."""
        state, subscribed = self._state.get(service, {}), session.subscriptions.get(service, {})
        entries = []
        for key in keys:
            session.awaiting.discard((service, key))
            if key in state and (fields := subscribed.get(key)) is not None:
                entries.append(_subscribed_part(state[key], fields))
        if entries:
            self._send(session, {service: entries})
        self.wanted.set()

    def play(self, sessions: Iterable[Session], frame: str | bytes) -> None:
        """Send one recorded frame to every session it concerns; one that is not JSON goes to all, unchanged."""
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
                # Nothing was left out, so the frame goes out byte for byte.
                self._received.frames_sent += 1
                session.socket.send(frame)
            elif asked:
                self.send_frame(session, asked)

    def forget(self) -> None:
        """Clear the state: the tape starts again."""
        self._state.clear()

    def _remember(self, service: str, content: list[Entry]) -> None:
        if service in CHARTS:
            return
        state = self._state.setdefault(service, {})
        for entry in content:
            if service in BOOKS:
                state[entry["key"]] = entry
            else:
                state.setdefault(entry["key"], {}).update(entry)


class TapePlayer(Pulse):
    """Plays the tape in place of invented prices."""

    def __init__(self, simulator: "SchwabSimulator", feed: TapeFeed, tape: Tape) -> None:
        super().__init__(simulator)
        self._feed, self._tape = feed, tape

    def step(self) -> None:
        """Do nothing: a recording has its own pace."""

    async def _run(self) -> None:
        await self._feed.wanted.wait()
        await self._play()
        while self._tape.loop:
            # An empty tape must not block the event loop.
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
    """The message with the subscribed entries; None without any."""
    service = message["service"]
    subscribed = session.subscriptions.get(service)
    if not subscribed:
        return None
    entries = [
        _subscribed_part(entry, subscribed[entry["key"]])
        for entry in message["content"]
        if entry["key"] in subscribed and (service, entry["key"]) not in session.awaiting
    ]
    return {**message, "content": entries} if entries else None


def _subscribed_part(entry: Entry, fields: frozenset[str]) -> Entry:
    return {name: value for name, value in entry.items() if name in fields or not name.isdigit()}
