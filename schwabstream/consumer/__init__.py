"""Redis → programs: live events with the last value first, single last values, and durable streams."""

from schwabstream.consumer.last_value import fetch_last, last
from schwabstream.consumer.live_events import LiveEvents, subscribe
from schwabstream.consumer.streams import Entry, GroupReader, RawEntry, read_stream
from schwabstream.consumer.subscription import Subscription

__all__ = [
    "Entry",
    "GroupReader",
    "LiveEvents",
    "RawEntry",
    "Subscription",
    "fetch_last",
    "last",
    "read_stream",
    "subscribe",
]
