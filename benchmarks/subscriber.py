"""A process that takes what Redis gives its subscribers, over raw sockets, so that it is never what is measured.

``--role count`` counts and keeps only the ends of what it saw, for floods; ``--role stamp`` notes when each event came,
by the id that rides in its time; ``--role crowd`` subscribes many times and throws everything away. Over stdout, JSON
lines: ``{"subscribed": n}``, then the result.
"""

import argparse
import json
import re
import selectors
import socket
import time
from collections import deque
from typing import Any

from benchmarks.frames import FIND_ID, ID_BASE

CHANNELS = ("market_data:ticks", "market_data:level2")
FIRST_WAIT_S, IDLE_S, TRAILING_S = 60.0, 3.0, 0.2
RECEIVE_BYTES = 1 << 20
KEPT_BYTES = 1 << 19
_MARK = b"$7\r\nmessage\r\n"
_NUMBERED = re.compile(rb'"type":"(tick|level2)".{1,200}?"seq":(\d+)', re.DOTALL)


def subscribe(port: int) -> socket.socket:
    """A socket on which every event of both channels arrives."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    words = [b"SUBSCRIBE", *(channel.encode() for channel in CHANNELS)]
    connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
    answer = b""
    while answer.count(b"\r\n:") < len(CHANNELS):
        answer += connection.recv(4096)
    return connection


class _Received:
    """What came, by chunk: counted at once, and kept as far as it is wanted."""

    def __init__(self, connection: socket.socket, *, keep_all: bool) -> None:
        self._connection, self._keep_all = connection, keep_all
        self._overlap = b""
        self._recent_bytes = 0
        self.count = 0
        self.head: list[bytes] = []
        self.recent: deque[tuple[int, bytes]] = deque()
        self.last_ns = 0

    def until(self, expected: int) -> None:
        """Take until that many events came, or nothing more does."""
        self._connection.settimeout(FIRST_WAIT_S)
        while self.count < expected and self._take():
            self._connection.settimeout(IDLE_S)
        self._connection.settimeout(TRAILING_S)
        while self._take():
            pass

    def _take(self) -> bool:
        try:
            chunk = self._connection.recv(RECEIVE_BYTES)
        except TimeoutError:
            return False
        now_ns = time.monotonic_ns()
        joined = self._overlap + chunk
        if marks := joined.count(_MARK):
            self.count += marks
            self.last_ns = now_ns
        self._overlap = joined[-len(_MARK) + 1 :]
        if not self.head or sum(map(len, self.head)) < KEPT_BYTES:
            self.head.append(chunk)
        self.recent.append((now_ns, chunk))
        self._recent_bytes += len(chunk)
        while not self._keep_all and self._recent_bytes - len(self.recent[0][1]) > KEPT_BYTES:
            self._recent_bytes -= len(self.recent.popleft()[1])
        return bool(chunk)

    def numbered(self) -> int | None:
        """How many events the sequence numbers span, first to last of each kind; None where there are none."""
        first = {kind: int(seq) for kind, seq in reversed(_NUMBERED.findall(b"".join(self.head)))}
        last = {kind: int(seq) for kind, seq in _NUMBERED.findall(b"".join(chunk for _, chunk in self.recent))}
        return sum(last[kind] - first[kind] + 1 for kind in last if kind in first) or None

    def stamps(self) -> list[tuple[int, int]]:
        """The id of each event and when the whole of it was here."""
        joined = b"".join(chunk for _, chunk in self.recent)
        ends: list[tuple[int, int]] = []
        for at_ns, chunk in self.recent:
            ends.append(((ends[-1][0] if ends else 0) + len(chunk), at_ns))
        starts = [match.start() for match in re.finditer(re.escape(_MARK), joined)]
        stamps: list[tuple[int, int]] = []
        index = 0
        for start, end in zip(starts, [*starts[1:], len(joined)], strict=True):
            while ends[index][0] < end:
                index += 1
            if found := FIND_ID.search(joined, start, end):
                stamps.append((int(found[0]) - ID_BASE, ends[index][1]))
        return stamps


def _watch(port: int, expected: int, *, stamp: bool) -> dict[str, Any]:
    received = _Received(subscribe(port), keep_all=stamp)
    print(json.dumps({"subscribed": 1}), flush=True)
    received.until(expected)
    result: dict[str, Any] = {"events": received.count, "last_ns": received.last_ns, "numbered": received.numbered()}
    return result | ({"stamps": received.stamps()} if stamp else {})


def _crowd(port: int, size: int) -> None:
    selector = selectors.DefaultSelector()
    for _ in range(size):
        selector.register(subscribe(port), selectors.EVENT_READ)
    print(json.dumps({"subscribed": size}), flush=True)
    buffer = bytearray(RECEIVE_BYTES)
    while selector.get_map():
        for key, _ in selector.select():
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if not connection.recv_into(buffer):
                selector.unregister(connection)


def main() -> None:
    """Run as ``python -m benchmarks.subscriber``; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--role", choices=("count", "stamp", "crowd"), default="count")
    parser.add_argument("--expected", type=int, default=0)
    parser.add_argument("--size", type=int, default=1, help="how many the crowd is")
    options = parser.parse_args()
    if options.role == "crowd":
        _crowd(options.port, options.size)
    else:
        print(json.dumps(_watch(options.port, options.expected, stamp=options.role == "stamp")), flush=True)


if __name__ == "__main__":
    main()
