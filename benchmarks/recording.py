"""What recording costs and how fast a recording comes back: frames of the simulator, a million by default.

Run it as ``python benchmarks/recording.py [FRAMES] [--redis URL]``. Prints one figure a line: bytes per frame at
several rates, what a frame costs the socket's thread, records and replays a second, and the memory while replaying.
Costs are CPU time, so that a busy machine does not change them; rates called "by the clock" are what was seen.
"""

import argparse
import itertools
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from backports import zstd

from schwabstream.recording.format import Header, Record, encode_record
from schwabstream.recording.playback import Numbering, Playback
from schwabstream.recording.reader import Recording
from schwabstream.recording.writer import _OPTIONS, FileRecorder
from schwabstream.simulator import Faults, SchwabSimulator
from schwabstream.simulator.streamer import Session

SYMBOLS = ("/NQ:XCME", "/MES:XCME", "/MNQ:XCME", "AAPL", "MSFT")
STARTED_US = 1_795_228_667_000_000
SUBSCRIPTIONS = {
    "LEVELONE_FUTURES": ("/NQ", "/MES", "/MNQ"),
    "LEVELONE_EQUITIES": ("AAPL", "MSFT"),
    "NASDAQ_BOOK": ("AAPL", "MSFT"),
}
FIELDS = frozenset(map(str, range(52)))


class Wire:
    """A socket that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, text: str | bytes) -> None:
        """Keep a frame."""
        self.sent.append(text.encode() if isinstance(text, str) else text)

    def close(self, code: int | None) -> None:
        """Never needed."""

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Never needed."""


def frames(count: int) -> Iterator[bytes]:
    """The simulator's frames for these subscriptions, books included, without a socket in between."""
    now = itertools.count(STARTED_US / 1e6, 0.1)
    simulator = SchwabSimulator(seed=7, clock=lambda: next(now), faults=Faults(futures_depth=False))
    wire = Wire()
    session = Session(simulator, wire)
    session.is_logged_in = True
    session.subscriptions = {service: dict.fromkeys(keys, FIELDS) for service, keys in SUBSCRIPTIONS.items()}
    simulator.live_sessions = lambda: [session]  # type: ignore[method-assign] # nothing is connected
    for service, keys in SUBSCRIPTIONS.items():
        simulator.feed.send_snapshot(session, service, keys)
    sent = 0
    while sent < count:
        simulator.step()
        yield from wire.sent[: count - sent]
        sent += len(wire.sent)
        wire.sent.clear()


def memory_mb() -> float:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def record(path: Path, count: int) -> None:
    """Record as fast as the writing thread takes it, and say what each side of it costs."""
    sample = list(frames(min(count, 20_000)))
    raw = statistics.mean(map(len, sample))
    print(f"frames: {count:,}, {raw:.0f} bytes each on the wire")
    for per_second in (5, 50, 500, 5_000):
        groups = _groups(sample, per_second)
        sizes = [
            len(zstd.compress(b"".join(encode_record(Record(STARTED_US, "in", f)) for f in group), options=_OPTIONS))
            for group in groups
        ]
        print(f"bytes per frame at {per_second:,} frames/s: {sum(sizes) / len(sample):.1f}")
    header = Header("bench", SYMBOLS, tuple(SUBSCRIPTIONS), "UTC", STARTED_US)
    recorder = FileRecorder(path, header)
    taken, taking_s, began, wall = 0, 0.0, time.perf_counter(), STARTED_US
    cpu_before, peak = time.process_time(), 0.0
    for group in _groups(frames(count), 1_000):
        before = time.thread_time()
        for frame in group:
            wall += 20_000
            recorder.take_frame(frame, wall)
        taking_s += time.thread_time() - before
        taken += len(group)
        while recorder._waiting_bytes > 16 * 2**20:
            time.sleep(0.001)
        peak = max(peak, memory_mb())
    recorder.close(60)
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu_before
    print(f"file: {path.stat().st_size / 1e6:.1f} MB, {path.stat().st_size / taken:.1f} bytes per frame")
    print(f"lost: {recorder.counts['frames not recorded']}")
    print(f"taking a frame costs the socket's thread {taking_s / taken * 1e6:.2f} us")
    print(f"recorded {taken / elapsed:,.0f} frames/s, making them included ({cpu:.1f} s CPU); memory {peak:.0f} MB")
    write_only(sample)


def write_only(sample: list[bytes]) -> None:
    """What scrubbing, encoding and compressing alone can do."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = FileRecorder(Path(folder) / "x.zst", Header("bench", SYMBOLS, (), "UTC", STARTED_US))
        records = [Record(STARTED_US, "in", frame) for frame in sample]
        before = time.thread_time()
        for _ in range(5):
            recorder._compress(records)
        each = (time.thread_time() - before) / 5 / len(sample)
        recorder.close()
    print(f"the writing thread needs {each * 1e6:.2f} us a frame: {1 / each:,.0f} frames/s at most")


def _groups(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    iterator = iter(items)
    while group := list(itertools.islice(iterator, size)):
        yield group


def read_back(path: Path) -> None:
    """Read, play back and encode, and watch the memory."""
    cpu_before = time.thread_time()
    with Recording(path) as recording:
        count = sum(1 for _ in recording.items())
    print(f"reading alone: {count / (time.thread_time() - cpu_before):,.0f} records/s")
    size = 0

    def deliver(_channel: object, event: dict[str, Any]) -> None:
        nonlocal size
        size += len(orjson.dumps(event))

    numbering = Numbering(deliver)
    playback = Playback(numbering.publish)
    memory = []
    before, cpu_before = time.perf_counter(), time.thread_time()
    with Recording(path) as recording:
        for number, item in enumerate(recording.items()):
            playback.take(item)
            if number % (count // 10) == 0:
                memory.append(memory_mb())
    elapsed, cpu = time.perf_counter() - before, time.thread_time() - cpu_before
    print(f"replayed to JSON: {count / cpu:,.0f} frames/s, {numbering.count / cpu:,.0f} events/s")
    print(f"  by the clock {count / elapsed:,.0f} frames/s; {numbering.count:,} events, {size:,} bytes")
    print(f"memory while replaying, MB at each tenth: {' '.join(f'{each:.0f}' for each in memory)}")


def replay_to_redis(path: Path, url: str) -> None:
    """The whole command's work, into a Redis."""
    from schwabstream.commands.replay import ReplayOptions, replay

    before = time.perf_counter()
    result = replay(ReplayOptions([path], speed=float("inf"), redis=url, verbosity=-1))
    elapsed = time.perf_counter() - before
    print(f"replayed to Redis: {result.events / elapsed:,.0f} events/s")


def main() -> None:
    """Record, then read back in the same process; peaks are the system's own figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--redis", metavar="URL")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.jsonl.zst"
        record(path, given.frames)
        read_back(path)
        if given.redis:
            replay_to_redis(path, given.redis)
    print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB")


if __name__ == "__main__":
    main()
