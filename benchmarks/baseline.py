"""The usual way today: schwab-py's ``StreamClient``, a handler, ``json.dumps``, ``await redis.publish``.

One Redis message per entry of a frame, on the same channels as ours. ``StreamClient`` gets the streamer's address
from a replaced HTTP client; everything else is schwab-py and redis-py, unchanged.
"""

import argparse
import asyncio
import json
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.front import streamer_info
from benchmarks.subscriber import CHANNELS

TICKS, LEVEL2 = CHANNELS


class _Preferences:
    """The answer of userPreference."""

    status_code = 200

    def __init__(self, socket_url: str) -> None:
        self._info = streamer_info(socket_url)

    def json(self) -> dict[str, Any]:
        return {"streamerInfo": [self._info]}


class _Http:
    """As much of schwab-py's HTTP client as its ``StreamClient`` uses."""

    class token_metadata:  # noqa: N801 - schwab-py's name
        token = {"access_token": "I0.benchmark@"}  # noqa: RUF012 - nobody changes it

    def __init__(self, socket_url: str) -> None:
        self._socket_url = socket_url

    def get_user_preferences(self) -> _Preferences:
        return _Preferences(self._socket_url)


async def stream(socket_url: str, redis_url: str) -> None:
    """Subscribe and publish until killed."""
    from redis.asyncio import Redis
    from schwab.streaming import StreamClient

    redis = Redis.from_url(redis_url)
    await redis.ping()
    client = StreamClient(_Http(socket_url))
    pending: list[tuple[str, dict[str, Any]]] = []

    def collect(channel: str) -> Callable[[dict[str, Any]], None]:
        return lambda message: pending.extend((channel, entry) for entry in message["content"])

    client.add_level_one_futures_handler(collect(TICKS))
    client.add_level_one_equity_handler(collect(TICKS))
    client.add_nasdaq_book_handler(collect(LEVEL2))
    await client.login()
    await client.level_one_futures_subs(["/MNQ"])
    await client.level_one_equity_subs(["AAPL"])
    await client.nasdaq_book_subs(["AAPL"])
    while True:
        await client.handle_message()
        for channel, entry in pending:
            await redis.publish(channel, json.dumps(entry))
        pending.clear()


def main() -> None:
    """Run as ``python -m benchmarks.baseline``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ws", required=True)
    parser.add_argument("--redis", required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # schwab-py imports what websockets is about to remove
    asyncio.run(stream(options.ws, options.redis))


if __name__ == "__main__":
    main()
