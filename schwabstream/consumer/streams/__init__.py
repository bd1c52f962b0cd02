"""Durable reading: the Redis streams, read from any position or by a consumer group."""

from schwabstream.consumer.streams.group_reader import GroupReader
from schwabstream.consumer.streams.reader import read_stream
from schwabstream.consumer.streams.redis_stream import Entry, RawEntry

__all__ = ["Entry", "GroupReader", "RawEntry", "read_stream"]
