"""What readers at replicas cost the master: 120 readers of the shared channel, with and without ``?read_from=replica``.

``python tests/long/replica_readers.py`` prints a line of JSON for each case: the CPU of the master and of its replicas
in percent of a core. The readers are raw sockets that discard what they read, at the addresses that the route names.
Exits with 1 when the master needs more than 1.3 times its CPU without readers.
"""

import argparse
import asyncio
import contextlib
import json
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":  # as a script: schwab-py installs a package named tests, too
    import types

    sys.modules["tests"] = types.ModuleType("tests")
    sys.modules["tests"].__path__ = [str(Path(__file__).parents[1])]

from benchmarks.processes import cpu_ns
from schwabstream.broker.client import redis_client
from schwabstream.broker.url import Address
from tests.support.failover import ROLES
from tests.support.topology import SentinelSet

READERS, RATE = 120, 2_000
SETTLE_S = 1.0
ALLOWED = 1.3


async def _addresses(url: str, count: int) -> list[Address]:
    """Where so many readers with this URL connect to."""
    found = []
    for _ in range(count):
        async with redis_client(url, "market_data", timeout_s=3.0, reads=True) as client:
            found.append(await client.route.find())
    return found


@contextlib.contextmanager
def _readers(addresses: list[Address]) -> Iterator[None]:
    """Raw subscribers of the shared channel, read by one thread."""
    selector, done = selectors.DefaultSelector(), threading.Event()
    with contextlib.ExitStack() as stack:
        for address in addresses:
            connection = stack.enter_context(socket.create_connection(address))
            connection.sendall(b"SUBSCRIBE market_data:ticks\r\n")
            selector.register(connection, selectors.EVENT_READ, connection)
        buffer = bytearray(1 << 18)

        def discard() -> None:
            while not done.is_set():
                for key, _ in selector.select(0.1):
                    key.data.recv_into(buffer)

        thread = threading.Thread(target=discard)
        thread.start()
        stack.callback(thread.join)
        stack.callback(done.set)
        yield


def measure(at: SentinelSet, url: str, count: int, seconds: float) -> dict[str, object]:
    """The CPU of the servers with so many readers that use this URL."""
    with _readers(asyncio.run(_addresses(url, count)) if count else []) as _:
        time.sleep(SETTLE_S)
        used, began = [cpu_ns(node.pid) for node in at.nodes], time.monotonic()
        time.sleep(seconds)
        passed_ns = (time.monotonic() - began) * 1e9
        shares = [(cpu_ns(node.pid) - before) / passed_ns * 100 for node, before in zip(at.nodes, used, strict=True)]
    master, *replicas = (round(share, 1) for share in shares)
    return {"url": url.partition("?")[2] or "master", "readers": count, "master": master, "replicas": replicas}


def main() -> int:
    """Measure without readers, with readers at replicas and with readers at the master, in turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    masters: Counter[str] = Counter()
    with SentinelSet() as at, contextlib.ExitStack() as stack:
        command = [sys.executable, str(ROLES), "publish", at.url, "--rate", str(RATE)]
        publisher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        stack.callback(publisher.communicate)
        stack.callback(publisher.kill)
        assert publisher.stdout is not None
        publisher.stdout.readline()
        for _ in range(arguments.times):
            for name, url, count in (
                ("none", at.url, 0),
                ("replicas", f"{at.url}?read_from=replica", READERS),
                ("master", at.url, READERS),
            ):
                found = measure(at, url, count, arguments.seconds)
                masters[name] += found["master"]  # type: ignore[operator] # a float
                print(json.dumps(found), flush=True)
    ratio = masters["replicas"] / masters["none"]
    print(f"readers at replicas: {ratio:.2f} times the CPU of the master without readers", file=sys.stderr)
    return 0 if ratio <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
