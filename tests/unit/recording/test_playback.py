"""Playing back: the same events as in the recorded run, and only from the given time on."""

from typing import Any

import orjson

from schwabstream.events import Channel
from schwabstream.market.last_values import LastValues
from schwabstream.protocol.codec import Batch
from schwabstream.protocol.symbols import Asset, Symbol
from schwabstream.recording.format import Header, Record
from schwabstream.recording.playback import Numbering, Playback

T0 = 1_795_228_667_000_000
HEADER = Header("1", ("/NQ:XCME", "AAPL"), (), "UTC", T0, part_us=T0)
Events = list[tuple[Channel, dict[str, Any]]]


def data(service: str, *content: dict[str, Any], at_us: int = T0, carried: bool = False) -> Record:
    """A recorded data frame."""
    message = {"service": service, "timestamp": T0 // 1000, "command": "SUBS", "content": list(content)}
    return Record(at_us, "in", orjson.dumps({"data": [message]}).decode(), carried)


def command(name: str, service: str = "ADMIN", request_id: str = "1", keys: str = "") -> Record:
    """A recorded command."""
    request = {"service": service, "command": name, "requestid": request_id, "parameters": {"keys": keys}}
    return Record(T0, "out", orjson.dumps({"requests": [request]}).decode())


def answer(service: str, code: int, request_id: str = "1", at_us: int = T0) -> Record:
    """A recorded answer."""
    said = {"service": service, "command": "SUBS", "requestid": request_id, "content": {"code": code, "msg": ""}}
    return Record(at_us, "in", orjson.dumps({"response": [said]}).decode())


def play(*items: Header | Record, from_us: int = 0) -> Events:
    """The events published for these items."""
    events: Events = []
    playback = Playback(lambda channel, event: events.append((channel, dict(event))), from_us=from_us)
    for item in items:
        playback.take(item)
    return events


SNAPSHOT = {"key": "/NQ", "1": 25_000.0, "2": 25_000.25, "3": 25_000.0, "4": 1, "5": 2, "14": 24_900.0}


def test_it_publishes_what_the_market_publishes() -> None:
    """Frames give the events of the live market, with the times of the recording."""
    live: Events = []
    market = LastValues([Symbol("/NQ:XCME", "/NQ", Asset.FUTURE)], lambda c, e: live.append((c, dict(e))))
    market.begin_session()
    for content in (SNAPSHOT, {"key": "/NQ", "3": 25_001.0}):
        market.apply(Batch("LEVELONE_FUTURES", T0 // 1000, [content]), T0 + 5)
    changes = [data("LEVELONE_FUTURES", each, at_us=T0 + 5) for each in (SNAPSHOT, {"key": "/NQ", "3": 25_001.0})]
    assert play(HEADER, command("LOGIN"), *changes) == live


def test_before_the_first_moment_everything_is_merged_and_nothing_published() -> None:
    """The first event is as full as it was."""
    later = data("LEVELONE_FUTURES", {"key": "/NQ", "3": 25_001.0}, at_us=T0 + 10)
    ((_, tick),) = play(HEADER, data("LEVELONE_FUTURES", SNAPSHOT), later, from_us=T0 + 1)
    assert (tick["last_price"], tick["close_price"]) == (25_001.0, 24_900.0)


def test_a_refused_futures_book_is_the_top_of_book() -> None:
    """Code 11 means books from level 1, matched by the request."""
    asked = command("SUBS", "FUTURES_BOOK", "7", "/NQ")
    events = play(HEADER, command("LOGIN"), asked, answer("FUTURES_BOOK", 11, "7"), data("LEVELONE_FUTURES", SNAPSHOT))
    assert [event["source"] for channel, event in events if channel is Channel.LEVEL2] == ["top_of_book"]


def test_a_granted_futures_book_is_not() -> None:
    """With depth, no top of book is published."""
    asked = command("SUBS", "FUTURES_BOOK", "7", "/NQ")
    events = play(HEADER, asked, answer("FUTURES_BOOK", 0, "7"), data("LEVELONE_FUTURES", SNAPSHOT))
    assert [channel for channel, _ in events] == [Channel.TICKS]


def test_a_futures_book_nobody_answered_is_given_up_when_the_session_did() -> None:
    """Ten seconds without an answer are a refusal, as they were."""
    asked = command("SUBS", "FUTURES_BOOK", "7", "/NQ")
    late = data("LEVELONE_FUTURES", SNAPSHOT, at_us=T0 + 10_000_001)
    assert Channel.LEVEL2 in dict(play(HEADER, asked, late))
    assert Channel.LEVEL2 not in dict(play(HEADER, asked, late._replace(at_us=T0 + 10_000_000)))


def test_each_login_begins_a_session() -> None:
    """The first entry after a login repeats the last trade and is not a new one."""
    trade = {"key": "/NQ", "3": 25_001.0, "11": 5}
    events = play(
        HEADER, command("LOGIN"), data("LEVELONE_FUTURES", SNAPSHOT | {"11": 4}), data("LEVELONE_FUTURES", trade)
    )
    assert [event["is_trade"] for _, event in events] == [False, True]
    events = play(
        HEADER,
        data("LEVELONE_FUTURES", SNAPSHOT | {"11": 5}),
        command("LOGIN"),
        data("LEVELONE_FUTURES", trade),
    )
    assert [event["is_trade"] for _, event in events] == [False, False]


def test_only_the_symbols_of_the_moment_have_events() -> None:
    """A symbol has events from the record that adds it to the one that releases it."""
    frames = [data("LEVELONE_EQUITIES", {"key": "NVDA", "3": price}) for price in (1.0, 2.0, 3.0)]
    added, released = Record(T0, "symbols", "/NQ:XCME,AAPL,NVDA"), Record(T0, "symbols", "/NQ:XCME,AAPL")
    events = play(HEADER, frames[0], added, frames[1], released, frames[2])
    assert [(event["symbol"], event["last_price"]) for _, event in events] == [("NVDA", 2.0)]


def test_an_added_future_is_the_top_of_book_where_schwab_has_no_depth() -> None:
    """Schwab is not asked again for depth that it does not have, so the answer to the first command counts."""
    asked = command("SUBS", "FUTURES_BOOK", "7", "/NQ")
    added, snapshot = Record(T0, "symbols", "/NQ:XCME,/ES"), data("LEVELONE_FUTURES", SNAPSHOT | {"key": "/ES"})
    events = play(HEADER, command("LOGIN"), asked, answer("FUTURES_BOOK", 11, "7"), added, snapshot)
    assert [event["symbol"] for channel, event in events if channel is Channel.LEVEL2] == ["/ES"]


def test_a_part_continues_the_one_before_and_ignores_its_carried_frames() -> None:
    """Two parts in order give what one file would have given."""
    second = Header("1", HEADER.symbols, (), "UTC", T0, part=2, part_us=T0 + 10)
    change = data("LEVELONE_FUTURES", {"key": "/NQ", "3": 25_001.0}, at_us=T0 + 11)
    whole = play(HEADER, data("LEVELONE_FUTURES", SNAPSHOT), change)
    carried = data("LEVELONE_FUTURES", SNAPSHOT | {"14": 1.0}, at_us=T0 + 10, carried=True)
    assert play(HEADER, data("LEVELONE_FUTURES", SNAPSHOT), second, carried, change) == whole


def test_a_part_alone_merges_its_carried_frames_and_publishes_none() -> None:
    """The state of before is merged silently."""
    second = Header("1", HEADER.symbols, (), "UTC", T0, part=2, part_us=T0 + 10)
    carried = data("LEVELONE_FUTURES", SNAPSHOT, at_us=T0 + 10, carried=True)
    change = data("LEVELONE_FUTURES", {"key": "/NQ", "2": 25_002.0}, at_us=T0 + 11)
    ((_, tick),) = play(second, carried, change)
    assert (tick["ask_price"], tick["close_price"]) == (25_002.0, 24_900.0)


def test_another_run_begins_afresh() -> None:
    """A second recording in the file knows nothing of the first."""
    other = Header("1", HEADER.symbols, (), "UTC", T0 + 100, part_us=T0 + 100)
    change = data("LEVELONE_FUTURES", {"key": "/NQ", "2": 25_002.0}, at_us=T0 + 101)
    assert len(play(HEADER, data("LEVELONE_FUTURES", SNAPSHOT), other, change)) == 1


def test_contracts_are_read_as_on_that_day() -> None:
    """A one-digit year means the contract at the time of the recording."""
    old = Header("1", ("/NQZ5",), (), "UTC", 1_733_000_000_000_000)
    (event,) = play(old, data("LEVELONE_FUTURES", SNAPSHOT | {"key": "/NQZ25"}))
    assert event[1]["contract"] == "/NQZ25"


def test_what_cannot_be_understood_does_no_harm() -> None:
    """Broken frames, broken commands and losses are passed over, and what follows them is played."""
    played: list[dict[str, Any]] = []
    playback = Playback(lambda _, event: played.append(dict(event)))
    playback.take(Record(T0, "in", "before any header"))
    playback.take(HEADER)
    for record in (
        Record(T0, "in", "{"),
        Record(T0, "out", "{"),
        Record(T0, "lost", "12"),
        Record(T0, "out", '{"service":"FUTURES_BOOK","parameters":5}'),
    ):
        playback.take(record)
    assert played == []
    playback.take(data("LEVELONE_FUTURES", SNAPSHOT))
    assert [event["key"] for event in played] == ["/NQ"]


def test_numbering_counts_each_channel_from_one() -> None:
    """Every event of a channel is one more than the last, and ``prev`` is the number of its symbol's event before."""
    seen: list[tuple[Channel, str, int, int]] = []
    numbering = Numbering(lambda channel, event: seen.append((channel, event["symbol"], event["seq"], event["prev"])))
    for channel, symbol in ((Channel.TICKS, "A"), (Channel.TICKS, "B"), (Channel.TICKS, "A"), (Channel.BARS, "A")):
        numbering.publish(channel, {"symbol": symbol})
    assert seen == [
        (Channel.TICKS, "A", 1, 0),
        (Channel.TICKS, "B", 2, 0),
        (Channel.TICKS, "A", 3, 1),
        (Channel.BARS, "A", 1, 0),
    ]
    assert numbering.count == 4
