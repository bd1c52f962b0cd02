"""Redis → programs: live subscriptions with the last value first, and durable streams."""

from schwabstream.consumer.streams import Entry, GroupReader, read_stream
from schwabstream.consumer.subscription import Subscription, subscribe

__all__ = ["Entry", "GroupReader", "Subscription", "read_stream", "subscribe"]
