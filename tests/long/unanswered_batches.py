"""Connections cut between EXEC and its reply: nothing is written twice, nothing is lost.

``python tests/long/unanswered_batches.py --cuts 100`` is the long form of a test with five.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

import structlog

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from schwabstream.events import Channel
from schwabstream.report import Count
from tests.conftest import RedisServer
from tests.support.cutting_proxy import CuttingProxy
from tests.support.publishing import event, last, stream, writing
from tests.support.waiting import until

CHANNELS = (Channel.TICKS, Channel.LEVEL2, Channel.BARS)


async def cut_batches(redis: RedisServer, cuts: int, seed: int = 0) -> int:
    """Cut that many batches; returns how many of their events Redis had. Asserts that each stream has each event once.

    ``seed`` determines how many events each batch has.
    """
    chance, proxy = random.Random(seed), CuttingProxy(redis.port)
    published = dict.fromkeys(CHANNELS, 0)
    async with proxy as url, writing(url) as publisher:
        for number in range(1, cuts + 1):
            proxy.cut = "unanswered"
            for _ in range(chance.randrange(1, 300)):
                channel = chance.choice(CHANNELS)
                publisher.publish(channel, event(f"S{chance.randrange(20)}", n=published[channel]))
                published[channel] += 1
                if chance.random() < 0.01:
                    await asyncio.sleep(0)
            await until(lambda: proxy.cuts == number and publisher.connected and not publisher.queued)  # noqa: B023 - awaited here
        already_there = publisher.counts[Count.ALREADY_THERE]
        assert publisher.counts[Count.SENT_AGAIN] == publisher.counts[Count.LOST] == 0
        assert publisher.published == sum(published.values())
    for channel, count in published.items():
        events = stream(redis.client, str(channel))
        assert [each["n"] for each in events] == list(range(count))
        assert [each["seq"] - events[0]["seq"] for each in events] == list(range(count))
        if channel is not Channel.BARS:
            assert last(redis.client, str(channel)) == {each["symbol"]: each for each in events}
    return already_there


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(program, Path(folder))
        redis.start()
        try:
            already_there = asyncio.run(cut_batches(redis, arguments.cuts, arguments.seed))
        finally:
            redis.kill()
    print(f"{arguments.cuts} cuts between EXEC and its reply: {already_there} events already there, 0 twice, 0 lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
