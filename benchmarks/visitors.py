"""Consumers that come and go at random, against the simulator's own list of subscriptions; exits 1 when they differ.

A simulator that refuses a second command in flight, a real Redis and ``stream run`` are processes of their own. Each
consumer listens to the channels of some symbols for a while, and then of others. Once a second, what the simulator
has subscribed is compared with what is wanted now, and was wanted within the grace of a minute.
"""

import argparse
import asyncio
import json
import random
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from benchmarks.processes import resident_mib
from benchmarks.simulated import START_S, Streamer, simulated_streamer

CONFIGURED = ("AAPL", "/MNQ:XCME")
OFFERED = tuple(f"Q{first}{second}X" for first in "ABCDEFGH" for second in "ABCDE")
CONSUMERS = 10
LATEST_S, GRACE_S = 5.0, 60.0 + 10.0


class Wanted:
    """When each symbol was wanted: how many listen now, since when, and until when somebody did."""

    def __init__(self) -> None:
        self.listeners: Counter[str] = Counter()
        self.since: dict[str, float] = {}
        self.until: dict[str, float] = {}

    def add(self, symbols: list[str]) -> None:
        """Note that one more consumer listens to these."""
        for symbol in symbols:
            if not self.listeners[symbol]:
                self.since[symbol] = time.monotonic()
            self.listeners[symbol] += 1

    def remove(self, symbols: list[str]) -> None:
        """Note that a consumer listens to these no longer."""
        for symbol in symbols:
            self.listeners[symbol] -= 1
            self.until[symbol] = time.monotonic()

    def differences(self, subscribed: set[str]) -> list[str]:
        """What is missing for longer than it takes, and what is left after the grace."""
        now = time.monotonic()
        wanted = {symbol for symbol, count in self.listeners.items() if count}
        late = [f"{each} is missing" for each in wanted - subscribed if now - self.since[each] > LATEST_S]
        left = subscribed - wanted - {"AAPL", "/MNQ"}
        return late + [f"{each} is left" for each in left if now - self.until.get(each, 0.0) > GRACE_S]


def main() -> None:
    """Run for some minutes and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.visitors", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=14)
    options = parser.parse_args()
    with simulated_streamer(CONFIGURED, serial_commands=True, command_delay_s=0.05) as streamer:
        figures = asyncio.run(_measure(streamer, options.minutes, options.seed))
    print(json.dumps(figures, indent=1))
    raise SystemExit(1 if figures["differences"] or figures["jumps"] or figures["refused_commands"] else 0)


async def _measure(streamer: Streamer, minutes: float, seed: int) -> dict[str, Any]:
    wanted, seen = Wanted(), Counter[str]()
    differences: list[str] = []
    async with Redis.from_url(streamer.redis_url) as client:
        await asyncio.sleep(START_S)
        before = _resources(streamer.pid)
        visitors = [
            asyncio.create_task(_visit(streamer.redis_url, wanted, random.Random(f"{seed} {number}")))
            for number in range(CONSUMERS)
        ]
        listener = asyncio.create_task(_listen(client, seen))
        ends_at, looks = time.monotonic() + 60 * minutes, 0
        while time.monotonic() < ends_at:
            await asyncio.sleep(1.0)
            looks += 1
            differences += wanted.differences(await asyncio.to_thread(_subscribed, streamer.base_url))
        for task in (*visitors, listener):
            task.cancel()
        await asyncio.gather(*visitors, listener, return_exceptions=True)
        report = json.loads(await client.get("market_data:streamer") or b"{}")
    return {
        "looks": looks,
        "differences": differences[:20],
        "jumps": seen["jumps"],
        "ticks": seen["ticks"],
        "symbols": len(wanted.until),
        "status": {name: seen[name] for name in ("subscribed", "released", "refused", "gap", "dropped", "stale")},
        "refused_commands": report.get("counts", {}).get("refused commands", 0),
        "sessions": report.get("sessions"),
        "before": before,
        "after": _resources(streamer.pid),
    }


async def _visit(url: str, wanted: Wanted, chance: random.Random) -> None:
    """Listen to some symbols for a while, again and again, on new connections."""
    while True:
        await asyncio.sleep(chance.uniform(0, 10))
        symbols = chance.sample(OFFERED, chance.randint(1, 5))
        async with Redis.from_url(url) as client, client.pubsub() as channel:
            await channel.subscribe(*(f"market_data:ticks:{symbol}" for symbol in symbols))
            wanted.add(symbols)
            try:
                async with asyncio.timeout(chance.choice((0.5, 5, 20, 60))):
                    async for _ in channel.listen():
                        pass
            except TimeoutError:
                pass
            finally:
                wanted.remove(symbols)


async def _listen(client: Redis, seen: Counter[str]) -> None:
    """Count the jumps of ``seq`` on the shared channel, and the StatusEvents."""
    async with client.pubsub() as channel:
        await channel.subscribe("market_data:ticks", "market_data:status")
        newest: dict[bytes, int] = {}
        async for message in channel.listen():
            if message["type"] != "message":
                continue
            event: dict[str, Any] = json.loads(message["data"])
            name = message["channel"]
            seen["jumps"] += name in newest and event["seq"] != newest[name] + 1
            newest[name] = event["seq"]
            seen["ticks" if event["type"] == "tick" else event["state"]] += 1


def _subscribed(base: str) -> set[str]:
    """The keys of level 1 that the simulator has subscribed."""
    state = json.loads(urllib.request.urlopen(f"{base}/simulator/state").read())
    return {
        key
        for session in state["subscriptions"]
        for service, keys in session.items()
        if service.startswith("LEVELONE")
        for key in keys
    }


def _resources(pid: int) -> dict[str, float]:
    return {"mib": round(resident_mib(pid), 1), "files": len(list(Path(f"/proc/{pid}/fd").iterdir()))}


if __name__ == "__main__":
    main()
