"""A network partition: the streamer and the master on one side, the Sentinels and the replicas on the other.

``python tests/long/partition.py --seconds 20`` plays it with and without ``min-replicas-to-write 1``, in two network
namespaces that one link connects, and compares what was published with the stream that survives. Needs Linux and root.
Prints a line of JSON for each run; exits with 1 when a loss was not reported with its exact count.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NEAR, FAR = "schwabstream-near", "schwabstream-far"
MASTER, OTHER = "10.15.0.1", "10.15.0.2"
REPLICAS, SENTINELS = (6379, 6380), (26379, 26380, 26381)
URL = f"redis+sentinel://{','.join(f'{OTHER}:{port}' for port in SENTINELS)}/mymaster"
ROLES = Path(__file__).parents[1] / "support" / "failover_roles.py"
RATE, DETECT_MS = 200, 2000
BEFORE_S, AFTER_S = 5, 20
"""Sentinel demotes the old master some time after it can reach it again."""


def in_space(space: str, *words: object) -> list[str]:
    """The command that runs in a namespace."""
    return ["ip", "netns", "exec", space, *map(str, words)]


def ip(*words: str) -> None:
    """Run ``ip`` with these words, separated by blanks."""
    subprocess.run(["ip", *" ".join(words).split()], check=True)


@contextlib.contextmanager
def two_sides() -> Iterator[None]:
    """Two namespaces, each with loopback and one end of a link."""
    with contextlib.ExitStack() as stack:
        for space in (NEAR, FAR):
            ip("netns add", space)
            stack.callback(ip, "netns del", space)
        ip("link add near netns", NEAR, "type veth peer name far netns", FAR)
        for space, end, address in ((NEAR, "near", MASTER), (FAR, "far", OTHER)):
            ip("-n", space, "addr add", f"{address}/24 dev", end)
            ip("-n", space, "link set lo up")
            ip("-n", space, "link set", end, "up")
        yield


def cut() -> None:
    """Let each side send to an address that nobody has: packets vanish, as in a network that is split."""
    for space, end, address in ((NEAR, "near", OTHER), (FAR, "far", MASTER)):
        ip("-n", space, "neigh replace", address, "lladdr 02:00:00:00:00:01 dev", end, "nud permanent")


def join() -> None:
    """End the partition."""
    for space, end, address in ((NEAR, "near", OTHER), (FAR, "far", MASTER)):
        ip("-n", space, "neigh del", address, "dev", end)


def servers(folder: Path, min_replicas: int) -> Iterator[tuple[str, list[object]]]:
    """Each server's namespace, and the words that start it."""
    limits = ["--protected-mode", "no", "--save", "", "--min-replicas-max-lag", 5]
    limits += ["--min-replicas-to-write", min_replicas, "--repl-diskless-sync-delay", 0]
    yield NEAR, ["redis-server", "--port", 6379, "--bind", MASTER, "--dir", folder / "master", *limits]
    for port in REPLICAS:
        home = folder / str(port)
        follow = ["--replicaof", f"{MASTER} 6379"]
        yield FAR, ["redis-server", "--port", port, "--bind", OTHER, "--dir", home, *limits, *follow]
    for port in SENTINELS:
        file = folder / str(port) / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind {OTHER}\nprotected-mode no\nsentinel monitor mymaster {MASTER} 6379 2\n"
            f"sentinel down-after-milliseconds mymaster {DETECT_MS}\nsentinel failover-timeout mymaster 10000\n"
        )
        yield FAR, ["redis-server", file, "--sentinel"]


@contextlib.contextmanager
def sentinel_set(min_replicas: int) -> Iterator[None]:
    """The master on the near side, the replicas and the Sentinels on the far side, ready for a failover."""
    with tempfile.TemporaryDirectory(prefix="schwabstream-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for each in ("master", *map(str, (*REPLICAS, *SENTINELS))):
            (folder / each).mkdir()
        for space, words in servers(folder, min_replicas):
            process = subprocess.Popen(in_space(space, *words), stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            time.sleep(0.3)
        while "num-other-sentinels,2" not in ask(FAR, OTHER, SENTINELS[0], "SENTINEL", "MASTER", "mymaster") or (
            ask(FAR, OTHER, SENTINELS[0], "SENTINEL", "REPLICAS", "mymaster").count("master-link-status,ok") < 2
        ):
            time.sleep(0.2)
        yield


def ask(space: str, host: str, port: int, *words: object) -> str:
    """What ``redis-cli`` prints, a list as ``name,value,…``."""
    command = in_space(space, "redis-cli", "-h", host, "-p", port, "--csv", *words)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.replace('"', "")


def play(seconds: float, min_replicas: int) -> dict[str, Any]:
    """One run; returns what was published, lost and reported."""
    with two_sides(), sentinel_set(min_replicas), tempfile.TemporaryFile("w+") as log:
        command = in_space(NEAR, sys.executable, ROLES, "publish", URL, "--rate", RATE)
        streamer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert streamer.stdin
        assert streamer.stdout
        streamer.stdout.readline()
        time.sleep(BEFORE_S)
        cut()
        time.sleep(seconds)
        promoted = ask(FAR, OTHER, SENTINELS[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").strip()
        join()
        time.sleep(AFTER_S)
        streamer.stdin.write("end\n")
        streamer.stdin.flush()
        found = json.loads(streamer.stdout.readline())
        streamer.wait()
        port = int(promoted.rpartition(",")[2])
        kept = stream(port, "ticks")
        gaps = [event.get("count") for event in stream(port, "status") if event["state"] == "gap"]
        log.seek(0)
        lines = [line.strip() for line in log]
    survived = {event["seq"] for event in kept}
    return {
        "seconds": seconds,
        "min_replicas": min_replicas,
        "promoted": promoted,
        "published": len(found["seqs"]),
        "lost": len(set(found["seqs"]) - survived),
        "twice": len(kept) - len(survived),
        "gaps": gaps,
        **{name: found[name] for name in ("dropped", "redis", "silence_s", "ended")},
        "log": lines,
    }


def stream(port: int, channel: str) -> list[dict[str, Any]]:
    """The events in a stream of the new master."""
    command = in_space(FAR, "redis-cli", "-h", OTHER, "-p", port, "--json")
    command += ["XRANGE", f"market_data:stream:{channel}", "-", "+"]
    entries = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout or "[]")
    return [json.loads(fields[fields.index("event") + 1]) for _, fields in entries]


def main() -> int:
    """Play both runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the partition lasts")
    arguments = parser.parse_args()
    wrong = 0
    for min_replicas in (0, 1):
        found = play(arguments.seconds, min_replicas)
        print(json.dumps(found), flush=True)
        wrong += found["lost"] != found["redis"]["lost"] + found["dropped"] or bool(found["twice"] or found["ended"])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
