"""Random troubles of Redis and of two streamers, seeded, on virtual time, and the promises that must hold.

``tests/integration/test_redis_schedules.py`` plays a few, always the same. ``python tests/long/redis_schedules.py``
plays 10,000 others on all cores, and ``--first SEED --count 1`` one of them again, byte for byte.
"""

import asyncio
import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.support.deployment import Deployment, StreamerProcess, deployed
from tests.support.redis_promises import judge
from tests.support.redis_values import Data
from tests.support.seeds import play_all, seeds_from
from tests.support.virtual_link import Link
from tests.support.virtual_network import NetworkLoop, Process
from tests.support.virtual_time import run_virtual

TROUBLE_S = 40.0
"""Troubles begin within this time."""
RECOVERY_S = 420.0
"""An eviction's pause, and a backoff."""
SETTLE_S = 8.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Token files are written to the disk at once, which costs much real time on a real one."""

Undo = Callable[[], None]
Begin = Callable[["Play"], Undo | None]


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


class Play:
    """One schedule: the deployment, the chance, and what excuses which loss."""

    def __init__(self, deployment: Deployment, rng: random.Random) -> None:
        self.deployment, self.rng = deployment, rng
        self.redis = deployment.redis
        self.hindered: defaultdict[str, list[float]] = defaultdict(list)
        self.lost_after: list[tuple[float, float]] = []
        self._named = itertools.count(1)

    @property
    def now(self) -> float:
        """The virtual time."""
        return self.deployment.loop.time()

    def some_streamer(self) -> StreamerProcess | None:
        """The leader, more often than not."""
        streamers = self.deployment.streamers
        leader = self.deployment.leader()
        if leader is not None and self.rng.random() < 0.7:
            return leader
        return streamers[self.rng.choice(sorted(streamers))] if streamers else None

    def some_process(self) -> Process:
        """A streamer's or a reader's process."""
        streamer = self.some_streamer()
        readers = [process for _, process in sorted(self.deployment.readers.items())]
        return self.rng.choice([streamer.process, *readers] if streamer else readers)

    def hinder(self, name: str) -> None:
        """A streamer cannot do its work from now on, or until now."""
        self.hindered[name].append(self.now)

    def start_streamer(self, base: str) -> None:
        """Start a streamer in place of a killed one."""
        self.deployment.add_streamer(f"{base[0]}{next(self._named)}")


# -- troubles of Redis


def _stop(play: Play) -> Undo:
    play.redis.stop()
    return play.redis.start


def _empty(play: Play) -> Undo:
    play.redis.stop()

    def undo() -> None:
        play.lost_after.append((0.0, play.now))
        play.redis.stop()  # another trouble may have ended meanwhile, and started it
        play.redis.data = Data()
        if play.redis.behind is not None:
            play.redis.behind = Data()
        play.redis.start()

    return undo


def _fail_over(play: Play) -> Undo:
    """The replica falls behind; later it takes over."""
    began = play.now
    play.redis.cut_off_replica()

    def undo() -> None:
        play.lost_after.append((began, play.now))
        play.redis.fail_over()

    return undo


def _kill_master(play: Play) -> Undo:
    """The replica lacks the last moments, and takes over a few seconds after the master's death."""
    play.redis.cut_off_replica()
    began, loop = play.now, play.deployment.loop
    dies = loop.call_later(play.rng.uniform(0.0, 1.0), play.redis.stop)

    def undo() -> None:
        dies.cancel()
        play.lost_after.append((began, play.now))
        play.redis.stop()
        play.redis.fail_over()
        play.redis.start()

    return undo


def _freeze(play: Play) -> Undo:
    play.redis.frozen = True
    return play.redis.thaw


def _drop(play: Play) -> None:
    play.redis.drop_all()


def _cut_exec(play: Play) -> None:
    play.redis.cut_next_exec = True


def _refuse(error: str) -> Begin:
    def begin(play: Play) -> Undo:
        play.redis.refusal = error

        def undo() -> None:
            play.redis.refusal = None

        return undo

    return begin


# -- troubles of programs and of the network between them


def _kill(play: Play) -> Undo | None:
    streamer = play.some_streamer()
    if streamer is None:
        return None
    play.deployment.kill(streamer.name, silently=play.rng.random() < 0.3)
    return lambda: play.start_streamer(streamer.name)


def _pause(play: Play) -> Undo | None:
    process = play.some_process()
    if process.paused or not process.alive:
        return None
    process.pause()
    play.hinder(process.name)

    def undo() -> None:
        play.hinder(process.name)
        process.resume()

    return undo


def _hinder_link(change: Callable[[Link, random.Random], Undo], *, schwab: bool = False) -> Begin:
    def begin(play: Play) -> Undo:
        process = play.some_process()
        port = int(play.deployment.simulator.base_url.rpartition(":")[2]) if schwab else play.redis.port
        restore = change(process.link(port), play.rng)
        play.hinder(process.name)

        def undo() -> None:
            play.hinder(process.name)
            restore()

        return undo

    return begin


def _cut_off(link: Link, _: random.Random) -> Undo:
    link.refused = True
    link.cut()

    def undo() -> None:
        link.refused = False

    return undo


def _hold(link: Link, _: random.Random) -> Undo:
    link.held = True
    return link.release


def _slow(link: Link, rng: random.Random) -> Undo:
    link.latency_s = (0.0, rng.choice((0.01, 0.2, 1.0)))

    def undo() -> None:
        link.latency_s = (0.0, 0.0)

    return undo


def _reset(link: Link, _: random.Random) -> Undo:
    link.cut()
    return lambda: None


def _schwab_drops(play: Play) -> None:
    play.deployment.simulator.close_all()


TROUBLES: dict[str, Begin] = {
    "redis stops": _stop,
    "redis returns empty": _empty,
    "failover": _fail_over,
    "master killed": _kill_master,
    "redis freezes": _freeze,
    "redis drops": _drop,
    "cut after EXEC": _cut_exec,
    "READONLY": _refuse("READONLY You can't write against a read only replica."),
    "NOREPLICAS": _refuse("NOREPLICAS Not enough good replicas to write."),
    "OOM": _refuse("OOM command not allowed when used memory > 'maxmemory'."),
    "LOADING": _refuse("LOADING Redis is loading the dataset in memory"),
    "streamer killed": _kill,
    "paused": _pause,
    "cut off from redis": _hinder_link(_cut_off),
    "held from redis": _hinder_link(_hold),
    "slow to redis": _hinder_link(_slow),
    "reset to redis": _hinder_link(_reset),
    "held from schwab": _hinder_link(_hold, schwab=True),
    "schwab drops": _schwab_drops,
}


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
            judge(deployment, play.hindered, play.lost_after)

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
