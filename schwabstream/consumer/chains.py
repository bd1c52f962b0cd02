"""Finds lost events of a symbol by ``prev``, which names the event before. Pure.

``seq`` counts the events of all symbols, so a reader of one symbol cannot tell a lost event from one of another symbol.
"""

from typing import NamedTuple

from schwabstream.events import Channel


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
        self._run_from: dict[Channel, int] = {}

    def follow(
        self, channel: Channel, symbol: str | None, seq: int, prev: int, at_us: int, *, live: bool
    ) -> Break | None:
        """Take the next event of a symbol, which a last value may be; returns the break before it, if there is one.

        The first live event begins the chain: a last value may be of an earlier run. A new run is a break once for each
        channel.
        """
        newest = self._newest.get((channel, symbol))
        if newest is None and not live:
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
