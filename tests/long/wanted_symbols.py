"""Consumers that come and go at random: at every moment the streamer streams what is wanted, and nothing leaks.

``python tests/long/wanted_symbols.py --minutes 10 --seed 1`` plays that time with ten consumers on a virtual clock.
What Schwab has is read from the simulator's own list. Prints the number of changes, and fails at the first difference.
"""

import argparse
import asyncio
import contextlib
import gc
import random
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from schwabstream.simulator import Faults
from schwabstream.streaming.wanted_symbols import GRACE_S
from tests.support.stage import Stage, play

CONFIGURED = ("AAPL", "/MNQ:XCME")
WISHED = ("MSFT", "NVDA", "SPY", "QQQ", "TSLA", "AMZN", "/MES:XCME", "/NQ:XCME", "$SPX", "AMD", "F", "BRK/B")
CONSUMERS = 10
SETTLE_S = 4.0
"""Within this time a wish is subscribed and a release is unsubscribed: a look each second, and a few answers."""
LEVEL_ONE = ("LEVELONE_EQUITIES", "LEVELONE_FUTURES")


@dataclass
class Wishes:
    """What the consumers want now, and since or until when each symbol was wanted."""

    now: dict[int, str] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    until: dict[str, float] = field(default_factory=dict)
    changes: int = 0

    def change(self, consumer: int, symbol: str | None, at: float) -> None:
        """Let one consumer want this symbol, or none."""
        before = set(self.now.values())
        self.now.pop(consumer, None)
        if symbol is not None:
            self.now[consumer] = symbol
        after = set(self.now.values())
        for each in after - before:
            self.since[each] = at
        for each in before - after:
            self.until[each] = at
            del self.since[each]
        self.changes += 1


def check(subscribed: Iterable[str], wishes: Wishes, at: float) -> None:
    """Raise unless Schwab's keys are the wanted ones, within the grace."""
    have = set(subscribed)
    keys = {name: name.partition(":")[0] for name in (*CONFIGURED, *WISHED)}
    due = {keys[name] for name, since in wishes.since.items() if at - since >= SETTLE_S}
    due |= {keys[name] for name in CONFIGURED}
    allowed = {keys[name] for name, end in wishes.until.items() if at - end <= GRACE_S + SETTLE_S}
    allowed |= due | {keys[name] for name in wishes.since}
    assert due <= have, f"not subscribed at {at:.0f} s: {due - have}"
    assert have <= allowed, f"still subscribed at {at:.0f} s: {have - allowed}"


def play_consumers(minutes: float, seed: int, *, drops: bool = False) -> int:
    """Play ten consumers for that long; returns how often their wishes changed."""
    chance, wishes = random.Random(seed), Wishes()

    async def story(stage: Stage) -> None:
        await stage.streaming()
        loop = asyncio.get_running_loop()
        end = loop.time() + 60 * minutes
        tasks = len(asyncio.all_tasks())
        sessions, streaming_since = stage.simulator.connections_total, loop.time()
        while loop.time() < end:
            await asyncio.sleep(chance.uniform(0.2, 1.8))
            stage.simulator.step()
            for _ in range(chance.choice((0, 0, 1, 1, 3))):
                wish = chance.choice((*WISHED, None, None))
                wishes.change(chance.randrange(CONSUMERS), wish, loop.time())
            stage.client.wish(dict.fromkeys(wishes.now.values(), "wanted"))
            if drops and chance.random() < 0.01:
                await stage.simulator.drop_all()
                streaming_since = loop.time() + SETTLE_S
            if stage.simulator.connections_total != sessions or stage.client.state != "streaming":
                sessions = stage.simulator.connections_total
                streaming_since = max(streaming_since, loop.time())
            if loop.time() - streaming_since > SETTLE_S:
                subscribed = [key for service in LEVEL_ONE for key in stage.simulator.subscribed(service)]
                check(subscribed, wishes, loop.time())
        stage.client.wish({})
        await stage.until_state("streaming", 400)  # several drops in a row count as an eviction
        await asyncio.sleep(GRACE_S + SETTLE_S)
        check_leftovers(stage, tasks)
        assert drops or not stage.tape.announced("gap")

    faults = Faults(command_delay_s=0.1, serial_commands=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        play(story, *CONFIGURED, seed=seed, faults=faults, pulse=False)
    return wishes.changes


def check_leftovers(stage: Stage, tasks: int) -> None:
    """Raise when released symbols have left anything behind, or two commands were ever in flight."""
    stream = stage.client.stream
    keys = {"AAPL", "/MNQ"}
    assert set(stream.market.instruments) == keys
    assert set(stream.subscribed) == keys
    for held in (stream.delayed, stream.gaps.lost, stream.liveness_history.given):
        assert set(held) <= keys | set(LEVEL_ONE), held
    assert {key for _, key in (*stream.stale, *stream.refused)} <= keys
    gc.collect()
    assert len(asyncio.all_tasks()) <= tasks
    refused = [event for event in stage.tape.statuses if event["state"] == "refused"]
    assert not refused, "code 22 answers a command that did not wait for the one before"


def main() -> None:
    """Play as the arguments ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drops", action="store_true", help="also drop the session now and then")
    arguments = parser.parse_args()
    changes = play_consumers(arguments.minutes, arguments.seed, drops=arguments.drops)
    print(f"{changes} changes of wishes in {arguments.minutes:g} minutes: subscribed was wanted at every moment")


if __name__ == "__main__":
    main()
