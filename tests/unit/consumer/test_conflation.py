"""The reader's bookkeeping: nothing lost, nothing twice, order kept, bounded, and every gap reported."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.consumer.conflation import ConflatingQueue
from schwabstream.consumer.repeats import RUN_APART
from schwabstream.events import BarEvent, Channel, Event, StatusEvent, TickEvent
from schwabstream.protocol.symbols import Asset, Symbol
from tests.support.channel_messages import FIRST, everything, payload


def ready(**options: Any) -> ConflatingQueue:
    """A queue that has caught up with empty last values."""
    queue = ConflatingQueue(**options)
    queue.catch_up({}, 1)
    return queue


def seqs(events: list[Event]) -> list[int]:
    """The numbers of events that came through a channel."""
    return [event.seq for event in events if event.seq]


def notices(events: list[Event]) -> list[StatusEvent]:
    """The notices of the queue itself."""
    return [event for event in events if isinstance(event, StatusEvent) and not event.seq]


def test_last_values_then_live_without_doubles() -> None:
    """Events that came before the last values were read count once, in the order of seq."""
    queue = ConflatingQueue()
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 2, "A"), 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 4, "B"), 1)
    queue.catch_up({Channel.TICKS: [payload(Channel.TICKS, FIRST + 3, "A"), payload(Channel.TICKS, FIRST + 1, "C")]}, 1)
    assert seqs(everything(queue)) == [FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4]


def test_a_repeated_batch_is_dropped() -> None:
    """A message with a number its symbol has passed is a repetition."""
    queue = ready()
    for seq in (1, 2, 1, 2, 3):
        queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + seq), 1)
    assert seqs(everything(queue)) == [FIRST + 1, FIRST + 2, FIRST + 3]
    assert queue.counts["repeated"] == 2


def test_a_jump_is_reported_with_its_times_and_count() -> None:
    """Three numbers that never came are one gap of three, between the two arrivals, before the event behind it."""
    queue = ready()
    queue.receive(Channel.BARS, payload(Channel.BARS, FIRST + 1), 5_000_000)
    queue.receive(Channel.BARS, payload(Channel.BARS, FIRST + 5), 9_000_000)
    events = everything(queue)
    gap = notices(events)[0]
    assert (gap.state, gap.count, gap.lost_at, gap.restored_at) == ("gap", 3, 5_000, 9_000)
    assert "bars" in gap.reason
    assert queue.counts["lost"] == 3
    assert isinstance(events[-1], BarEvent)


def test_what_last_values_bring_back_is_not_lost() -> None:
    """After a reconnect only those count as lost that neither came live nor as a last value."""
    queue = ready()
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 1, "A"), 1)
    queue.hold()
    queue.catch_up({Channel.TICKS: [payload(Channel.TICKS, FIRST + 3, "A"), payload(Channel.TICKS, FIRST + 4, "B")]}, 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 5, "A"), 1)
    events = everything(queue)
    assert [notice.count for notice in notices(events)] == [1]
    assert seqs(events) == [FIRST + 1, FIRST + 3, FIRST + 4, FIRST + 5]


@pytest.mark.parametrize("step", [5 * RUN_APART, -5 * RUN_APART])
def test_a_new_run_is_reported_as_such(step: int) -> None:
    """Numbers of another run are taken, whichever way the clock went, and the gap does not invent a count."""
    queue = ready()
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST), 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + step), 1)
    events = everything(queue)
    assert seqs(events) == [FIRST, FIRST + step]
    assert [(notice.state, notice.count) for notice in notices(events)] == [("gap", None)]
    assert queue.counts["lost"] == 0


def test_a_notice_of_an_earlier_run_brings_no_event_back() -> None:
    """A streamer that gives up may still publish; what the present run then writes again is a repetition, as before."""
    queue, present = ready(), FIRST + 5 * RUN_APART
    for seq in (present, FIRST, FIRST + 1, FIRST + 1, present, present + 1):
        queue.receive(Channel.STATUS, payload(Channel.STATUS, seq), 1)
    events = everything(queue)
    assert seqs(events) == [present, FIRST, FIRST + 1, present + 1]
    assert [notice.count for notice in notices(events)] == [None]
    assert queue.counts["repeated"] == 2


def test_last_values_of_an_earlier_run_come_no_second_time() -> None:
    """After a failover to data of an earlier run, its last values are ignored, and the present run continues."""
    queue = ready()
    for seq in (FIRST, FIRST + 5 * RUN_APART):
        queue.receive(Channel.LEVEL2, payload(Channel.LEVEL2, seq), 1)
    everything(queue)
    queue.hold()
    queue.catch_up({Channel.LEVEL2: [payload(Channel.LEVEL2, FIRST)]}, 2)
    queue.receive(Channel.LEVEL2, payload(Channel.LEVEL2, FIRST + 5 * RUN_APART), 3)
    queue.receive(Channel.LEVEL2, payload(Channel.LEVEL2, FIRST + 5 * RUN_APART + 1), 3)
    assert seqs(everything(queue)) == [FIRST + 5 * RUN_APART + 1]


def test_a_slow_reader_gets_the_newest_and_a_report() -> None:
    """Beyond the bound only the newest tick of each symbol is queued; a notice counts the dropped ones."""
    queue = ready(max_pending=10)
    for seq in range(1, 101):
        queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + seq, "AB"[seq % 2]), 1)
        assert len(queue) <= 12
    events = everything(queue)
    assert seqs(events) == [FIRST + 99, FIRST + 100]
    assert [(notice.state, notice.count) for notice in notices(events)] == [("dropped", 98)]
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 101, "A"), 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 102, "A"), 1)
    assert seqs(everything(queue)) == [FIRST + 101, FIRST + 102]


def test_bars_beyond_the_bound_lose_the_oldest() -> None:
    """Events without a newest, such as bars, lose the oldest, counted."""
    queue = ready(max_pending=3)
    for seq in range(1, 6):
        queue.receive(Channel.BARS, payload(Channel.BARS, FIRST + seq), 1)
    assert seqs(everything(queue)) == [FIRST + 3, FIRST + 4, FIRST + 5]
    assert queue.counts["dropped"] == 2


def test_newest_only_keeps_one_of_each_without_a_notice() -> None:
    """A screen asks for the newest alone: what gives way is as wanted, not a loss."""
    queue = ready(newest_only=True)
    for seq in range(1, 5):
        queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + seq), 1)
    assert seqs(everything(queue)) == [FIRST + 4]
    assert queue.counts["dropped"] == 0


def test_refreshed_last_values_are_queued_once_and_only_if_newer() -> None:
    """Read again and again, a last value is an event only when it has changed; an older one, of a copy, is none."""
    queue = ready(newest_only=True)
    a, b = (payload(Channel.TICKS, FIRST + seq, symbol) for seq, symbol in ((5, "A"), (6, "B")))
    queue.refresh(Channel.TICKS, [a, b], 1)
    assert seqs(everything(queue)) == [FIRST + 5, FIRST + 6]
    queue.refresh(Channel.TICKS, [payload(Channel.TICKS, FIRST + 7, "A"), b], 1)
    assert seqs(everything(queue)) == [FIRST + 7]
    queue.refresh(Channel.TICKS, [a, b], 1)
    assert everything(queue) == []
    queue.hold()
    queue.refresh(Channel.TICKS, [payload(Channel.TICKS, FIRST + 8, "A")], 1)
    queue.catch_up({Channel.TICKS: [payload(Channel.TICKS, FIRST + 9, "A")]}, 1)
    assert seqs(everything(queue)) == [FIRST + 9]


def test_newest_only_is_not_misled_by_another_order_of_names() -> None:
    """Messages of other publishers, repeated ones and rubbish are treated as in any queue, and no gap is reported."""
    queue = ready(newest_only=True)
    odd = orjson.dumps({"seq": FIRST + 9, **orjson.loads(payload(Channel.TICKS, FIRST + 9, "B"))})
    for message in (payload(Channel.TICKS, FIRST + 1), odd, b"rubbish", payload(Channel.TICKS, FIRST + 20)):
        queue.receive(Channel.TICKS, message, 1)
    assert len(queue) == 2
    events = everything(queue)
    assert sorted(seqs(events)) == [FIRST + 9, FIRST + 20]
    assert notices(events) == []
    assert (queue.counts["received"], queue.counts["invalid"]) == (4, 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 3), 1)
    assert everything(queue) == []


def test_newest_only_merges_last_values_with_what_came_before_them() -> None:
    """A message that came while the last values were read wins if it is newer, and else gives way."""
    for live, last in ((FIRST + 5, FIRST + 4), (FIRST + 5, FIRST + 6)):
        queue = ConflatingQueue(newest_only=True)
        queue.receive(Channel.TICKS, payload(Channel.TICKS, live), 1)
        queue.catch_up({Channel.TICKS: [payload(Channel.TICKS, last)]}, 1)
        assert seqs(everything(queue)) == [max(live, last)]


def test_only_the_wanted_symbols_come_but_every_number_counts() -> None:
    """Others' events are passed over without opening a gap; an event of no symbol concerns everybody."""
    queue = ready(symbols={"A"}, keys={"/K"})
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 1, "A"), 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 2, "B"), 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 3, "/K:X", "/K"), 1)
    queue.receive(Channel.STATUS, payload(Channel.STATUS, FIRST + 1, None), 1)
    events = everything(queue)
    assert [event.symbol for event in events] == ["A", "/K:X", None]
    assert notices(events) == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b'{"seq": "1"}',
        b'{"seq": 1.5}',
        b'{"seq": 1, "symbol": []}',
        b'{"seq": true}',
    ],
)
def test_a_message_that_is_not_an_event_is_counted(garbage: bytes) -> None:
    """A foreign message on the channel is counted and stops nothing."""
    queue = ready()
    queue.receive(Channel.TICKS, garbage, 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST), 1)
    assert seqs(everything(queue)) == [FIRST]
    assert queue.counts["invalid"] == 1


@pytest.mark.parametrize("digits", [20, 4_300, 4_301, 100_000])
@pytest.mark.parametrize("usual", [True, False])
def test_an_endless_seq_is_counted(digits: int, *, usual: bool) -> None:
    """A ``seq`` that no machine integer holds, live or as a last value, is counted as invalid and stops nothing."""
    queue = ConflatingQueue()
    event = {"v": 1, "type": "tick", **orjson.loads(payload(Channel.TICKS, FIRST))}
    names = list(event) if usual else sorted(event)
    endless = orjson.dumps({name: event[name] for name in names}).replace(b"%d" % FIRST, b"9" * digits)
    queue.catch_up({Channel.TICKS: [endless]}, 1)
    queue.receive(Channel.TICKS, endless, 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 1), 1)
    assert seqs(everything(queue)) == [FIRST + 1]
    assert queue.counts["invalid"] == 2


@given(
    symbol=st.text(max_size=8) | st.none(),
    key=st.text(max_size=8) | st.none(),
    seq=st.integers(-1, 2**63 - 1),
    usual=st.booleans(),
)
def test_messages_are_read_alike_whatever_the_order_of_names(
    symbol: str | None, key: str | None, seq: int, usual: bool
) -> None:
    """The streamer's own order of names is read faster, and to the same effect, as any other."""
    event = {"v": 1, "type": "tick", "symbol": symbol, "key": key, "seq": seq, "timestamp": 1}
    names = list(event) if usual else sorted(event)
    queue = ready(symbols={"A"}, keys={"B"})
    queue.receive(Channel.TICKS, orjson.dumps({name: event[name] for name in names}), 1)
    assert len(queue) == (symbol is None or symbol == "A" or key == "B")
    assert queue.counts["invalid"] == 0


def test_absent_symbols_are_all_reported_first() -> None:
    """Every symbol that is not streamed is named, before anything else is taken."""
    queue = ready()
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST, "A"), 5_000)
    symbols = [Symbol(f"S{number}", f"S{number}", Asset.EQUITY) for number in range(200)]
    for symbol in symbols:
        queue.report_absent(symbol, "the reason")
    assert (len(queue), queue.holds("A"), queue.holds("B")) == (201, True, False)
    events = everything(queue)
    assert [event.symbol for event in events] == [*(symbol.alias for symbol in symbols), "A"]
    assert {notice.detail for notice in notices(events)} == {"not-streamed"}


def test_what_does_not_validate_is_counted_when_taken() -> None:
    """A numbered message that is not a TickEvent is counted and skipped."""
    queue = ready()
    queue.receive(Channel.TICKS, b'{"type":"tick","seq":%d,"symbol":"A"}' % FIRST, 1)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 1), 1)
    events = everything(queue)
    assert [type(event) for event in events] == [TickEvent]
    assert queue.counts["invalid"] == 1
    assert len(queue) == 0


def linked(channel: Channel, seq: int, prev: int, symbol: str = "A") -> bytes:
    """An event that names the one before it."""
    return orjson.dumps({**orjson.loads(payload(channel, seq, symbol)), "prev": prev})


def test_a_reader_of_one_symbol_hears_of_its_own_losses_alone() -> None:
    """Missing numbers of other symbols are no gap; a missing event of its own is one, with the symbol and no count."""
    queue = ready(symbols=["A"])
    queue.receive(Channel.TICKS, linked(Channel.TICKS, 10, 0), 1_000)
    queue.receive(Channel.TICKS, linked(Channel.TICKS, 90, 10), 2_000)
    assert not notices(everything(queue))
    queue.receive(Channel.TICKS, linked(Channel.TICKS, 99, 95), 9_000)
    (gap,) = notices(everything(queue))
    assert (gap.state, gap.symbols, gap.count, gap.lost_at, gap.restored_at) == ("gap", ("A",), None, 2, 9)
    assert gap.reason == "events of ticks did not arrive: at least one of A (seq 91 to 98)"
    assert (queue.counts["gaps"], queue.counts["lost"]) == (1, 1)


def test_after_an_outage_one_gap_names_all_symbols_that_lost_events() -> None:
    """Last values continue the chains: whole ones are not reported, and broken ones together."""
    queue = ready(symbols=["A", "B", "C"])
    for seq, symbol in enumerate("ABC", start=1):
        queue.receive(Channel.TICKS, linked(Channel.TICKS, seq, 0, symbol), 1_000)
    everything(queue)
    queue.hold()
    queue.receive(Channel.TICKS, linked(Channel.TICKS, 23, 21, "B"), 5_000)
    last = [linked(Channel.TICKS, 20, 15, "A"), linked(Channel.TICKS, 21, 19, "B"), linked(Channel.TICKS, 22, 3, "C")]
    queue.catch_up({Channel.TICKS: last}, 5_000)
    (gap,) = notices(events := everything(queue))
    assert (gap.symbols, gap.count) == (("A", "B"), None)
    assert seqs(events) == [20, 21, 22, 23]


def test_a_reader_of_everything_counts_by_seq() -> None:
    """For a reader of all symbols every number counts, whatever the events name as the one before."""
    queue = ready()
    queue.receive(Channel.TICKS, linked(Channel.TICKS, 10, 0), 1_000)
    queue.receive(Channel.TICKS, linked(Channel.TICKS, 13, 10), 2_000)
    (gap,) = notices(everything(queue))
    assert gap.count == 2


def test_an_event_that_comes_after_a_newer_last_value_is_reported() -> None:
    """After a reconnect, events that a newer last value has overtaken are one gap with their count, counted once."""
    queue = ready()
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST), 1_000)
    queue.hold()
    queue.catch_up({Channel.TICKS: [payload(Channel.TICKS, FIRST + 3)]}, 2_000)
    assert seqs(everything(queue)) == [FIRST, FIRST + 3]
    for number in (0, 1, 2, 2, 3, 4):
        queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + number), 3_000 + number * 1_000)
    gap, following = everything(queue)
    assert isinstance(gap, StatusEvent)
    assert (gap.state, gap.count, gap.lost_at, gap.restored_at) == ("gap", 2, 4, 5)
    assert following.seq == FIRST + 4
    assert queue.counts["lost"] == 2


def test_an_event_that_comes_after_the_first_last_value_is_not_lost() -> None:
    """A reader that has just begun gets the last value; what is older was before its time."""
    queue = ConflatingQueue()
    queue.catch_up({Channel.TICKS: [payload(Channel.TICKS, FIRST + 3)]}, 1_000)
    queue.receive(Channel.TICKS, payload(Channel.TICKS, FIRST + 2), 2_000)
    assert seqs(everything(queue)) == [FIRST + 3]
    assert notices(everything(queue)) == []


@pytest.mark.parametrize("symbols", [(), ("A",)])
def test_what_is_lost_after_the_first_last_value_is_reported(symbols: tuple[str, ...]) -> None:
    """A connection that breaks before the first live event loses events, too: those behind the last value."""
    queue = ConflatingQueue(symbols=symbols)
    queue.catch_up({Channel.TICKS: [linked(Channel.TICKS, FIRST + 1, FIRST)]}, 1_000)
    assert seqs(everything(queue)) == [FIRST + 1]
    queue.hold()
    queue.catch_up({Channel.TICKS: [linked(Channel.TICKS, FIRST + 3, FIRST + 2)]}, 5_000)
    queue.receive(Channel.TICKS, linked(Channel.TICKS, FIRST + 4, FIRST + 3), 6_000)
    events = everything(queue)
    assert [(gap.state, gap.lost_at) for gap in notices(events)] == [("gap", 1)]
    assert seqs(events) == [FIRST + 3, FIRST + 4]


@pytest.mark.parametrize("symbols", [(), ("A",)])
def test_a_last_value_that_is_still_the_newest_is_followed_by_no_gap(symbols: tuple[str, ...]) -> None:
    """After an outage without an event, the next one continues the last value of the first connection."""
    queue = ConflatingQueue(symbols=symbols)
    for at_us in (1_000, 5_000):
        queue.hold()
        queue.catch_up({Channel.TICKS: [linked(Channel.TICKS, FIRST + 1, FIRST)]}, at_us)
    queue.receive(Channel.TICKS, linked(Channel.TICKS, FIRST + 2, FIRST + 1), 6_000)
    assert seqs(everything(queue)) == [FIRST + 1, FIRST + 2]
    assert queue.counts["gaps"] == 0
