"""What readers of one symbol each cost, on the shared channel and on the channels of their symbols.

A publisher in a process of its own writes ticks of 500 symbols at 2,000 a second. Readers are raw sockets that discard
what they read, so that Redis alone is measured; or one ``subscribe`` of one symbol, whose own process is measured.
"""

import argparse
import asyncio
import contextlib
import json
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

from benchmarks.processes import OTHER_CORES, ROOT, Process, cpu_ns, line, redis_server, running
from benchmarks.tally import Spread, spread
from schwabstream.consumer import subscribe
from schwabstream.events import Channel
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.report import StreamerReport, SymbolReport

SYMBOLS = [f"S{number:04d}" for number in range(500)]
RATE, BATCH = 2_000, 20
CROWDS = (0, 200, 500)
SETTLE_S = 1.0


def run(repetitions: int, shrink: int) -> dict[str, Any]:
    """Measure every crowd and one real reader on both kinds of channel, in turn."""
    seconds = max(3.0, 16.0 / shrink)
    results: dict[str, Any] = {}
    for size in CROWDS:
        taken: dict[str, list[tuple[float, float]]] = {"shared": [], "own": []}
        for _ in range(repetitions):
            for mode, measured in taken.items():
                measured.append(_crowd(mode, size, seconds))
        results[f"{size} readers"] = {mode: _spreads(measured) for mode, measured in taken.items()}
    readers: dict[str, list[tuple[float, float]]] = {"shared": [], "own": []}
    for _ in range(repetitions):
        for mode, measured in readers.items():
            measured.append(_reader(mode, seconds))
    results["one subscribe()"] = {mode: _spreads(measured) for mode, measured in readers.items()}
    return results


def _spreads(measured: list[tuple[float, float]]) -> dict[str, Any]:
    figures = zip(("percent", "mb"), zip(*measured, strict=True), strict=True)
    return {name: found.as_dict() for name, values in figures if (found := spread(values))}


@contextlib.contextmanager
def _stage(mode: str) -> Iterator[tuple[Process, int, redis.Redis]]:
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="schwabstream-bench-")))
        server, port = stack.enter_context(redis_server(home))
        line(stack.enter_context(_role("publish", port, mode)))
        yield server, port, stack.enter_context(redis.Redis(port=port))


def _role(role: str, *words: object) -> contextlib.AbstractContextManager[Process]:
    return running([sys.executable, "-m", "benchmarks.fanout", role, *map(str, words)], OTHER_CORES, cwd=ROOT)


def _crowd(mode: str, size: int, seconds: float) -> tuple[float, float]:
    """Redis's CPU in percent of a core and the megabytes it sent."""
    with _stage(mode) as (server, port, client), _role("crowd", port, mode, size) as crowd:
        line(crowd)
        return _watch(server, client, seconds)


def _reader(mode: str, seconds: float) -> tuple[float, float]:
    """The CPU of a process with one ``subscribe``, in percent of a core, and the megabytes Redis sent."""
    with _stage(mode) as (_, port, client), _role("read", port) as reader:
        line(reader)
        return _watch(reader, client, seconds)


def _watch(process: Process, client: redis.Redis, seconds: float) -> tuple[float, float]:
    time.sleep(SETTLE_S)
    sent, used_ns, started = _sent(client), cpu_ns(process.pid), time.monotonic()
    time.sleep(seconds)
    percent = (cpu_ns(process.pid) - used_ns) / 1e7 / (time.monotonic() - started)
    return round(percent, 3), round((_sent(client) - sent) / 1e6, 3)


def _sent(client: redis.Redis) -> int:
    info: Any = client.info("stats")
    return int(info["total_net_output_bytes"])


def show(results: dict[str, Any], console: Console) -> None:
    """Print it as a table."""
    table = Table(title="Readers of one symbol each, 2,000 events/s of 500 symbols", title_justify="left")
    for name in ("", "shared channel: CPU %", "MB sent", "own channels: CPU %", "MB sent"):
        table.add_column(name, justify="right" if name else "left")
    for row in rows(results):
        table.add_row(*row)
    console.print(table)


def rows(results: dict[str, Any]) -> Iterator[list[str]]:
    """The rows of the table."""
    for name, modes in results.items():
        yield [name, *(str(Spread(**modes[mode][key])) for mode in ("shared", "own") for key in ("percent", "mb"))]


async def _publish(port: int, *, own: bool) -> None:
    publisher = TradingEventPublisher(f"redis://127.0.0.1:{port}/0", symbol_channels=own)
    await publisher.connect()
    writing = asyncio.create_task(publisher.run())
    lines = tuple(SymbolReport(symbol=symbol, key=symbol, asset="EQUITY", fresh=True) for symbol in SYMBOLS)
    report = StreamerReport(
        state="streaming", since=1, reported=1, started=1, pid=1, host="benchmark", version="1", symbols=lines,
        symbol_channels=own,
    )  # fmt: skip
    tick: dict[str, Any] = dict.fromkeys(["v", "type", "symbol", "key", "seq", "prev"]) | {"v": 1, "type": "tick"}
    tick |= {"timestamp": 1, "received_us": 1, "asset": "EQUITY", "last_price": 1.5, "is_trade": True}
    tick |= {f"field_{number}": 1234.5 for number in range(14)}  # as long as a tick of the streamer
    number, started = 0, time.monotonic()
    while not writing.done():
        if number % RATE == 0:
            publisher.publish_report(report.model_dump_json(exclude_none=True).encode())
        for _ in range(BATCH):
            tick["symbol"] = tick["key"] = SYMBOLS[number % len(SYMBOLS)]
            publisher.publish(Channel.TICKS, tick)
            number += 1
        if number == RATE:
            print(json.dumps({"publishing": True}), flush=True)
        await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))


def _discard(port: int, mode: str, size: int) -> None:
    selector = selectors.DefaultSelector()
    for index in range(size):
        connection = socket.create_connection(("127.0.0.1", port))
        own = f"market_data:ticks:{SYMBOLS[index % len(SYMBOLS)]}"
        connection.sendall(f"SUBSCRIBE {own if mode == 'own' else 'market_data:ticks'}\r\n".encode())
        selector.register(connection, selectors.EVENT_READ)
    print(json.dumps({"subscribed": size}), flush=True)
    buffer = bytearray(1 << 18)
    while True:
        for key, _ in selector.select(1.0):
            connection = key.fileobj  # type: ignore[assignment]
            connection.recv_into(buffer)


async def _read(port: int) -> None:
    first = True
    async for _ in subscribe(SYMBOLS[7], redis_url=f"redis://127.0.0.1:{port}/0"):
        if first:
            print(json.dumps({"reading": True}), flush=True)
        first = False


def main() -> None:
    """One process of a measurement; run as ``python -m benchmarks.fanout ROLE PORT [MODE [SIZE]]``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["publish", "crowd", "read"])
    parser.add_argument("port", type=int)
    parser.add_argument("mode", nargs="?", choices=["shared", "own"], default="own")
    parser.add_argument("size", type=int, nargs="?", default=1)
    options = parser.parse_args()
    if options.role == "publish":
        asyncio.run(_publish(options.port, own=options.mode == "own"))
    elif options.role == "crowd":
        _discard(options.port, options.mode, options.size)
    else:
        asyncio.run(_read(options.port))


if __name__ == "__main__":
    main()
