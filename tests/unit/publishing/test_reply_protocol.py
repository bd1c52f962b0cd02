"""The replies to a transaction, however the network cuts them up."""

import asyncio
from typing import Any, cast

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.publishing.reply_protocol import ReplyProtocol

QUEUED = 3
ANSWER = b"*3\r\n:1\r\n$3\r\n1-0\r\n:0\r\n"
TAKEN = b"+OK\r\n" + b"+QUEUED\r\n" * QUEUED + ANSWER
REFUSED = b"+OK\r\n+QUEUED\r\n-OOM no memory\r\n+QUEUED\r\n-EXECABORT discarded\r\n"


class Wire:
    """A connection as redis-py makes it, reduced to its transport."""

    def __init__(self) -> None:
        self._writer = self.transport = self
        self.sent, self.aborted, self.closing = b"", False, False

    def get_protocol(self) -> Any:
        return self

    def set_protocol(self, protocol: ReplyProtocol) -> None:
        self.protocol = protocol

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = error

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = True


def hear(link: ReplyProtocol, data: bytes) -> None:
    """Let the event loop have read this."""
    link.get_buffer(-1)[: len(data)] = data
    link.buffer_updated(len(data))


@given(st.sampled_from([TAKEN, REFUSED]), st.lists(st.integers(1, 30), max_size=40))
def test_replies_are_the_same_however_they_are_cut(said: bytes, sizes: list[int]) -> None:
    """One answer for one transaction: the outcome alone when all was queued, else every reply to the end."""
    wire, answers, lost = Wire(), cast("list[list[Any]]", []), cast("list[Exception]", [])
    link = ReplyProtocol(cast("Any", wire), lost.append)
    link.exchange(b"packed", QUEUED, 1, answers.append)
    rest = said
    for size in [*sizes, len(said)]:
        if rest:
            hear(link, rest[:size])
            rest = rest[size:]
    (replies,) = answers
    assert (wire.sent, lost) == (b"packed", [])
    if said is TAKEN:
        assert replies == [[1, b"1-0", 0]]
    else:
        assert len(replies) == 1 + QUEUED + 1
        assert [isinstance(reply, hiredis.ReplyError) for reply in replies] == [False, False, True, False, True]


def test_the_end_of_a_connection_is_reported_once_and_not_after_release() -> None:
    """After release nothing more is reported; what was under way is cut off."""
    wire, lost = Wire(), cast("list[Exception]", [])
    link = ReplyProtocol(cast("Any", wire), lost.append)
    link.connection_lost(None)
    link.connection_lost(None)
    assert [type(error) for error in lost] == [ConnectionResetError]
    released = ReplyProtocol(cast("Any", wire), lost.append)
    released.exchange(b"packed", 1, 1, lambda _: pytest.fail("nobody asked"))
    released.release()
    hear(released, TAKEN)
    released.connection_lost(None)
    assert wire.aborted
    assert len(lost) == 1


async def test_a_connection_that_ends_with_its_answer_is_an_error() -> None:
    """A connection that ends in the turn of the event loop that brings the answer is reported as lost."""
    wire, lost = Wire(), cast("list[Exception]", [])
    link = ReplyProtocol(cast("Any", wire), lost.append)
    asked = asyncio.ensure_future(link.ask(b"packed", 1))
    await asyncio.sleep(0)
    hear(link, b"+OK\r\n")
    wire.closing = True
    link.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await asked
    assert lost == []


async def test_an_answer_that_nobody_awaits_any_more_is_dropped() -> None:
    """An answer that arrives in the turn of the event loop that cancels its caller raises nothing."""
    wire = Wire()
    link = ReplyProtocol(cast("Any", wire), lambda _error: None)
    asked = asyncio.ensure_future(link.ask(b"packed", 1))
    await asyncio.sleep(0)
    asked.cancel()
    hear(link, b"+OK\r\n")
    with pytest.raises(asyncio.CancelledError):
        await asked
