"""A streamer that answers wishes: what it leaves in Redis, without a Schwab behind it."""

import math
import threading
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson
import redis

from schwabstream.events import status_event
from schwabstream.report import StreamerReport, SymbolReport

if TYPE_CHECKING:
    from tests.conftest import RedisServer

SERVICES = ("LEVELONE_EQUITIES", "NASDAQ_BOOK")
DENIAL = "LEVELONE_EQUITIES refused: Symbol limit reached"


class AnsweringStreamer:
    """Streams what is ``configured`` and what Redis wants, but for what it ``refuses``, for the duration of a block.

    A ``mute`` one reports and answers no wish. Schwab refuses ``denied`` symbols, which stay in the report.
    """

    def __init__(
        self,
        server: "RedisServer",
        configured: Collection[str] = ("/MNQ:XCME",),
        *,
        refuses: Mapping[str, str] | None = None,
        mute: bool = False,
        prices: bool = True,
        denied: Collection[str] = (),
    ) -> None:
        self._redis = redis.Redis(port=server.port, decode_responses=True)
        self._configured, self._refuses, self._mute, self._prices = configured, dict(refuses or {}), mute, prices
        self._announced: set[str] = set()
        self._denied = frozenset(denied)
        self._status_seq = self._tick_seq = time.time_ns() // 1000  # each channel has its own
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._redis.close()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            self.look()

    def look(self) -> None:
        """Look once at the wishes: answer them, tick what is streamed, and report."""
        found: Any = self._redis.zrangebyscore("market_data:wanted", time.time(), "+inf", withscores=True)
        wanted = {} if self._mute else dict(found)
        refused = {symbol: self._refuses[symbol] for symbol in wanted if symbol in self._refuses}
        lines = [self._line(symbol, "configured") for symbol in self._configured]
        for symbol, score in wanted.items():
            if symbol not in refused:
                lines.append(self._line(symbol, "added" if math.isinf(score) else "wanted"))
                if symbol not in self._announced:
                    self._announce("subscribed", symbol, "Schwab accepted it")
        for symbol, why in refused.items():
            if symbol not in self._announced:
                self._announce("refused", symbol, why)
        self._announced &= set(wanted)
        self._report(lines, refused)
        if self._prices:
            for line in lines:
                self._tick(line)

    def _line(self, symbol: str, source: str) -> SymbolReport:
        key = symbol.upper().partition(":")[0]
        if symbol in self._denied:
            denied = {"symbol": symbol, "key": key, "asset": "EQUITY", "problem": DENIAL}
            return SymbolReport.model_validate({**denied, "source": source})
        about = {"symbol": symbol, "key": key, "asset": "EQUITY", "fresh": True, "age_ms": 400}
        return SymbolReport.model_validate({**about, "source": source, "services": SERVICES})

    def _report(self, lines: list[SymbolReport], refused: dict[str, str]) -> None:
        now_ms = time.time_ns() // 1_000_000
        known = {"state": "streaming", "since": now_ms, "reported": now_ms, "started": now_ms, "pid": 7, "host": "box"}
        report = StreamerReport.model_validate({**known, "version": "1", "symbols": lines, "refused": refused})
        self._redis.set("market_data:streamer", report.model_dump_json(), px=60_000)

    def _announce(self, state: str, symbol: str, reason: str) -> None:
        self._announced.add(symbol)
        event = status_event(state, reason, time.time_ns() // 1000, symbol=symbol, key=symbol.upper())
        self._status_seq += 1
        self._redis.publish("market_data:status", orjson.dumps({**event, "seq": self._status_seq}))

    def _tick(self, line: SymbolReport) -> None:
        self._tick_seq += 1
        now_us = time.time_ns() // 1000
        event = {
            "v": 1,
            "type": "tick",
            "symbol": line.symbol,
            "key": line.key,
            "seq": self._tick_seq,
            "asset": "EQUITY",
        }
        event |= {"timestamp": now_us // 1000, "received_us": now_us, "last_price": 110.25, "is_trade": True}
        payload = orjson.dumps(event).decode()
        pipe = self._redis.pipeline()
        pipe.hset("market_data:last:ticks", line.symbol, payload)
        pipe.publish("market_data:ticks", payload)
        pipe.execute()


def wishes(server: "RedisServer") -> dict[str, float]:
    """What Redis wants, with the times of expiry."""
    found: Any = server.client.zrange("market_data:wanted", 0, -1, withscores=True)
    return dict(found)
