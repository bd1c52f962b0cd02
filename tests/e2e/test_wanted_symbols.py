"""Symbols that are wanted from a running ``stream run``: by a listener, by a wish in Redis, by 100,000."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from schwabstream.report import StreamerReport, parse_report
from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.waiting import until

COMMAND = shutil.which("schwabstream", path=str(Path(sys.executable).parent)) or "schwabstream"


class Running:
    """One streamer of AAPL, its Redis, and every tick that a subscriber of all symbols has received."""

    def __init__(self, server: RedisServer, redis: "Redis") -> None:
        self.server, self.redis = server, redis
        self.ticks: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Take in the ticks of the shared channel until cancelled."""
        async with self.redis.pubsub(ignore_subscribe_messages=True) as listener:
            await listener.subscribe("market_data:ticks")
            async for message in listener.listen():
                self.ticks.append(orjson.loads(message["data"]))

    def ticks_of(self, symbol: str) -> list[dict[str, Any]]:
        """The ticks of one symbol."""
        return [tick for tick in self.ticks if tick["symbol"] == symbol]

    def report(self) -> StreamerReport | None:
        """The streamer's newest report."""
        text: Any = self.server.client.get("market_data:streamer")
        return parse_report(text) if text else None

    def statuses(self, state: str) -> list[dict[str, Any]]:
        """The StatusEvents of one state, from the stream."""
        entries: Any = self.server.client.xrange("market_data:stream:status")
        events = [json.loads(entry["event"]) for _, entry in entries]
        return [event for event in events if event["state"] == state]


@pytest.fixture
async def running(pointed: dict[str, str], redis_server: RedisServer) -> AsyncIterator[Running]:
    """The installed command, streaming."""
    redis = Redis.from_url(redis_server.url, socket_timeout=None)
    it = Running(redis_server, redis)
    listening = asyncio.create_task(it.listen())
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *("stream", "run", "--symbols", "AAPL"),
        env=os.environ | pointed | {"SCHWAB_REDIS_SYMBOL_CHANNELS": "true"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await until(lambda: bool(it.ticks_of("AAPL")), show=lambda: process.returncode, within_s=60)
    yield it
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    listening.cancel()
    await asyncio.wait({listening})
    await redis.aclose()


async def test_a_listener_of_a_symbol_channel_gets_its_symbol(running: Running, simulator: SchwabSimulator) -> None:
    """SUBSCRIBE is enough: the symbol's ticks come, no other symbol is subscribed again, and ``seq`` is unbroken."""
    async with running.redis.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe("market_data:ticks:NVDA")
        await until(lambda: bool(running.ticks_of("NVDA")), show=lambda: simulator.received.commands, within_s=30)
    assert simulator.subscribed("LEVELONE_EQUITIES") == ["AAPL", "NVDA"]
    subs = [each["parameters"]["keys"] for each in simulator.received.sent("LEVELONE_EQUITIES", "SUBS")]
    assert subs == ["AAPL"]
    assert simulator.connections_total == 1
    sequence = [tick["seq"] for tick in running.ticks]
    assert all(after == before + 1 for before, after in itertools.pairwise(sequence))
    await until(lambda: bool(running.statuses("subscribed")), show=running.report)
    assert [event["symbol"] for event in running.statuses("subscribed")] == ["NVDA"]
    assert not running.statuses("gap")


async def test_members_of_the_set_are_streamed_or_refused_by_name(running: Running) -> None:
    """A wish in the sorted set is met; a text that cannot be a symbol is refused in report and StatusEvent."""
    running.server.client.zadd("market_data:wanted", {"SPY": "+inf", "no symbol!": "+inf"})
    await until(lambda: bool(running.ticks_of("SPY")), show=running.report, within_s=30)

    def shown() -> bool:
        report = running.report()
        row = report.symbol("SPY") if report else None
        return row is not None and row.source == "added" and row.services[0] == "LEVELONE_EQUITIES"

    await until(shown, show=running.report)
    report = running.report()
    assert report is not None
    assert list(report.refused) == ["no symbol!"]
    (refusal,) = running.statuses("refused")
    assert (refusal["symbol"], refusal["detail"]) == ("no symbol!", "not-a-symbol")


async def test_a_flood_of_wishes_stops_no_tick(running: Running, simulator: SchwabSimulator) -> None:
    """With 100,000 members the limit holds, configured symbols keep ticking, and commands stay few."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    names = ["".join(word) for word in itertools.islice(itertools.product(letters, repeat=5), 100_000)]
    for start in range(0, len(names), 10_000):
        running.server.client.zadd("market_data:wanted", dict.fromkeys(names[start : start + 10_000], "+inf"))
    await until(lambda: len(simulator.subscribed("LEVELONE_EQUITIES")) == 500, show=running.report, within_s=60)
    before = len(running.ticks_of("AAPL"))
    await until(lambda: len(running.ticks_of("AAPL")) > before + 5, show=running.report, within_s=60)
    assert simulator.subscribed("LEVELONE_EQUITIES")[0] == "AAPL"
    assert simulator.connections_total == 1
    sequence = [tick["seq"] for tick in running.ticks]
    assert all(after == before + 1 for before, after in itertools.pairwise(sequence))
