"""A streamer's publisher and its readers as processes, for failovers of a real Redis.

``python failover_roles.py publish URL`` takes the lease and publishes ticks; ``read URL`` reads them in every way that
programs can. Each prints ``{"ready": …}``, ends at a line on its standard input, and prints what it did or received.
A reader that hears an event after a second of silence prints ``{"resumed": NAME}``. It ends with the event whose
``seq`` that line names.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog

from schwabstream.consumer import GroupReader, read_stream, subscribe
from schwabstream.events import Channel, Event
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.report import StreamerReport, SymbolReport

PREFIX = "market_data"
SYMBOLS = [f"S{number:03d}" for number in range(50)]
CUSTOMER = "topologies"
RATE = 1_000
STEP_S = 0.01
SILENT_S = 1.0
LAST_LIMIT_S = 10.0

Heard = list[tuple[int, float]]
"""The ``seq`` of each event with the time of its arrival."""


class Source:
    """Publishes ticks as Schwab's frames would bring them, and a report each second."""

    def __init__(self, publisher: TradingEventPublisher) -> None:
        self._publisher = publisher
        self._lines = tuple(SymbolReport(symbol=symbol, key=symbol, asset="EQUITY", fresh=True) for symbol in SYMBOLS)
        self.seqs: list[int] = []
        self.silence_s = 0.0
        self.silent_since = 0.0

    async def run(self, rate: int) -> None:
        """Publish until cancelled."""
        began = time.monotonic()
        written, written_at = 0, began
        while True:
            if self._publisher.published != written:
                written, written_at = self._publisher.published, time.monotonic()
            elif time.monotonic() - written_at > self.silence_s:
                self.silence_s, self.silent_since = time.monotonic() - written_at, written_at
            while len(self.seqs) < (time.monotonic() - began) * rate:
                self._publish()
            await asyncio.sleep(STEP_S)

    def _publish(self) -> None:
        number = len(self.seqs)
        if number % RATE == 0:
            self._publisher.publish_report(self._report())
        symbol, now_us = SYMBOLS[number % len(SYMBOLS)], time.time_ns() // 1000
        tick: dict[str, Any] = {"v": 1, "type": "tick", "symbol": symbol, "key": symbol, "seq": 0, "prev": 0}
        tick |= {"timestamp": now_us // 1000, "received_us": now_us, "asset": "EQUITY", "is_trade": True}
        self._publisher.publish(Channel.TICKS, tick)
        self.seqs.append(tick["seq"])

    def _report(self) -> bytes:
        now_ms = time.time_ns() // 1_000_000
        times = {"since": now_ms, "reported": now_ms, "started": now_ms}
        about = {"state": "streaming", "pid": 1, "host": "topologies", "version": "1", "symbol_channels": True}
        report = StreamerReport.model_validate({**times, **about, "symbols": self._lines})
        return report.model_dump_json(exclude_none=True).encode()


async def publish(url: str, rate: int) -> dict[str, Any]:
    """Publish until told to stop; returns what was published."""
    lease = Lease(url, PREFIX)
    lease.of_account(CUSTOMER)
    fence = await lease.take(wait=False)
    publisher = TradingEventPublisher(url, prefix=PREFIX, fence=fence)
    await publisher.connect()
    source = Source(publisher)
    writing = asyncio.create_task(publisher.run())
    publishing = asyncio.create_task(source.run(rate))
    _print({"ready": True})
    await _line()
    publishing.cancel()
    publisher.stop()
    await asyncio.wait({writing}, timeout=20)
    ended = repr(writing.exception()) if writing.done() and not writing.cancelled() else "not written to the end"
    figures = {
        "seqs": source.seqs,
        "silence_s": source.silence_s,
        "ended": None if ended == "None" else ended,
        "dropped": publisher.dropped,
        "redis": publisher.redis.model_dump(),
    }
    await publisher.close()
    await lease.close()
    return figures


class Reading:
    """One reader: what it heard, which gaps it reported, and what ended it."""

    def __init__(self, name: str, open_events: Callable[[], AsyncIterator[Any]]) -> None:
        self.name, self._open = name, open_events
        self.heard: Heard = []
        self.gaps: list[dict[str, Any]] = []
        self.ended: str | None = None
        self.begun = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled."""
        try:
            async for found in self._open():
                event: Event = getattr(found, "event", found)
                if event.type == "tick":
                    self._hear(event.seq, time.monotonic())
                elif event.type == "status":
                    about = event.model_dump(include={"state", "detail", "count", "reason"})
                    self.gaps += [about] if event.state in ("gap", "dropped") else []
        except Exception as error:  # noqa: BLE001 - evidence
            self.ended = repr(error)
            self.begun.set()

    def _hear(self, seq: int, now: float) -> None:
        if self.heard and now - self.heard[-1][1] > SILENT_S:
            _print({"resumed": self.name})
        self.heard.append((seq, now))
        self.begun.set()

    async def read_to(self, seq: int) -> None:
        """Return when the event with this ``seq`` was heard, or after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_LIMIT_S):
                while self.ended is None and self.heard[-1][0] < seq:  # noqa: ASYNC110 - nobody signals each event
                    await asyncio.sleep(STEP_S)


async def _read_group(url: str) -> AsyncIterator[Any]:
    async with GroupReader(Channel.TICKS, "readers", "first", redis_url=url, start="0") as group:
        async for entry in group:
            yield entry
            await group.acknowledge(entry.id)


async def read(url: str) -> dict[str, Any]:
    """Read in every way until told to stop; returns what was heard, and when a standby took over."""
    readings = [
        Reading("subscribe", lambda: subscribe(redis_url=url)),
        Reading("symbol", lambda: subscribe(SYMBOLS[7], redis_url=url)),
        Reading("read_stream", lambda: read_stream(Channel.TICKS, redis_url=url, from_id="0")),
        Reading("group", lambda: _read_group(url)),
    ]
    lease = Lease(url, PREFIX)
    lease.of_account(CUSTOMER)
    standby = asyncio.create_task(_take_over(lease))
    tasks = [asyncio.create_task(reading.run()) for reading in readings]
    await asyncio.gather(*(reading.begun.wait() for reading in readings))
    _print({"ready": True})
    last = json.loads(await _line())
    await asyncio.gather(*(reading.read_to(last[reading.name]) for reading in readings))
    for task in (*tasks, standby):
        task.cancel()
    await asyncio.wait({*tasks, standby})
    await lease.close()
    found = {each.name: {"heard": each.heard, "gaps": each.gaps, "ended": each.ended} for each in readings}
    return {"readers": found, "took_over_at": None if standby.cancelled() else standby.result()}


async def _take_over(lease: Lease) -> float:
    """Wait as a standby does; returns the time of the take-over."""
    await lease.take(wait=True)
    return time.monotonic()


async def _line() -> str:
    """The next line on standard input."""
    return await asyncio.to_thread(sys.stdin.readline)


def _print(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def main() -> None:
    """One of the two processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["publish", "read"])
    parser.add_argument("url")
    parser.add_argument("--rate", type=int, default=RATE)
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    work = publish(arguments.url, arguments.rate) if arguments.role == "publish" else read(arguments.url)
    _print(asyncio.run(work))


if __name__ == "__main__":
    main()
