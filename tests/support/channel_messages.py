"""Valid messages of the channels, and what a reader's queue makes of them."""

from typing import Any

import orjson

from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.events import Channel, Event

FIRST = 1_700_000_000_000_000


def payload(channel: Channel, seq: int, symbol: str | None = "A", key: str | None = None) -> bytes:
    """A valid event of the channel."""
    event: dict[str, Any] = {
        "v": 1,
        "symbol": symbol,
        "key": key or symbol,
        "seq": seq,
        "timestamp": seq,
        "received_us": 1,
    }
    shapes: dict[Channel, dict[str, Any]] = {
        Channel.TICKS: {"type": "tick", "asset": "FUTURE", "last_price": 1.0, "is_trade": False},
        Channel.LEVEL2: {"type": "level2", "service": "NASDAQ_BOOK", "source": "book", "bids": [], "asks": []},
        Channel.BARS: {"type": "bar", "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1},
        Channel.STATUS: {"type": "status", "state": "streaming", "reason": "", "since": 1},
    }
    return orjson.dumps(event | shapes[channel])


def everything(queue: ConflatingQueue) -> list[Event]:
    """Take until there is nothing."""
    taken = []
    while (event := queue.take()) is not None:
        taken.append(event)
    return taken
