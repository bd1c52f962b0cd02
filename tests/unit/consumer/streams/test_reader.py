"""The types of ``read_stream``, which mypy checks here: the channel decides the type of the events."""

from collections.abc import AsyncGenerator
from typing import assert_type

from schwabstream import BarEvent, Channel, Level2Event, StatusEvent, TickEvent, read_stream
from schwabstream.consumer import Entry
from schwabstream.events import Event


def test_the_channel_decides_the_type_of_a_streams_events() -> None:
    """``read_stream`` yields events of its channel's type, and StatusEvents for gaps."""
    assert_type(read_stream(Channel.TICKS), AsyncGenerator[Entry[TickEvent | StatusEvent], None])
    assert_type(read_stream(Channel.LEVEL2, "AAPL"), AsyncGenerator[Entry[Level2Event | StatusEvent], None])
    assert_type(read_stream(Channel.BARS, from_id="0"), AsyncGenerator[Entry[BarEvent | StatusEvent], None])
    assert_type(read_stream(Channel.STATUS, batch=1), AsyncGenerator[Entry[StatusEvent], None])
    channel = Channel("ticks")
    assert_type(read_stream(channel), AsyncGenerator[Entry[Event], None])
