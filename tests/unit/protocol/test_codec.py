"""The codec: every recorded frame, every kind of damage, and any bytes at all."""

import json
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.protocol.books import Book, read_book
from schwabstream.protocol.codec import (
    SAMPLE_LENGTH,
    Batch,
    Heartbeat,
    Message,
    Notice,
    Response,
    Undecodable,
    decode,
    decode_requests,
    encode,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "frames.jsonl"
FRAMES: dict[str, str] = {
    line["name"]: line["raw"] for line in map(json.loads, FIXTURES.read_text(encoding="utf-8").splitlines())
}
TYPES = (Response, Heartbeat, Notice, Batch, Undecodable)


def read(frame: str | bytes) -> list[Message]:
    """The meaning of a frame, however it was read: batches of one kind."""
    return [
        Batch(message.service, message.timestamp_ms, message.content) if isinstance(message, Batch) else message
        for message in decode(frame)
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["service", "command", "requestid", "content", "timestamp", "heartbeat", "code", "msg", "key"])
elements = st.dictionaries(names, json_values | st.dictionaries(names, json_values, max_size=3), max_size=6)
parts = st.sampled_from(["response", "notify", "data", "snapshot"])
envelopes = st.dictionaries(
    parts,
    st.lists(elements | json_values, max_size=3) | json_values,
)


def data(content: str, service: str = "LEVELONE_FUTURES") -> str:
    """A data frame with this content, as text that need not be JSON."""
    return f'{{"data":[{{"service":"{service}","timestamp":7,"command":"SUBS","content":[{content}]}}]}}'


def only_entry(frame: str | bytes) -> dict[str, Any]:
    """The one entry of the one batch of a frame."""
    (batch,) = decode(frame)
    assert isinstance(batch, Batch)
    (entry,) = batch.content
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize("name", FRAMES)
def test_every_recorded_frame_is_understood(name: str) -> None:
    """No frame of the recordings, the broken ones included, leaves anything that cannot be understood."""
    messages = decode(FRAMES[name])
    assert messages
    assert not [message for message in messages if isinstance(message, Undecodable)]


@pytest.mark.parametrize("name", FRAMES)
def test_text_and_bytes_are_the_same_frame(name: str) -> None:
    """A frame means the same whether it arrives as text or as UTF-8 bytes."""
    assert decode(FRAMES[name].encode()) == decode(FRAMES[name])


def test_what_each_form_of_frame_becomes() -> None:
    """Responses, heartbeats, notices and data each become the message of their kind, with their values."""
    assert decode(FRAMES["login-denied"]) == [
        Response("ADMIN", "LOGIN", "1", 3, "Login Denied.: token is invalid or has expired.")
    ]
    assert decode(FRAMES["heartbeat"]) == [Heartbeat(1668715930582)]
    assert decode(FRAMES["stop-no-subscriptions"]) == [Notice("ADMIN", 30, "Stop streaming due to empty subscription")]
    (eviction,) = decode(FRAMES["evicted"])
    assert isinstance(eviction, Notice)
    assert (eviction.service, eviction.code) == ("Invalid Service", 12)
    assert read(FRAMES["futures-quote-change"]) == [
        Batch("LEVELONE_FUTURES", 1765083431071, [{"key": "/ES", "2": 6880.0, "5": 7, "10": 1765083431002}])
    ]


def test_several_messages_of_one_frame_keep_their_order() -> None:
    """Two responses, or two services in one data array, are decoded as two messages in their order."""
    first, second = decode(FRAMES["two-responses"])
    assert isinstance(first, Response)
    assert isinstance(second, Response)
    assert (first.request_id, second.request_id) == ("2", "3")
    futures, equities = decode(FRAMES["two-services-one-frame"])
    assert isinstance(futures, Batch)
    assert isinstance(equities, Batch)
    assert (futures.service, len(futures.content)) == ("LEVELONE_FUTURES", 1)
    assert (equities.service, len(equities.content)) == ("LEVELONE_EQUITIES", 2)


def test_responses_and_data_may_share_a_frame() -> None:
    """A frame with data, an answer and a heartbeat loses none of them."""
    frame = (
        '{"data":[{"service":"LEVELONE_FUTURES","timestamp":7,"content":[{"key":"/ES","3":1}]}],'
        '"response":[{"service":"ADMIN","command":"LOGIN","requestid":"1","content":{"code":0,"msg":"ok"}}],'
        '"notify":[{"heartbeat":"5"}]}'
    )
    assert decode(frame) == [
        Batch("LEVELONE_FUTURES", 7, [{"key": "/ES", "3": 1}]),
        Response("ADMIN", "LOGIN", "1", 0, "ok"),
        Heartbeat(5),
    ]


def test_unknown_services_and_fields_pass_through() -> None:
    """A service or field without a table is still a batch: refusing it is not the codec's task."""
    assert only_entry(data('{"key":"X","999":[1],"new":{"a":null}}', "BRAND_NEW")) == {
        "key": "X",
        "999": [1],
        "new": {"a": None},
    }


def test_the_unknown_symbol_frame_keeps_all_but_its_numbers() -> None:
    """Where U+FFFD stands for a number the field becomes null and the rest of the entry counts (trap T5)."""
    entry = only_entry(FRAMES["unknown-symbol-invalid-json"])
    assert entry["16"] == "Symbol not found"
    assert entry["22"] == "Unknown"
    assert all(entry[number] is None for number in ("1", "2", "3", "12", "13", "14", "18", "24", "33"))


@pytest.mark.parametrize(
    "token",
    [
        "NaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "\ufffd",
        "-\ufffd",
        "\ufffd\ufffd\ufffd",
        "\u221e",
        "-\u221e",
        "1e999",
        "-1.5E+4000",
        "9" * 400,
        "-" + "9" * 5000,
        "12345678901234567890e300",
        "1.2.3",
        "1-2",
    ],
)
def test_a_number_that_is_not_finite_becomes_null(token: str) -> None:
    """Every way of printing "no number" costs its own field and no other (traps T5)."""
    assert only_entry(data(f'{{"key":"/NQ","1":{token},"2":25000.5,"4":1e2}}')) == {
        "key": "/NQ",
        "1": None,
        "2": 25000.5,
        "4": 100.0,
    }


def test_strings_are_left_alone_by_the_repair() -> None:
    """NaN, U+FFFD, numbers and escapes inside strings stay as they are while the frame around them is repaired."""
    said = 'a "NaN" \\ is \ufffd, Infinity, 1e999 too\n'
    frame = data(f'{{"key":"/NQ","1":NaN,"16":{json.dumps(said, ensure_ascii=False)}}}')
    assert only_entry(frame) == {"key": "/NQ", "1": None, "16": said}


def test_a_string_with_a_replacement_character_needs_no_repair() -> None:
    """U+FFFD in a string of a sound frame is data."""
    assert only_entry(data('{"key":"/NQ","16":"\ufffd"}')) == {"key": "/NQ", "16": "\ufffd"}


def test_bytes_that_are_no_text_cost_their_string_only() -> None:
    """A byte that is not UTF-8 inside a string becomes U+FFFD there; outside strings it is an unknown number."""
    frame = data('{"key":"/NQ","16":"<>","1":<>,"2":5}').encode().replace(b"<>", b"\xff\xfe")
    assert only_entry(frame) == {"key": "/NQ", "16": "\ufffd\ufffd", "1": None, "2": 5}


def test_over_escaped_frames_are_read() -> None:
    """A frame whose backslashes were doubled is read once the doubling is undone (trap T6)."""
    assert only_entry(data('{"key":"Account Activity","3":"{\\\\"SchwabOrderID\\\\":\\\\"0\\\\"}"}')) == {
        "key": "Account Activity",
        "3": '{"SchwabOrderID":"0"}',
    }


@pytest.mark.parametrize("frame", ["", "null", "[]", "7", '"data"', "{", "<html>Denied</html>", b"\x00\xff", b""])
def test_a_frame_that_is_not_a_json_object_is_one_undecodable(frame: str | bytes) -> None:
    """A frame that is not a JSON object becomes exactly one Undecodable that shows its beginning."""
    shown = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
    assert decode(frame) == [Undecodable("the frame is not a JSON object", shown)]


def test_an_empty_object_gives_nothing() -> None:
    """A frame without any part, or with empty parts, yields no message."""
    assert decode("{}") == []
    assert decode('{"data":[],"notify":[],"response":[]}') == []


def test_the_sample_is_bounded() -> None:
    """The sample of a long frame is short."""
    for frame in ("x" * 10_000, b"x" * 10_000):
        (part,) = decode(frame)
        assert isinstance(part, Undecodable)
        assert part.sample == "x" * SAMPLE_LENGTH


def test_the_sample_can_always_be_written_to_a_log() -> None:
    """A sample holds no half of a surrogate pair, which no log file or terminal takes."""
    (part,) = decode("\ud800")
    assert isinstance(part, Undecodable)
    assert part.sample.encode("utf-8")


@pytest.mark.parametrize("part", ['"snapshot":[{}]', '"data":{}', '"response":null', '"data":"x"', '"":[]'])
def test_an_unexpected_part_does_not_spoil_the_frame(part: str) -> None:
    """A part with an unknown name, or one that is not a list, is Undecodable; the other parts stand."""
    damaged, heartbeat = decode(f'{{{part},"notify":[{{"heartbeat":"1"}}]}}')
    assert isinstance(damaged, Undecodable)
    assert damaged.reason.startswith("unexpected part")
    assert heartbeat == Heartbeat(1)


@pytest.mark.parametrize(
    "element",
    [
        "null",
        "7",
        '"heartbeat"',
        "[]",
        "{}",
        '{"service":"ADMIN"}',
        '{"service":"ADMIN","command":"LOGIN","requestid":"1","content":null}',
        '{"service":"ADMIN","command":"LOGIN","requestid":"1","content":[]}',
        '{"service":"ADMIN","command":"LOGIN","requestid":"1","content":{"code":"0"}}',
        '{"service":"ADMIN","command":"LOGIN","requestid":"1","content":{"code":true}}',
        '{"service":"ADMIN","command":"LOGIN","requestid":"1","content":{"code":0.0}}',
        '{"service":"ADMIN","command":"LOGIN","requestid":null,"content":{"code":0}}',
        '{"service":"ADMIN","command":"LOGIN","requestid":true,"content":{"code":0}}',
        '{"service":null,"command":"LOGIN","requestid":"1","content":{"code":0}}',
        '{"service":"ADMIN","command":7,"requestid":"1","content":{"code":0}}',
    ],
)
def test_a_malformed_response_does_not_spoil_its_neighbours(element: str) -> None:
    """An element that is not an answer is Undecodable, and the answers beside it count."""
    good = '{"service":"ADMIN","command":"LOGIN","requestid":"1","content":{"code":0}}'
    before, middle, after = decode(f'{{"response":[{good},{element},{good}]}}')
    assert before == after == Response("ADMIN", "LOGIN", "1", 0, "")
    assert isinstance(middle, Undecodable)
    assert middle.reason == "malformed response"


@pytest.mark.parametrize(
    "element", ["null", "1.5", '"heartbeat"', '["heartbeat"]', '{"heartbeat":null}', '{"heartbeat":"soon"}',
     '{"heartbeat":true}', '{"heartbeat":[]}', '{"heartbeat":"' + "9" * 5000 + '"}',
     '{"service":"ADMIN"}', '{"service":1,"content":{"code":30}}', '{"service":"ADMIN","content":{"code":"30"}}'],
)  # fmt: skip
def test_a_malformed_notice_is_undecodable(element: str) -> None:
    """A notify element that is neither heartbeat nor notice is Undecodable, and the next one counts."""
    damaged, heartbeat = decode(f'{{"notify":[{element},{{"heartbeat":"1"}}]}}')
    assert isinstance(damaged, Undecodable)
    assert damaged.reason == "malformed notify"
    assert heartbeat == Heartbeat(1)


@pytest.mark.parametrize(
    "element", ["null", "7", '"data"', "{}", '{"service":"A"}', '{"service":"A","content":{}}',
     '{"service":"A","content":null}', '{"service":["A"],"content":[]}'],
)  # fmt: skip
def test_malformed_data_is_undecodable(element: str) -> None:
    """A data element without a service's name or a list of entries is Undecodable, and the next one counts."""
    damaged, batch = decode(f'{{"data":[{element},{{"service":"B","content":[]}}]}}')
    assert isinstance(damaged, Undecodable)
    assert damaged.reason == "malformed data"
    assert batch == Batch("B", None, [])


def test_numbers_where_schwab_writes_strings() -> None:
    """A request id or heartbeat that comes as a number is read like one that comes as a string."""
    assert decode('{"notify":[{"heartbeat":1668715930582}]}') == [Heartbeat(1668715930582)]
    assert decode('{"response":[{"service":"A","command":"SUBS","requestid":2,"content":{"code":0}}]}') == [
        Response("A", "SUBS", "2", 0, "")
    ]


@pytest.mark.parametrize("message", ["null", "7", "[]"])
def test_a_message_that_is_not_text_is_empty(message: str) -> None:
    """An answer or notice counts without its text when the text is not a string."""
    assert decode(f'{{"notify":[{{"service":"ADMIN","content":{{"code":30,"msg":{message}}}}}]}}') == [
        Notice("ADMIN", 30, "")
    ]


@pytest.mark.parametrize("timestamp", ["null", '"7"', "7.5", "true", "NaN", str(2**70), str(-(2**63) - 1)])
def test_a_timestamp_that_is_not_an_integer_is_unknown(timestamp: str) -> None:
    """Data with an unusable timestamp is data all the same."""
    assert read(f'{{"data":[{{"service":"A","timestamp":{timestamp},"content":[]}}]}}') == [Batch("A", None, [])]


LEVEL = '{"0":5.5,"1":7,"2":1,"3":[{"0":"A","1":7,"2":9}]}'
BOOK = f'{{"key":"AMD","1":3,"2":[{",".join([LEVEL] * 9)}],"3":null}}'  # many levels: it is read as a book at once


def book_frame(content: str, head: str = '"service":"NYSE_BOOK","timestamp":7,', rest: str = "") -> str:
    """A frame as Schwab writes it, of one book service."""
    return f'{{"data":[{{{head}"content":[{content}]}}]{rest}}}'


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("space", ["", " "])
def test_books_come_read(as_bytes: bool, space: str) -> None:
    """A frame of books is batches of ``Book`` objects: no second look at their parts is needed."""
    frame = book_frame(f"{BOOK},{BOOK}").replace(":", f":{space}")
    (batch,) = decode(frame.encode() if as_bytes else frame)
    assert isinstance(batch, Batch)
    assert (batch.service, batch.timestamp_ms) == ("NYSE_BOOK", 7)
    assert batch.content == [read_book(orjson.loads(BOOK))] * 2


@pytest.mark.parametrize(
    "entry", ["7", "null", "{}", BOOK.replace("5.5", "NaN"), BOOK.replace("5.5", '"5.5"'), '{"key":["AMD"]}']
)
def test_one_bad_book_leaves_the_others(entry: str) -> None:
    """Where one entry is not a book, all are passed on unchanged, for the market to sort."""
    (batch,) = decode(book_frame(f"{BOOK},{entry}"))
    assert isinstance(batch, Batch)
    assert len(batch.content) == 2
    assert batch.content[0] == orjson.loads(BOOK)


@pytest.mark.parametrize("head", ['"service":"NYSE_BOOK",', '"service":"NYSE_BOOK","timestamp":null,',
                                  '"service":"NYSE_BOOK","timestamp":"7",', '"service":"NYSE_BOOK","timestamp":1e3,'],
)  # fmt: skip
def test_books_without_a_time(head: str) -> None:
    """Books in a frame with an unusable timestamp are books all the same."""
    (batch,) = decode(book_frame(BOOK, head))
    assert isinstance(batch, Batch)
    assert (batch.service, batch.timestamp_ms) == ("NYSE_BOOK", None)
    (book,) = batch.content
    assert (book if isinstance(book, Book) else read_book(book)) == read_book(orjson.loads(BOOK))


def test_what_comes_with_books_is_not_lost() -> None:
    """A heartbeat or level 1 in the same frame as a book arrives, the book too, and nothing is taken for a book."""
    beside = decode(book_frame(BOOK, rest=',"notify":[{"heartbeat":"1"}]'))
    assert [type(message) for message in beside] == [Batch, Heartbeat]
    quote = '{"service":"LEVELONE_EQUITIES","timestamp":7,"content":[{"key":"AMD","1":3}]}'
    _, level_one = read(book_frame(BOOK)[:-2] + f",{quote}]}}")
    assert level_one == Batch("LEVELONE_EQUITIES", 7, [{"key": "AMD", "1": 3}])


@pytest.mark.parametrize("service", ["ODD_BOOK", "FOREX_BOOK"])
def test_books_nobody_knows_are_a_batch(service: str) -> None:
    """A service that only sounds like a book is unread."""
    head = f'"service":"{service}","timestamp":7,'
    assert read(book_frame(BOOK, head)) == [Batch(service, 7, [orjson.loads(BOOK)])]


@pytest.mark.parametrize("place", ['"1":', '"0":', '"x":'])
def test_deep_nesting_in_a_book_is_survived(place: str) -> None:
    """Lists within lists in a book exhaust no stack."""
    nested = "[" * 5000 + "]" * 5000
    assert all(isinstance(message, TYPES) for message in decode(book_frame(f'{{"key":"AMD",{place}{nested}}}')))


def test_text_that_is_not_unicode_is_survived() -> None:
    """Half a surrogate pair in a frame of books raises nothing, be it in the text or escaped."""
    for half in ("\ud800", "\\ud800"):
        assert all(isinstance(message, TYPES) for message in decode(book_frame(BOOK.replace("AMD", half))))


@pytest.mark.parametrize("depth", [300, 900, 1000, 2000])
@pytest.mark.parametrize("place", ["requestid", "msg", "code", "service", "heartbeat", "content", "timestamp"])
def test_deep_nesting_is_survived(place: str, depth: int) -> None:
    """Lists within lists, wherever they stand, exhaust no stack."""
    nested = "[" * depth + "]" * depth
    content = f'{{"code":0,"{place}":{nested}}}'
    element = f'{{"service":"A","command":"B","requestid":"1","content":{content},"{place}":{nested}}}'
    for part in ("response", "notify", "data"):
        assert all(isinstance(message, TYPES) for message in decode(f'{{"{part}":[{element}]}}'))


@pytest.mark.parametrize(
    "tail", ['"' + '\\"' * 200_000, "1" * 400_000, "\ufffd-" * 200_000, '"a' * 200_001, '"\\' * 200_000]
)
def test_a_broken_frame_costs_time_in_proportion_to_its_length(tail: str) -> None:
    """A frame cut off in the middle of a long string is given up at once: the reader must not stall."""
    begun = time.process_time()
    decode('{"data":[' + tail)
    assert time.process_time() - begun < 2


@given(st.binary() | st.text())
def test_any_bytes_end_in_messages(frame: bytes | str) -> None:
    """Any input gives messages; nothing is raised into the reader."""
    messages = decode(frame)
    assert all(isinstance(message, TYPES) for message in messages)


@given(envelopes)
def test_any_json_ends_in_messages(envelope: Any) -> None:
    """Any JSON of roughly the right shape gives messages of the promised types."""
    for message in decode(json.dumps(envelope)):
        match message:
            case Response(request_id=identity, code=code, message=text):
                assert (type(identity), type(code), type(text)) == (str, int, str)
            case Heartbeat(time_ms=time_ms):
                assert type(time_ms) is int
            case Notice(service=service, code=code):
                assert (type(service), type(code)) == (str, int)
            case Batch(timestamp_ms=timestamp, content=content):
                assert timestamp is None or type(timestamp) is int
                assert type(content) is list
            case Undecodable(reason=reason, sample=sample):
                assert reason
                assert len(sample) <= SAMPLE_LENGTH


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
VALUES = st.text(max_size=4).map(json.dumps) | NUMBERS | st.sampled_from(["null", "true", "false", "NaN", "[]", "{}"])
ENTRIES = st.dictionaries(st.sampled_from(["key", "1", "2", "ü", '"\\', "command"]), VALUES).map(
    lambda entry: "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in entry.items()) + "}"
)


@given(
    content=st.lists(ENTRIES | VALUES, max_size=3), timestamp=VALUES, beside=VALUES, at=st.integers(0, 300),
    cut=st.just(0) | st.integers(0, 5), put=st.binary(max_size=2)
)  # fmt: skip
def test_read_at_once_is_read_in_parts(
    content: list[str], timestamp: str, beside: str, at: int, cut: int, put: bytes
) -> None:
    """A frame of data alone decodes to the same as with another message beside it, damaged or not."""
    batch = f'{{"service":"A","timestamp":{timestamp},"command":{beside},"content":[{",".join(content)}]}}'
    frame = f'{{"data":[{batch}'.encode()
    if cut:
        frame = frame[:at] + put + frame[at + cut :]
    at_once, in_parts = decode(frame + b"]}"), decode(frame + b'],"notify":[]}')
    if not any(isinstance(message, Undecodable) for message in (*at_once, *in_parts)):
        assert repr(read(frame + b"]}")) == repr(read(frame + b'],"notify":[]}'))
    else:
        assert [type(message) for message in at_once][:1] == [type(message) for message in in_parts][:1]


@given(st.sampled_from(sorted(FRAMES)), st.data())
def test_damaged_recordings_end_in_messages(name: str, damage: st.DataObject) -> None:
    """A recorded frame with some of its bytes cut out or replaced never raises."""
    frame = bytearray(FRAMES[name].encode())
    start = damage.draw(st.integers(0, len(frame)))
    frame[start : start + damage.draw(st.integers(0, 20))] = damage.draw(st.binary(max_size=20))
    assert all(isinstance(message, TYPES) for message in decode(bytes(frame)))


@given(
    st.lists(
        st.dictionaries(
            st.text(alphabet=st.characters(codec="utf-8")), st.text(alphabet=st.characters(codec="utf-8")), min_size=1
        )
    )
)
def test_encoded_requests_come_back(requests: list[dict[str, Any]]) -> None:
    """Decoding what was encoded gives the same requests."""
    assert list(decode_requests(encode(requests))) == requests


def test_a_bare_request_is_a_request() -> None:
    """A request may come without the envelope (protocol 3.2)."""
    assert list(decode_requests('{"service":"ADMIN"}')) == [{"service": "ADMIN"}]


@pytest.mark.parametrize("frame", ["", "[]", "7", "{", '{"requests":{}}', '{"requests":[7]}', '{"requests":null}'])
def test_a_frame_that_is_not_a_request_is_refused(frame: str) -> None:
    """A client's frame that is not a request raises ``ValueError``."""
    with pytest.raises(ValueError):
        list(decode_requests(frame))


def test_encode_writes_one_envelope() -> None:
    """Requests leave as one JSON object with the key ``requests``."""
    assert orjson.loads(encode([{"a": 1}, {"b": "ü"}])) == {"requests": [{"a": 1}, {"b": "ü"}]}


def test_texts_for_logs_have_account_numbers_masked() -> None:
    """The message of an answer or a notice, and the sample of a broken frame, are logged: they name no account."""
    (answer,) = decode(
        b'{"response":[{"service":"A","command":"SUBS","requestid":"1","content":{"code":3,"msg":"12345678"}}]}'
    )
    (notice,) = decode(b'{"notify":[{"service":"A","content":{"code":12,"msg":"of 1234-5678"}}]}')
    (broken,) = decode(b'{"data":[{"content":[{"account":"12345678"')
    assert isinstance(answer, Response)
    assert isinstance(notice, Notice)
    assert isinstance(broken, Undecodable)
    assert (answer.message, notice.message) == ("****5678", "of ****5678")
    assert broken.sample == '{"data":[{"content":[{"account":"****5678"'


def test_a_sample_that_ends_within_an_account_number_does_not_show_its_beginning() -> None:
    """The frame is masked before it is cut."""
    frame = b'{"data":[' + b" " * (SAMPLE_LENGTH - 16) + b'"987654321'
    (broken,) = decode(frame)
    assert isinstance(broken, Undecodable)
    assert "9876" not in broken.sample
