"""The header of a published event (``seq``, ``symbol``, ``key``, ``prev``), and lost events of a symbol found by it.

Does not validate. ``seq`` counts the events of all symbols, so a reader of one symbol cannot distinguish a lost event
from one of another symbol. ``prev`` names the event before of the same symbol.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from schwabstream.events import Channel

# The start of every event of the streamer; another publisher may order the names differently. 19 digits: more do not
# fit a 64-bit integer, and int() raises for thousands of them.
_USUAL_START: Final = re.compile(
    rb'\{"v":1,"type":"[a-z0-9]+","symbol":"([ -!#-\[\]-~]*)","key":"([ -!#-\[\]-~]*)","seq":(\d{1,19}),'
    rb'(?:"prev":(\d{1,19}),)?'
)


_USUAL_SYMBOL: Final = re.compile(rb'\{"v":1,"type":"[a-z0-9]+","symbol":"([ -!#-\[\]-~]*)"')


def read_symbols(payloads: Iterable[bytes]) -> list[bytes | None]:
    """The ``symbol`` of each event of the streamer; None for a payload that starts in another way."""
    return [usual and usual[1] for usual in map(_USUAL_SYMBOL.match, payloads)]


def read_header(payload: bytes) -> tuple[object, object, object, object]:
    """``seq``, ``symbol``, ``key`` and ``prev``, not validated; all None when the payload is not a JSON object.

    Decoding a book costs twenty times as much as skipping it, and a screen skips most of its messages.
    """
    if usual := _USUAL_START.match(payload):
        prev = usual[4]
        return int(usual[3]), usual[1].decode(), usual[2].decode(), None if prev is None else int(prev)
    try:
        event = orjson.loads(payload)
    except ValueError:
        event = None
    if type(event) is not dict:
        return None, None, None, None
    return event.get("seq"), event.get("symbol"), event.get("key"), event.get("prev")


def read_seq(payload: bytes) -> int | None:
    """``seq`` alone; None when the payload has none."""
    seq = read_header(payload)[0]
    return seq if type(seq) is int else None


class Break(NamedTuple):
    """A place where the events of one symbol do not continue; ``restarted`` by a new run of the streamer."""

    channel: Channel
    symbol: str | None
    restarted: bool
    seq_before: int
    seq_after: int
    lost_at_us: int
    restored_at_us: int


class Chains:
    """The newest event of each symbol on each channel."""

    def __init__(self) -> None:
        self._newest: dict[tuple[Channel, str | None], tuple[int, int]] = {}
        self._values: dict[tuple[Channel, str | None], tuple[int, int]] = {}
        self._run_from: dict[Channel, int] = {}

    def reconnected(self) -> None:
        """Let the last value of each symbol begin its chain where no live event has: what follows it may be lost."""
        self._newest = self._values | self._newest
        self._values = {}

    def follow(
        self, channel: Channel, symbol: str | None, seq: int, prev: int, at_us: int, *, live: bool
    ) -> Break | None:
        """Take the next event of a symbol, which a last value may be; returns the break before it, if there is one.

        The first live event begins the chain: a last value may be of an earlier run. Once the connection was lost, the
        last value that was delivered does as well. A new run is a break once for each channel.
        """
        newest = self._newest.get((channel, symbol))
        if newest is None and not live:
            self._values[channel, symbol] = (seq, at_us)
            return None
        self._newest[channel, symbol] = (seq, at_us)
        if newest is None or prev == newest[0]:
            return None
        restarted = prev == 0
        if restarted and newest[0] < self._run_from.get(channel, 0):
            return None
        if restarted:
            self._run_from[channel] = seq
        elif prev < newest[0]:
            return None
        return Break(channel, symbol, restarted, newest[0], seq, newest[1], at_us)
