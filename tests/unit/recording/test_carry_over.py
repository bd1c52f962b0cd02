"""A later part of a rotated recording begins with the state at the end of the part before."""

import orjson

from schwabstream.recording.carry_over import CarryOver
from schwabstream.recording.format import Record

AT_US = 1_795_228_700_000_000


def _in(*messages: dict[str, object]) -> Record:
    return Record(1, "in", orjson.dumps({"data": list(messages)}))


def _data(service: str, *content: dict[str, object]) -> dict[str, object]:
    return {"service": service, "timestamp": 5, "command": "SUBS", "content": list(content)}


def test_level_one_is_carried_over_as_merged() -> None:
    """Changes are merged into the snapshot; the carried frame is the state at the rotation."""
    carry = CarryOver()
    carry.follow(_in(_data("LEVELONE_FUTURES", {"key": "/NQ", "delayed": False, "1": 1.0, "2": 2.0})))
    carry.follow(_in(_data("LEVELONE_FUTURES", {"key": "/NQ", "1": 1.5}, {"key": "/ES", "3": 4.0})))
    (record,) = carry.records(AT_US)
    assert (record.at_us, record.kind, record.repeated) == (AT_US, "in", True)
    content = [{"key": "/NQ", "delayed": False, "1": 1.5, "2": 2.0}, {"key": "/ES", "3": 4.0}]
    assert orjson.loads(record.payload) == {"data": [_data("LEVELONE_FUTURES", *content)]}


def test_a_released_key_is_not_carried_over() -> None:
    """A key that was unsubscribed leaves no state behind, however many come and go."""
    carry = CarryOver()
    carry.follow(_in(_data("LEVELONE_FUTURES", {"key": "/NQ", "1": 1.0}, {"key": "/ES", "1": 2.0})))
    command = '{"requests":[{"service":"LEVELONE_FUTURES","command":"UNSUBS","parameters":{"keys":"/ES,/MNQ"}}]}'
    carry.follow(Record(2, "out", command))
    _, record = carry.records(AT_US)
    assert orjson.loads(record.payload) == {"data": [_data("LEVELONE_FUTURES", {"key": "/NQ", "1": 1.0})]}


def test_books_and_bars_are_not_carried_over() -> None:
    """Books and bars come whole and are not carried over."""
    carry = CarryOver()
    carry.follow(_in(_data("NASDAQ_BOOK", {"key": "AAPL", "2": []}), _data("CHART_FUTURES", {"key": "/NQ"})))
    assert carry.records(AT_US) == []


def test_commands_and_answers_of_this_session_are_carried_over() -> None:
    """A refused futures book must be known in every part; another session's talk is forgotten."""
    carry = CarryOver()
    login = Record(1, "out", '{"requests":[{"service":"ADMIN","command":"LOGIN"}]}')
    book = Record(2, "out", '{"requests":[{"service":"FUTURES_BOOK","command":"SUBS","requestid":"2"}]}')
    answer = Record(3, "in", b'{"response":[{"service":"FUTURES_BOOK","requestid":"2","content":{"code":11}}]}')
    for record in (book, login, book, answer, Record(4, "in", b'{"notify":[{"heartbeat":"1"}]}')):
        carry.follow(record)
    assert carry.records(AT_US) == [record._replace(repeated=True) for record in (login, book, answer)]


def test_malformed_values_give_nothing() -> None:
    """Broken frames are passed over without harm."""
    carry = CarryOver()
    for frame in (b'{"data"', b'{"data":5}', b'{"data":[{"service":"LEVELONE_FUTURES","content":[7]}]}', b"\xff"):
        carry.follow(Record(1, "in", frame))
    carry.follow(Record(1, "lost", "5"))
    assert not any(orjson.loads(record.payload)["data"][0]["content"] for record in carry.records(AT_US))
