"""The stages of the pipeline alone, in ns of process CPU per event: receive, decode, merge, encode, write.

Decode, merge and encode are each measured together with the stages before them, and reported as the difference. The
measurement uses public interfaces, so the figures survive a change of internals. Frames are prepared in memory; the
write stage uses a real Redis, in batches as large as the publisher makes them.
"""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

from benchmarks.frames import FRAME_MS, Workload, frames, symbols
from benchmarks.processes import ROOT, go, line, redis_server, running
from benchmarks.readers import SUBSCRIBE, Tally
from benchmarks.tally import Spread, short, spread
from schwabstream.clock import today
from schwabstream.market.last_values import LastValues, Publish
from schwabstream.protocol.codec import Batch, decode
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.streaming.frame_socket import FrameSocket

STAGES = ("receive", "decode", "merge", "encode", "write")
EVENTS = {Workload.L1: 40_000, Workload.ONE: 20_000, Workload.BOOK: 1_500}
SYMBOLS = 200


def run(repetitions: int, shrink: int) -> dict[str, Any]:
    """Measure every stage over every workload."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="schwabstream-bench-") as home, redis_server(Path(home)) as (_, port):
        for workload, events in EVENTS.items():
            bench = _Bench(workload, max(500, events // shrink), f"redis://127.0.0.1:{port}/0")
            runs = [asyncio.run(bench.stages()) for _ in range(repetitions)]
            figures = {name: spread([each[name] for each in runs]) for name in STAGES}
            results[workload] = {name: figure.as_dict() for name, figure in figures.items() if figure}
    return results


class _Bench:
    """One workload, ready to be run through the stages."""

    def __init__(self, workload: Workload, events: int, redis_url: str) -> None:
        self._workload, self._events, self._redis_url = workload, events, redis_url
        self._frames = [frame.payload for frame in frames(workload, events, SYMBOLS)]
        futures, equities = symbols(SYMBOLS)
        self._symbols = parse_symbols([*futures, *equities], today())

    async def stages(self) -> dict[str, float]:
        """One run of every stage; ns of CPU per event."""
        receive = await self._receive()
        decoding = self._cpu(self._decode)
        merging = self._cpu(lambda: self._apply(lambda _channel, _event: None))
        encoding, writing = await self._publish()
        return {
            "receive": receive,
            "decode": decoding,
            "merge": merging - decoding,
            "encode": encoding - merging,
            "write": writing,
        }

    def _cpu(self, work: Callable[[], object]) -> float:
        gc.collect()
        before = time.process_time_ns()
        work()
        return (time.process_time_ns() - before) / self._events

    def _decode(self) -> None:
        for frame in self._frames:
            decode(frame)

    def _apply(self, publish: Publish) -> None:
        market, received_us = LastValues(self._symbols, publish), FRAME_MS * 1000
        for frame in self._frames:
            for message in decode(frame):
                if isinstance(message, Batch):
                    market.apply(message, received_us)

    async def _publish(self) -> tuple[float, float]:
        """Decode, merge and encode everything, then write it."""
        publisher = TradingEventPublisher(self._redis_url, max_events=self._events + 1, max_bytes=2**33)
        await publisher.connect()
        try:
            encoding = self._cpu(lambda: self._apply(publisher.publish))
            publisher.stop()
            before = time.process_time_ns()
            await publisher.run()
            return encoding, (time.process_time_ns() - before) / self._events
        finally:
            await publisher.close()

    async def _receive(self) -> float:
        """From the socket to the message, with the reader that ``connection`` uses, the streamer being a process."""
        words = ("--workload", self._workload, "--events", str(self._events), "--symbols", str(SYMBOLS))
        with running([sys.executable, "-m", "benchmarks.flood", *words], cwd=ROOT) as streamer:
            where = line(streamer)
            async with connect(
                where["ws"], create_connection=FrameSocket, compression=None, proxy=None, close_timeout=0
            ) as socket:
                assert isinstance(socket, FrameSocket)
                tally = Tally(len(self._frames))
                socket.listen(lambda messages: tally.take(len(messages)), lambda: None)
                await socket.send(SUBSCRIBE)
                await asyncio.to_thread(line, streamer)
                go(streamer)
                used = await tally.used_ns()
        return used / self._events


def show(results: dict[str, Any], console: Console) -> None:
    """Print it as a table, the sum of the stages at its foot."""
    table = Table(title="Stages alone, ns of CPU per event: median (least–most)", title_justify="left")
    table.add_column("stage")
    for workload in results:
        table.add_column(workload, justify="right")
    for stage in STAGES:
        table.add_row(stage, *(str(Spread(**figures[stage])) for figures in results.values()))
    table.add_section()
    table.add_row("all", *(short(sum(each["median"] for each in figures.values())) for figures in results.values()))
    console.print(table)
