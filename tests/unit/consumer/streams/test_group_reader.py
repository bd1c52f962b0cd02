"""The types of GroupReader, which mypy checks here: the channel decides the type of the events."""

from typing import assert_type

from schwabstream import BarEvent, Channel, GroupReader, Level2Event, StatusEvent, TickEvent
from schwabstream.consumer import Entry


def test_the_channel_decides_the_type_of_a_groups_events() -> None:
    """A GroupReader knows the type of its channel's events."""
    assert_type(GroupReader(Channel.TICKS, "group", "consumer"), GroupReader[TickEvent])
    assert_type(GroupReader(Channel.LEVEL2, "group", "consumer", "AAPL"), GroupReader[Level2Event])
    assert_type(GroupReader(Channel.BARS, "group", "consumer", start="$"), GroupReader[BarEvent])
    assert_type(GroupReader(Channel.STATUS, "group", "consumer", idle_ms=1), GroupReader[StatusEvent])


async def test_a_groups_entries_have_that_type() -> None:
    """What iterating a GroupReader gives is an event of its channel, or a StatusEvent for a gap."""

    async def first(group: GroupReader[TickEvent]) -> Entry[TickEvent | StatusEvent]:
        return assert_type(await anext(group), Entry[TickEvent | StatusEvent])

    assert first.__name__ == "first"
