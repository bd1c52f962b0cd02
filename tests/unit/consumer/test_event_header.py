"""The part of an event that is read before it is parsed."""

import pytest

from schwabstream.consumer.event_header import read_header, read_seq

USUAL = b'{"v":1,"type":"tick","symbol":"/MNQ:XCME","key":"/MNQ","seq":%b,"timestamp":1}'
LINKED = USUAL.replace(b'"seq":%b,', b'"seq":%b,"prev":5,')
OTHER = b'{"seq":%b,"key":"/MNQ","symbol":"/MNQ:XCME"}'


@pytest.mark.parametrize("form", [USUAL, OTHER])
@pytest.mark.parametrize("seq", [0, 17, 2**63 - 1])
def test_seq_symbol_and_key_are_read_from_either_form(form: bytes, seq: int) -> None:
    """The streamer's own order of names and any other give the same."""
    assert read_header(form % b"%d" % seq) == (seq, "/MNQ:XCME", "/MNQ", None)
    assert read_seq(form % b"%d" % seq) == seq


@pytest.mark.parametrize("form", [LINKED, OTHER.replace(b"{", b'{"prev":5,')])
def test_prev_is_read_where_there_is_one(form: bytes) -> None:
    """The number of the event before comes from either form; an event of another publisher may have none."""
    assert read_header(form % b"17") == (17, "/MNQ:XCME", "/MNQ", 5)


@pytest.mark.parametrize("form", [USUAL, OTHER])
def test_a_seq_beyond_every_integer_is_none(form: bytes) -> None:
    """Thousands of digits raise nothing and are not an integer."""
    assert read_seq(form % (b"9" * 5_000)) is None


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"1", b"null", b"{}", b'{"seq":true}', b'{"seq":"1"}'])
def test_what_is_not_an_event_has_no_seq(payload: bytes) -> None:
    """Anything may be published; nothing of it raises."""
    assert read_seq(payload) is None
