"""The part of an event that is read before it is parsed, and lost events of a symbol, found by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.consumer.event_header import Chains, read_header, read_seq
from schwabstream.events import Channel

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


def follow(
    chains: Chains, seq: int, prev: int, symbol: str = "A", *, live: bool = True
) -> tuple[bool, int, int] | None:
    """Follow one tick: whether a new run began, and the numbers around the break."""
    found = chains.follow(Channel.TICKS, symbol, seq, prev, seq, live=live)
    return found and (found.restarted, found.seq_before, found.seq_after)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.booleans()), max_size=30))
def test_a_break_is_found_exactly_where_events_of_the_symbol_are_missing(events: list[tuple[str, bool]]) -> None:
    """However the events of others lie between, a break comes when and only when one of the symbol's own was lost."""
    chains, newest, missed = Chains(), dict.fromkeys("AB", 0), dict[str, bool]()
    for seq, (symbol, arrives) in enumerate(events, start=1):
        if arrives:
            assert (follow(chains, seq, newest[symbol], symbol) is not None) is missed.get(symbol, False)
            missed[symbol] = False
        elif symbol in missed:
            missed[symbol] = True
        newest[symbol] = seq


def test_last_values_continue_a_chain_but_do_not_begin_one() -> None:
    """After an outage the last value shows what was lost; at the start it may be of a run before."""
    chains = Chains()
    assert follow(chains, 5, 0, live=False) is None
    assert follow(chains, 20, 0) is None
    assert follow(chains, 21, 20, live=False) is None
    assert follow(chains, 25, 23, live=False) == (False, 21, 25)
    assert follow(chains, 26, 25) is None


def test_a_new_run_is_reported_once_however_many_symbols_there_are() -> None:
    """The first event of the new run breaks the chains of all symbols at once."""
    chains = Chains()
    for seq, symbol in enumerate("ABC", start=1):
        follow(chains, seq, 0, symbol)
    found = [follow(chains, seq, 0, symbol) for seq, symbol in enumerate("ABC", start=100)]
    assert found == [(True, 1, 100), None, None]
    assert follow(chains, 200, 0) == (True, 100, 200)
