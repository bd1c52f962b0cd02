"""Failovers of a Sentinel set and of a Cluster under load, each at a seeded moment, against what must not be exceeded.

``python tests/long/topologies.py --times 5`` plays every fault; ``--row planned --mode cluster --seed 7`` plays one
again. Prints a line of JSON for each run and a table; exits with 1 when a bound was exceeded. Detection is set to 2 s.
"""

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from tests.support.failover import Evidence, Trial
from tests.support.topology import Kind, RedisCluster, Topology, topology

DETECT_S = 2.0
BOTH: tuple[Kind, ...] = ("sentinel", "cluster")


@dataclass(frozen=True)
class Row:
    """One fault: what happens to the master, for how long it is watched, and how long readers may hear nothing."""

    about: str
    fault: Callable[[Topology], object]
    settle_s: float
    silence_s: float
    modes: tuple[Kind, ...] = BOTH
    loses: bool = False
    min_replicas: int = 0


def _cut(seconds: float) -> Callable[[Topology], object]:
    def fault(at: Topology) -> None:
        at.cut_replicas()
        time.sleep(seconds)
        at.kill_master()

    return fault


def _freeze(seconds: float) -> Callable[[Topology], object]:
    def fault(at: Topology) -> None:
        at.freeze_master()
        time.sleep(seconds)
        at.thaw()

    return fault


def _move(at: Topology) -> None:
    assert isinstance(at, RedisCluster)
    at.move_slot(pause=lambda: time.sleep(0.01))


# Sentinel demotes the old master of a planned failover about 11 s afterwards, and promotes no replica that was cut off
# for more than ten times the detection.
ROWS = {
    "kill": Row("master killed", Topology.kill_master, 8, DETECT_S + 4),
    "lag": Row("replicas cut off 0.5 s before the kill", _cut(0.5), 8, DETECT_S + 4),
    "refuse": Row("the same with min-replicas-to-write 1", _cut(0.5), 8, DETECT_S + 4, min_replicas=1),
    "planned": Row("planned failover", Topology.fail_over, 14, 1.5),
    "long-lag": Row("replicas cut off 17 s before the kill", _cut(17), 8, DETECT_S + 4, loses=True),
    "freeze": Row("master frozen 8 s, then thawed", _freeze(8), 12, DETECT_S + 7),
    "frozen": Row("master frozen for good", Topology.freeze_master, 14, DETECT_S + 7),
    "move": Row("slot moved key by key", _move, 6, 2.0, modes=("cluster",)),
}


def play(row: Row, mode: Kind, seed: str) -> tuple[Evidence, str]:
    """One run in a topology of its own, and what its processes logged."""
    moment_s = random.Random(seed).uniform(1.0, 3.0)
    with topology(mode, detect_s=DETECT_S, min_replicas=row.min_replicas) as at, Trial(at) as trial:
        time.sleep(moment_s)
        row.fault(at)
        time.sleep(row.settle_s)
        return trial.finish(), trial.log("publish") + trial.log("read")


def problems(row: Row, found: Evidence) -> Iterator[str]:
    """What this run did that it must not."""
    if found.ended or found.took_over or found.dropped:
        yield f"publisher ended {found.ended}, standby took over {found.took_over}, dropped {found.dropped}"
    if found.lost != found.told or bool(found.lost) != row.loses:
        yield f"{found.lost} lost in the stream, {found.told} told"
    if found.twice or not found.in_order:
        yield f"{found.twice} twice in the stream, in order: {found.in_order}"
    if found.silence_s > row.silence_s:
        yield f"writer silent for {found.silence_s} s"
    for name, each in found.readers.items():
        if each.ended or each.twice or not each.in_order:
            yield f"{name}: {each.twice} twice, in order: {each.in_order}, ended: {each.ended}"
        if not each.is_honest or (name in ("read_stream", "group") and each.lost > found.lost):
            yield f"{name}: {each.lost} lost, {each.told} told"
        if each.silence_s > row.silence_s:
            yield f"{name}: silent for {each.silence_s} s"


def main() -> int:
    """Play what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--row", action="append", choices=list(ROWS), help="may be repeated; default: all")
    parser.add_argument("--mode", choices=BOTH, help="default: both")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the following count up")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the servers end, too
    table: list[str] = []
    missed = 0
    for name in arguments.row or ROWS:
        for mode in ROWS[name].modes:
            if arguments.mode in (None, mode):
                seeds = range(arguments.seed, arguments.seed + arguments.times)
                runs = [_run(name, mode, seed) for seed in seeds]
                failed = [seed for seed, (_, found) in zip(seeds, runs, strict=True) if found]
                missed += len(failed)
                table.append(_summary(name, mode, [evidence for evidence, _ in runs], failed))
    print("\n".join(table), file=sys.stderr)
    return 1 if missed else 0


def _run(name: str, mode: Kind, seed: int) -> tuple[Evidence, list[str]]:
    evidence, log = play(ROWS[name], mode, f"{name} {mode} {seed}")
    found = list(problems(ROWS[name], evidence))
    line: dict[str, Any] = {"row": name, "mode": mode, "seed": seed, "problems": found, **evidence.as_dict()}
    line |= {"log": log.splitlines()} if found else {}
    print(json.dumps(line), flush=True)
    return evidence, found


def _summary(name: str, mode: Kind, runs: list[Evidence], failed: list[int]) -> str:
    """The figures of a row: the sum of what was lost or came twice, the shortest and the longest silence."""
    silences = sorted(run.silence_s for run in runs)
    words = [f"{name:9}{mode:9}{len(runs)} runs: writer silent {silences[0]:.1f} to {silences[-1]:.1f} s"]
    words += [f"{figure} {sum(getattr(run, figure) for run in runs)}" for figure in ("lost", "told", "twice")]
    words.append(f"sent again {sum(run.redis['sent_again'] for run in runs)}")
    for reader in runs[0].readers:
        each = [run.readers[reader] for run in runs]
        told = "some" if any(one.told is None for one in each) else sum(one.told or 0 for one in each)
        silence_s = max(one.silence_s for one in each)
        lost, twice = sum(one.lost for one in each), sum(one.twice for one in each)
        words.append(f"{reader} {silence_s:.1f} s, lost {lost}, told {told}, twice {twice}")
    words.append(f"FAILED: seeds {failed}" if failed else "ok")
    return "; ".join(words)


if __name__ == "__main__":
    sys.exit(main())
