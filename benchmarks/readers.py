"""Ways to read a WebSocket, each on asyncio and on uvloop: ns of CPU per event, from the socket to the bytes.

Ours (``schwabstream.streaming.frame_socket``), the websockets library's own ``recv``, aiohttp and picows; what is not
installed is left out with a word. Nothing is decoded and nothing written, so that what is compared is the reading
alone; frames come flooding, or one by one at a rate, from ``benchmarks/flood.py``. Each reading is a process of its
own; they take turns. What was decided from this: docs/adr/0008 and 0009.
"""

import argparse
import asyncio
import functools
import importlib.util
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.frames import Workload, frames
from benchmarks.processes import CLIENT_CORES, OTHER_CORES, ROOT, go, line, running
from benchmarks.tally import Spread, spread

LOOPS = ("asyncio", "uvloop")
SUBSCRIBE = '{"service":"LEVELONE_FUTURES","command":"SUBS","requestid":"1"}'
SYMBOLS = 200
MAX_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Case:
    """What is read: ``events`` made events, ``repeat`` times over, at ``rate`` a second or as fast as they are read."""

    title: str
    workload: Workload
    events: int
    repeat: int = 1
    rate: int = 0


CASES = {
    "one": Case("one entry a frame, flood", Workload.ONE, 20_000, repeat=8),
    "l1": Case("1–20 entries a frame, flood", Workload.L1, 40_000, repeat=8),
    "book": Case("books, flood", Workload.BOOK, 2_000, repeat=8),
    "paced": Case("one entry a frame, 5,000/s", Workload.ONE, 15_000, rate=5_000),
}


class Tally:
    """Counts frames; the first is the answer to the subscription, and after the last it is over."""

    def __init__(self, expected: int) -> None:
        self._left = expected + 1
        self._started_ns = 0
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def take(self, frames: int) -> None:
        """So many more frames have been read."""
        if not self._started_ns:
            self._started_ns = time.process_time_ns()
        self._left -= frames
        if self._left <= 0 and not self._over.done():
            self._over.set_result(time.process_time_ns() - self._started_ns)

    @property
    def is_over(self) -> bool:
        """Whether all are there."""
        return self._left <= 0

    async def used_ns(self) -> int:
        """The CPU between the answer and the last frame."""
        return await self._over


async def _ours(url: str, tally: Tally) -> None:
    from websockets.asyncio.client import connect

    from schwabstream.streaming.frame_socket import FrameSocket

    async with connect(
        url, create_connection=FrameSocket, compression=None, proxy=None, max_size=MAX_BYTES, close_timeout=0
    ) as socket:
        assert isinstance(socket, FrameSocket)
        socket.listen(lambda messages: tally.take(len(messages)), lambda: None)
        await socket.send(SUBSCRIBE)
        await tally.used_ns()


async def _websockets(url: str, tally: Tally) -> None:
    from websockets.asyncio.client import connect

    async with connect(url, compression=None, proxy=None, max_size=MAX_BYTES, max_queue=64, close_timeout=0) as socket:
        await socket.send(SUBSCRIBE)
        while not tally.is_over:
            await socket.recv(decode=False)
            tally.take(1)


async def _aiohttp(url: str, tally: Tally) -> None:
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, max_msg_size=MAX_BYTES, decode_text=False) as socket,
    ):
        await socket.send_str(SUBSCRIBE)
        while not tally.is_over:
            message = await socket.receive()
            assert isinstance(message.data, bytes)
            tally.take(1)


async def _picows(url: str, tally: Tally) -> None:
    import picows

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002 - picows's
            frame.get_payload_as_bytes()
            tally.take(1)

    transport, _ = await picows.ws_connect(Listener, url)
    transport.send(picows.WSMsgType.TEXT, SUBSCRIBE.encode())
    await tally.used_ns()
    transport.disconnect()


READERS: dict[str, Callable[[str, Tally], Awaitable[None]]] = {
    "schwabstream": _ours,
    "websockets": _websockets,
    "aiohttp": _aiohttp,
    "picows": _picows,
}


def run(repetitions: int, shrink: int) -> dict[str, Any]:
    """Measure every reader there is on every loop there is, in turn, over every case."""
    missing = [name for name in ("aiohttp", "picows", "uvloop") if importlib.util.find_spec(name) is None]
    pairs = [(reader, loop) for reader in READERS for loop in LOOPS if not {reader, loop} & set(missing)]
    results: dict[str, Any] = {"missing": missing, "cases": {}}
    for name, case in CASES.items():
        taken: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
        for pair in track([*pairs] * repetitions, description=f"{case.title:40}"):
            taken[pair].append(_measure(name, *pair, shrink))
        figures = {f"{reader}, {loop}": _json(spread(values)) for (reader, loop), values in taken.items()}
        results["cases"][name] = {"title": case.title, "readers": figures}
    return results


def _json(figure: Spread | None) -> dict[str, float]:
    assert figure is not None
    return figure.as_dict()


@functools.cache
def _frame_count(workload: Workload, events: int) -> int:
    return sum(1 for _ in frames(workload, events, SYMBOLS))


def _measure(name: str, reader: str, loop: str, shrink: int) -> float:
    """One reading; ns of CPU per event."""
    case = CASES[name]
    repeat = max(1, case.repeat // shrink)
    events = case.events if case.repeat > 1 else max(1_000, case.events // shrink)
    expected = _frame_count(case.workload, events) * repeat
    sending = ["--workload", case.workload, "--events", events, "--symbols", SYMBOLS, "--repeat", repeat]
    flood = [sys.executable, "-m", "benchmarks.flood", *map(str, [*sending, "--rate", case.rate])]
    with running(flood, OTHER_CORES, cwd=ROOT) as streamer:
        url = line(streamer)["ws"]
        reading = [sys.executable, "-m", "benchmarks.readers", reader, loop, url, str(expected)]
        with running(reading, CLIENT_CORES, cwd=ROOT) as process:
            line(streamer, while_lives=process)
            go(streamer)
            used_ns: int = line(process)["used_ns"]
    return used_ns / (events * repeat)


def show(results: dict[str, Any], console: Console) -> None:
    """Print it as a table, and what could not be measured."""
    title = "Reading a WebSocket, ns of CPU per event: median (least–most)"
    table = Table(title=title, title_justify="left")
    table.add_column("reader, event loop")
    for case in results["cases"].values():
        table.add_column(case["title"], justify="right")
    for name in next(iter(results["cases"].values()))["readers"]:
        table.add_row(name, *(str(Spread(**case["readers"][name])) for case in results["cases"].values()))
    console.print(table)
    if results["missing"]:
        console.print(f"not installed and not measured: {', '.join(results['missing'])}")


async def _read(reader: str, url: str, expected: int) -> int:
    tally = Tally(expected)
    await READERS[reader](url, tally)
    return await tally.used_ns()


def main() -> None:
    """One reading; run as ``python -m benchmarks.readers READER LOOP URL FRAMES``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("url")
    parser.add_argument("frames", type=int)
    options = parser.parse_args()
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if options.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        used_ns = runner.run(_read(options.reader, options.url, options.frames))
    print(json.dumps({"used_ns": used_ns}), flush=True)


if __name__ == "__main__":
    main()
