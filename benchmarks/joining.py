"""From SUBSCRIBE to the first tick of a symbol nobody streamed, and what the other symbols notice of it.

A simulator with a round trip of 100 ms, a real Redis and ``stream run`` are processes of their own. First nothing is
added for a while, then ``--times`` symbols, one after the other; in both, every tick of the configured symbols is
checked for jumps of ``seq`` and timed from its receipt by the streamer to its arrival here.
"""

import argparse
import asyncio
import json
import random
import statistics
import string
import time
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from benchmarks.simulated import START_S, simulated_streamer

CONFIGURED = ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME", "AAPL", "MSFT", "NVDA", "TSLA", "AMD", "SPY", "QQQ"]
ROUND_TRIP_S = 0.1
FIRST_LIMIT_S = 15.0


@dataclass
class Others:
    """What a reader of the shared channel has seen: holes in ``seq``, and the delay of each tick in µs."""

    seq: int | None = None
    jumps: int = 0
    delays_us: list[int] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> None:
        """Note one tick."""
        if self.seq is not None and event["seq"] != self.seq + 1:
            self.jumps += 1
        self.seq = event["seq"]
        if event["symbol"] in CONFIGURED:
            self.delays_us.append(time.time_ns() // 1000 - event["received_us"])

    def phase(self) -> dict[str, float]:
        """The figures since the last call."""
        delays, self.delays_us = sorted(self.delays_us), []
        p99 = delays[len(delays) * 99 // 100]
        return {"ticks": len(delays), "p50_us": delays[len(delays) // 2], "p99_us": p99, "jumps": self.jumps}


def main() -> None:
    """Run once and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joining", description=__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--quiet-s", type=float, default=30.0)
    options = parser.parse_args()
    with simulated_streamer(CONFIGURED, command_delay_s=ROUND_TRIP_S) as streamer:
        print(json.dumps(asyncio.run(_measure(streamer.redis_url, options.times, options.quiet_s)), indent=1))


async def _measure(url: str, times: int, quiet_s: float) -> dict[str, object]:
    others = Others()
    async with Redis.from_url(url) as client:
        listener = asyncio.create_task(_listen(client, others))
        await asyncio.sleep(START_S)
        others.phase()
        await asyncio.sleep(quiet_s)
        before = others.phase()
        waits: list[float] = []
        chance = random.Random(14)
        for symbol in [f"Q{first}{second}X" for first in string.ascii_uppercase for second in "BCDF"][:times]:
            waits.append(await _first_tick(client, symbol))
            await asyncio.sleep(chance.uniform(0, 1))  # or every wait would begin at the same moment of a poll
        during = others.phase()
        listener.cancel()
    ordered = sorted(waits)
    return {
        "round_trip_ms": ROUND_TRIP_S * 1000,
        "times": len(waits),
        "median_s": round(statistics.median(waits), 3),
        "p90_s": round(ordered[len(ordered) * 9 // 10], 3),
        "worst_s": round(ordered[-1], 3),
        "others_before": before,
        "others_during": during,
    }


async def _listen(client: Redis, others: Others) -> None:
    async with client.pubsub() as channel:
        await channel.subscribe("market_data:ticks")
        async for message in channel.listen():
            if message["type"] == "message":
                others.take(json.loads(message["data"]))


async def _first_tick(client: Redis, symbol: str) -> float:
    """Seconds from SUBSCRIBE to the first message of the symbol's own channel."""
    async with client.pubsub() as channel:
        started = time.perf_counter()
        await channel.subscribe(f"market_data:ticks:{symbol}")
        async with asyncio.timeout(FIRST_LIMIT_S):
            async for message in channel.listen():
                if message["type"] == "message":
                    return time.perf_counter() - started
    raise AssertionError(symbol)


if __name__ == "__main__":
    main()
