"""A process that is Schwab on loopback: OAuth and REST (``front``), and a bare streamer that costs next to nothing.

The WebSocket frames are encoded before the run and written to the raw socket, as fast as the client reads them or at
a rate. Over stdin and stdout, JSON lines: ``{"http": port, "ws": url}``; ``{"subscribed": n}`` once no command has
come for a while after the first subscription; then it waits for a line, sends, and says when what was sent.
"""

import argparse
import base64
import hashlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any

from benchmarks.frames import FRAME_MS, Frame, Workload, frames
from benchmarks.front import serve_front

CHUNK_BYTES = 65_536
QUIET_S = 0.4
SPIN_BELOW_S = 60e-6
_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def websocket_frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """One unmasked frame, as servers send them."""
    length, first = len(payload), 0x80 | opcode
    if length < 126:
        return struct.pack("!BB", first, length) + payload
    if length < 65_536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


class Streamer:
    """One client's connection: it answers every command with success, and counts the subscriptions."""

    def __init__(self, listener: socket.socket) -> None:
        self._socket, _ = listener.accept()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader: IO[bytes] = self._socket.makefile("rb")
        self._sending = threading.Lock()
        self.subscriptions = 0
        self.heard_at = time.monotonic()
        self._shake_hands()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, packed: bytes) -> None:
        """Write all of it; waits when the client does not read."""
        with self._sending:
            self._socket.sendall(packed)

    def wait_until_subscribed(self) -> None:
        """Wait until something is subscribed and nothing more has been asked for a while."""
        while not self.subscriptions or time.monotonic() - self.heard_at < QUIET_S:
            time.sleep(0.02)

    def _shake_hands(self) -> None:
        key = b""
        while line := self._reader.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip()
        accept = base64.b64encode(hashlib.sha1(key + _ACCEPT_SALT).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.send(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def _listen(self) -> None:
        for opcode, payload in self._frames():
            if opcode == _PING:
                self.send(websocket_frame(payload, _PONG))
            elif opcode == _CLOSE:
                self.send(websocket_frame(payload, _CLOSE))
                return
            elif opcode == _TEXT:
                envelope = json.loads(payload)
                for request in envelope.get("requests", [envelope]):
                    self._answer(request)

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        read = self._reader.read
        while len(head := read(2)) == 2:
            length = head[1] & 127
            if length >= 126:
                length = int.from_bytes(read(2 if length == 126 else 8))
            mask = read(4)
            yield head[0] & 15, bytes(byte ^ mask[index & 3] for index, byte in enumerate(read(length)))

    def _answer(self, request: dict[str, Any]) -> None:
        answer = {
            "service": request["service"],
            "command": request["command"],
            "requestid": str(request["requestid"]),
            "SchwabClientCorrelId": request.get("SchwabClientCorrelId", ""),
            "timestamp": FRAME_MS,
            "content": {"code": 0, "msg": "ok"},
        }
        self.send(websocket_frame(json.dumps({"response": [answer]}).encode()))
        self.subscriptions += request["service"] != "ADMIN"
        self.heard_at = time.monotonic()


def flood(streamer: Streamer, first: list[bytes], later: list[bytes], repeat: int) -> None:
    """Write all as fast as it is read: what comes first once, the rest until there were ``repeat`` passes."""
    for index in range(repeat):
        for chunk in later if index else first:
            streamer.send(chunk)


def pace(streamer: Streamer, packed: list[tuple[bytes, int]], rate: float) -> list[tuple[int, int]]:
    """Write at ``rate`` events a second; returns the number of the first event of each frame and when it was sent."""
    stamps, sent, started = [], 0, time.monotonic_ns()
    for frame, events in packed:
        due = started + int(sent / rate * 1e9)
        while (left := due - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9 if left > SPIN_BELOW_S * 1e9 else 0)
        stamps.append((sent, time.monotonic_ns()))
        streamer.send(frame)
        sent += events
    return stamps


def _chunks(packed: list[tuple[bytes, int]]) -> list[bytes]:
    chunks, current, size = [], [], 0
    for frame, _ in packed:
        current.append(frame)
        size += len(frame)
        if size >= CHUNK_BYTES:
            chunks.append(b"".join(current))
            current, size = [], 0
    return [*chunks, b"".join(current)] if current else chunks


def _packed(made: Iterable[Frame]) -> list[tuple[bytes, int]]:
    return [(websocket_frame(frame.payload), frame.events) for frame in made]


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Run as ``python -m benchmarks.flood``; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", type=Workload, default=Workload.L1)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, help="events a second; as fast as they are read without it")
    options = parser.parse_args()
    load = options.workload, options.events, options.symbols
    packed = _packed(frames(*load))
    first = _chunks(packed)
    # A symbol begins with a snapshot once, not with each pass.
    later = _chunks(_packed(frames(*load, continued=True))) if options.repeat > 1 else []
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    _say(http=serve_front(url), ws=url)
    streamer = Streamer(listener)
    streamer.wait_until_subscribed()
    _say(subscribed=streamer.subscriptions)
    sys.stdin.readline()
    started_ns, stamps = time.monotonic_ns(), []
    if options.rate:
        stamps = pace(streamer, packed, options.rate)
    else:
        flood(streamer, first, later, options.repeat)
    _say(started_ns=started_ns, ended_ns=time.monotonic_ns(), stamps=stamps)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
