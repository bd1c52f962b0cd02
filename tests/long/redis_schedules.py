"""Random troubles of Redis and of two streamers, seeded, on virtual time, and the promises that must hold.

``tests/integration/test_redis_schedules.py`` plays a few, always the same. ``python tests/long/redis_schedules.py``
plays 10,000 others on all cores, and ``--first SEED --count 1`` one of them again, byte for byte.
"""

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.support.deployment import Deployment, deployed
from tests.support.redis_promises import judge
from tests.support.redis_troubles import TROUBLES, Begin, Play, Undo
from tests.support.seeds import play_all, seeds_from
from tests.support.virtual_network import NetworkLoop
from tests.support.virtual_time import run_virtual

TROUBLE_S = 40.0
"""Troubles begin within this time."""
RECOVERY_S = 420.0
"""An eviction's pause, and a backoff."""
SETTLE_S = 8.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Token files are written to the disk at once, which costs much real time on a real one."""


@dataclass
class Outcome:
    """What one schedule came to."""

    seed: int
    troubles: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    digest: str = ""
    recovery_s: float = 0.0
    took_s: float = 0.0
    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    deployment: Deployment | None = None


def play_schedule(outcome: Outcome) -> None:
    """Play the schedule of its seed; raises ``AssertionError`` when a promise is broken."""
    rng = random.Random(outcome.seed)
    random.seed(outcome.seed)  # the jitter of libraries, and of readers
    loop = NetworkLoop(random.Random(f"network {outcome.seed}").uniform)

    async def main() -> None:
        async with deployed(loop, outcome.seed) as deployment:
            outcome.deployment, outcome.story = deployment, deployment.story
            play = Play(deployment, rng)
            market = asyncio.create_task(deployment.trade(random.Random(f"market {outcome.seed}")))
            await asyncio.sleep(6)
            await _make_trouble(play, outcome)
            outcome.recovery_s = await recovered(deployment)
            await asyncio.sleep(SETTLE_S)  # a loss is noticed with the next event
            market.cancel()
            await asyncio.sleep(SETTLE_S)
            outcome.digest, outcome.runs = deployment.redis.digest, len(deployment.ledger.runs)
            for run in deployment.ledger.runs:
                outcome.counts.update(run.publisher.counts)
            judge(deployment, play.lost_after)

    # Redis gets the process id and the host's name: a replay in another process must have the same.
    with mock.patch("os.getpid", return_value=4242), mock.patch("platform.node", return_value="host"):
        run_virtual(main(), loop)


async def _make_trouble(play: Play, outcome: Outcome) -> None:
    """Some troubles, overlapping by chance; at the end all are over."""
    rng = play.rng
    plan: list[tuple[float, int, str, Begin, float]] = []
    for number in range(rng.randint(1, 4)):
        name = rng.choice(list(TROUBLES))
        begins, lasts = rng.uniform(0.0, TROUBLE_S), rng.choice((0.3, 2.6, 5.0, 12.0, 25.0)) * rng.uniform(0.5, 1.5)
        outcome.troubles.append(f"{begins:.2f}+{lasts:.2f} {name}")
        plan.append((begins, number, name, TROUBLES[name], lasts))
    began = play.now
    while plan:
        plan.sort(key=lambda step: step[:2])
        at, number, name, step, lasts = plan.pop(0)
        await asyncio.sleep(max(0.0, began + at - play.now))
        undo = step(play)
        play.deployment.note(name)
        if undo is not None:
            plan.append((at + lasts, number, f"end of {name}", _only(undo), 0.0))


def _only(undo: Undo) -> Begin:
    def begin(_: Play) -> None:
        undo()

    return begin


async def recovered(deployment: Deployment) -> float:
    """Wait until one streamer streams and the other is its standby, and new ticks are in Redis."""
    loop, began = deployment.loop, deployment.loop.time()
    while not _is_whole(deployment, began):
        assert loop.time() - began < RECOVERY_S, f"not whole again: {_state(deployment)}"
        await asyncio.sleep(1.0)
    return loop.time() - began


def _is_whole(deployment: Deployment, since: float) -> bool:
    crashes = [each.crashed for each in deployment.streamers.values() if each.crashed]
    assert not crashes, crashes
    leader = deployment.leader()
    if leader is None or leader.client is None or leader.client.state != "streaming" or leader.run is None:
        return False
    others = [each for each in deployment.streamers.values() if each is not leader]
    waiting = all(each.lease is not None and each.lease.waiting_for for each in others)
    ticks = leader.run.published.get("ticks", [0])
    return waiting and deployment.ledger.written[("ticks", ticks[-1])][-1:] > [since]


def _state(deployment: Deployment) -> list[tuple[str, object, object]]:
    streamers = deployment.streamers.values()
    return [(each.name, each.client and each.client.state, each.lease and each.lease.waiting_for) for each in streamers]


# -- many of them


def play_one(seed: int) -> tuple[Outcome, str]:
    """Play one schedule in a folder of its own; returns what it came to, and which promise it broke."""
    outcome, began = Outcome(seed), time.process_time()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, contextlib.chdir(folder):
        try:
            play_schedule(outcome)
        except Exception as error:  # noqa: BLE001 - whatever breaks a promise is reported with its seed
            outcome.deployment = None
            return outcome, f"seed {seed} ({'; '.join(outcome.troubles)}): {type(error).__name__}: {error}"
    outcome.took_s, outcome.deployment = time.process_time() - began, None
    return outcome, ""


def main(words: Sequence[str] | None = None) -> int:
    """Play schedules; print each failure, the longest way back, the slowest play, and the totals."""
    seeds = seeds_from(words, __doc__.partition("\n")[0])
    began = time.monotonic()
    outcomes, failures = play_all(play_one, seeds)
    if outcomes:
        for name in ("recovery_s", "took_s", "runs"):
            worst = max(outcomes, key=lambda outcome: getattr(outcome, name))
            print(f"most {name}: {getattr(worst, name):.1f} (seed {worst.seed}: {'; '.join(worst.troubles)})")
        counts = sum((outcome.counts for outcome in outcomes), Counter[str]())
        print(f"{sum(outcome.runs for outcome in outcomes)} runs, {dict(counts)}")
    if len(seeds) == 1:
        print(*(line for outcome in outcomes for line in (*outcome.story, outcome.digest)), sep="\n")
    print(f"{len(outcomes)} held, {len(failures)} failed, {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
