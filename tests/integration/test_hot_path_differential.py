"""The fast path from frame to Redis against the slow model: whatever arrives, the same events, everywhere they go.

``DIFFERENTIAL_FRAMES=100000`` runs as many frames as one likes; the default keeps the suite short.
"""

import asyncio
import os
import random
import socket
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import hiredis
import pytest
import redis

from schwabstream.clock import LIVE_CLOCK
from schwabstream.events import Channel, parse_event
from schwabstream.market.last_values import LastValues
from schwabstream.protocol.codec import Batch, decode
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.publisher import TradingEventPublisher
from tests.support.random_frames import SERVICE_OF_KEY, RandomFrames
from tests.support.slow_model import SlowMarket
from tests.support.waiting import DEADLINE_S, until

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

FRAMES = int(os.environ.get("DIFFERENTIAL_FRAMES", "3000"))
ROUND = 500
CHANNELS = ("ticks", "level2", "bars")
ALIASES = ("/ES:XCME", "/ES", "/NQZ5:XCME", "AAPL", "aapl", "AAPL  271217C00200000", "EUR/USD")
SYMBOLS = parse_symbols(ALIASES, date(2025, 12, 7))


class Listener:
    """What Redis gives a subscriber, byte for byte."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self._reader = hiredis.Reader()
        names = " ".join(f"market_data:{channel}" for channel in CHANNELS)
        self._socket.sendall(f"SUBSCRIBE {names}\r\n".encode())
        for _ in CHANNELS:
            self._next()

    def take(self, count: int) -> dict[str, list[bytes]]:
        """The next so many messages, by channel."""
        heard: dict[str, list[bytes]] = {channel: [] for channel in CHANNELS}
        for _ in range(count):
            _, name, payload = self._next()
            heard[name.decode().rpartition(":")[2]].append(payload)
        return heard

    def close(self) -> None:
        """Hear nothing more."""
        self._socket.close()

    def _next(self) -> Any:
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 16))
        return reply


class Fast:
    """The program's own way, as far as Redis."""

    def __init__(self, server: RedisServer) -> None:
        self.publisher = TradingEventPublisher(
            server.url, stream_maxlen=10**9, clock=replace(LIVE_CLOCK, wall=lambda: 0.0)
        )
        self.market = LastValues(SYMBOLS, self.publisher.publish)
        self._redis: Any = redis.Redis(port=server.port)
        self._read_to = dict.fromkeys(CHANNELS, b"-")
        self._listener = Listener(server.port)

    def receive(self, frame: str | bytes, at_us: int) -> None:
        """Take in one frame."""
        for message in decode(frame):
            if isinstance(message, Batch):
                self.market.apply(message, at_us)

    async def written(self) -> dict[str, list[bytes]]:
        """What has newly come into Redis, once everything is there; streams and subscribers agree."""
        await until(lambda: not self.publisher.queued, every_s=0)
        events = {channel: self._from_stream(channel) for channel in CHANNELS}
        assert self._listener.take(sum(map(len, events.values()))) == events
        return events

    def last(self, channel: str) -> dict[bytes, bytes]:
        """The last value of each symbol."""
        values: dict[bytes, bytes] = self._redis.hgetall(f"market_data:last:{channel}")
        return values

    def close(self) -> None:
        """Let go of Redis."""
        self._listener.close()
        self._redis.close()

    def _from_stream(self, channel: str) -> list[bytes]:
        entries = self._redis.xrange(f"market_data:stream:{channel}", min=self._read_to[channel])
        if entries:
            self._read_to[channel] = b"(" + entries[-1][0]
        return [fields[b"event"] for _, fields in entries]


@pytest.mark.timeout(1200)
async def test_the_fast_path_equals_the_slow_model(redis_server: RedisServer) -> None:
    """Random frames, garbage among them, leave the same numbered events in Redis as the slow model makes of them."""
    frames, chance = RandomFrames(seed=20251207), random.Random(7)
    fast, slow = Fast(redis_server), SlowMarket(SYMBOLS)
    await fast.publisher.connect()
    writing = asyncio.create_task(fast.publisher.run())
    at_us, events = 1_765_083_430_000_000, 0
    try:
        for _ in range(max(1, FRAMES // ROUND)):
            _something_else(chance, fast.market, slow)
            for _ in range(ROUND):
                frame, at_us = frames.next(), at_us + chance.randrange(10_000)
                fast.receive(frame, at_us)
                slow.receive(frame, at_us)
            events += await _agree(fast, slow)
        assert events > 2 * FRAMES
        assert fast.market.counts["bad books"]
        assert fast.market.counts["bad values"]
    finally:
        fast.publisher.stop()
        await writing
        await fast.publisher.close()
        fast.close()


async def _agree(fast: Fast, slow: SlowMarket) -> int:
    """Hold what is newly in Redis against the slow model's events; returns how many they were."""
    count = 0
    for channel, payloads in (await fast.written()).items():
        expected, slow.events[channel] = slow.events[channel], []
        newest: dict[bytes, bytes] = {}
        for payload, event in zip(payloads, expected, strict=True):
            assert parse_event(payload) == event, payload
            newest[str(event.symbol).encode()] = payload
        if channel != "bars":
            assert fast.last(channel).items() >= newest.items()
        count += len(payloads)
    return count


def _something_else(chance: random.Random, market: LastValues, slow: SlowMarket) -> None:
    """What happens beside frames: a new session, depth refused, a quiet symbol."""
    key = chance.choice(list(SERVICE_OF_KEY))
    match chance.randrange(3):
        case 0:
            market.begin_session()
            slow.begin_session()
        case 1:
            market.use_top_of_book([key])
            slow.use_top_of_book(key)
        case _:
            market.repeat(market.instruments[key])
            slow.repeat(key)


def test_channels_of_the_market_are_known() -> None:
    """A channel whose events come from merged state is compared here; the others have none to merge."""
    without_state = {"status", "screeners", "account"}
    assert {*CHANNELS} | without_state == {str(channel) for channel in Channel}
