"""The lines of a recording: what goes in comes out, and what is not one is refused."""

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.recording.format import Header, Record, decode_header, decode_record, encode_header, encode_record

HEADER = Header("1.2.3", ("/NQ:XCME", "AAPL"), ("LEVELONE_FUTURES",), "America/Chicago", 1_795_228_666_976_396)
MOMENTS = st.integers(1, (1 << 57) - 1)


def test_a_header_comes_back() -> None:
    """Version, symbols, services, time zone, times and part survive; the first part begins with the run."""
    back = decode_header(encode_header(HEADER))
    assert back == replace(HEADER, part_us=HEADER.started_us)


def test_a_header_has_its_time_in_words() -> None:
    """A person who looks at the file sees the local time with its offset."""
    assert orjson.loads(encode_header(HEADER))["started"] == "2026-11-20T20:37:46.976396-06:00"


@pytest.mark.parametrize(
    ("zone", "offset_h"), [("America/Chicago", -6), ("+0530", 5.5), ("Not/AZone", 0), ("../etc/passwd", 0), ("", 0)]
)
def test_a_zone_is_a_name_or_an_offset(zone: str, offset_h: float) -> None:
    """What is neither means UTC."""
    header = Header("1", (), (), zone, HEADER.started_us)
    assert header.started.utcoffset() == timedelta(hours=offset_h)


@pytest.mark.parametrize(
    "change",
    [
        {"recording": "somebody else's"},
        {"format": 2},
        {"symbols": "AAPL"},
        {"symbols": [1]},
        {"started_us": "now"},
        {"started_us": -1},
        {"part": "first"},
        {"services": None},
    ],
)
def test_a_line_that_is_not_a_header_is_refused(change: dict[str, object]) -> None:
    """Another program's file, a later format and nonsense are refused with ``ValueError``."""
    content = orjson.loads(encode_header(HEADER)) | change
    with pytest.raises(ValueError):
        decode_header(orjson.dumps(content))


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b"null", b'{"t":1,"in":"x"}'])
def test_other_lines_are_no_headers(line: bytes) -> None:
    """JSON or not, a line without the mark is not a header."""
    with pytest.raises(ValueError, match="does not begin with a header"):
        decode_header(line)


@given(MOMENTS, st.binary(max_size=200), st.booleans())
def test_any_frame_comes_back(at_us: int, frame: bytes, carried: bool) -> None:
    """Bytes come back as they were, whether they were text or not."""
    back = decode_record(encode_record(Record(at_us, "in", frame, carried)))
    payload = back.payload.encode() if isinstance(back.payload, str) else back.payload
    assert (back.at_us, back.kind, payload, back.repeated) == (at_us, "in", frame, carried)


@given(MOMENTS, st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_command_comes_back(at_us: int, text: str) -> None:
    """Commands are text and stay text."""
    record = Record(at_us, "out", text)
    assert decode_record(encode_record(record)) == record


def test_symbols_come_back() -> None:
    """The streamed symbols are one text."""
    assert encode_record(Record(5, "symbols", "/NQ,AAPL")) == b'{"t":5,"symbols":"/NQ,AAPL"}\n'
    assert decode_record(b'{"t":5,"symbols":"/NQ,AAPL"}') == Record(5, "symbols", "/NQ,AAPL")


def test_a_loss_comes_back() -> None:
    """How many frames were lost is a number."""
    assert encode_record(Record(5, "lost", "17")) == b'{"t":5,"lost":17}\n'
    assert decode_record(b'{"t":5,"lost":17}') == Record(5, "lost", "17")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"in":"x"}',
        b'{"t":"1","in":"x"}',
        b'{"t":0,"in":"x"}',
        b'{"t":1}',
        b'{"t":1,"in":5}',
        b'{"t":1,"in64":"%"}',
        b'{"t":4611686018427387904,"in":"x"}',
        b'{"t":true,"in":"x"}',
    ],
)
def test_a_line_that_is_not_a_record_is_refused(line: bytes) -> None:
    """A line that cannot be replayed raises ``ValueError``."""
    with pytest.raises(ValueError):
        decode_record(line)
