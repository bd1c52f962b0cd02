"""A process that publishes numbered ticks at a rate, as the streamer writes them, over a raw socket.

The last price of the first symbol is the number of its event in hundredths; those of the others move within a range.
Over stdin and stdout, JSON lines: ``{"ready": n}``; then it waits for a line, publishes, and reports when it started.
Its own report in Redis has no trouble.
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import sys
import time

import orjson
import redis

from schwabstream.events import TickEvent
from schwabstream.publishing.packing import command
from schwabstream.report import StreamerReport, SymbolReport

BATCH_S = 0.005
CHANNEL, LAST, REPORT = "market_data:ticks", "market_data:last:ticks", "market_data:streamer"


def main() -> None:
    """Run as ``python -m benchmarks.ticker``; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--symbols", required=True)
    options = parser.parse_args()
    symbols = options.symbols.split(",")
    client = redis.Redis(port=options.port)
    client.set(REPORT, _report(symbols, options.rate))
    connection = socket.create_connection(("127.0.0.1", options.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(json.dumps({"ready": len(symbols)}), flush=True)
    sys.stdin.readline()
    started_ns = time.monotonic_ns()
    total, sent = int(options.rate * options.seconds), 0
    while sent < total:
        due = min(total, int((time.monotonic_ns() - started_ns) / 1e9 * options.rate))
        connection.sendall(_transaction(range(sent, due), symbols))
        sent = due
        with contextlib.suppress(BlockingIOError):
            connection.recv(1 << 20, socket.MSG_DONTWAIT)  # how many subscribers got each: of no interest
        time.sleep(BATCH_S)
    print(json.dumps({"started_ns": started_ns, "sent": sent}), flush=True)
    sys.stdin.readline()


def _transaction(numbers: range, symbols: list[str]) -> bytes:
    """Publish these events, and set the last value of each symbol among them."""
    parts, newest = [command("MULTI")], dict[str, bytes]()
    for number in numbers:
        symbol, payload = _event(number, symbols)
        newest[symbol] = payload
        parts.append(command("PUBLISH", CHANNEL, payload))
    if newest:
        parts.append(command("HSET", LAST, *itertools.chain.from_iterable(newest.items())))
    return b"".join([*parts, command("EXEC")])


def _event(number: int, symbols: list[str]) -> tuple[str, bytes]:
    # The first symbol has every other event, so its price gives the time to within a few events.
    symbol = symbols[0] if not number & 1 else symbols[number // 2 % len(symbols)]
    price = number / 100 if symbol == symbols[0] else 100 + number * 7 % 64 / 100
    now_us = time.time_ns() // 1000
    event = {
        "v": 1, "type": "tick", "symbol": symbol, "key": symbol, "seq": number + 1, "timestamp": now_us // 1000,
        "received_us": now_us, "asset": "EQUITY", "contract": None, "last_price": price, "last_size": 1,
        "bid_price": price, "bid_size": 1, "ask_price": price + 0.01, "ask_size": 1, "total_volume": number,
        "open_price": 1.0, "high_price": price, "low_price": 0.0, "close_price": 1.0, "net_change": price - 1,
        "mark": price, "open_interest": None, "trade_time": now_us // 1000, "quote_time": now_us // 1000,
        "is_trade": True, "delayed": False, "repeat": False,
    }  # fmt: skip
    payload = orjson.dumps(event)
    if number < 1:
        TickEvent.model_validate_json(payload)
    return symbol, payload


def _report(symbols: list[str], rate: float) -> str:
    now_ms = time.time_ns() // 1_000_000
    lines = tuple(
        SymbolReport(symbol=symbol, key=symbol, asset="EQUITY", fresh=True, rate=rate / len(symbols))
        for symbol in symbols
    )
    report = StreamerReport(
        state="streaming", since=now_ms, reported=now_ms, started=now_ms, pid=os.getpid(), host="benchmark",
        version="0", symbols=lines,
    )  # fmt: skip
    return report.model_dump_json()


if __name__ == "__main__":
    main()
