"""Volume at price: how much of a symbol was traded at each price, as far as its ticks show it. Pure.

A lower bound: Schwab conflates, so of several trades between two ticks only the last is counted. A reader that keeps
only the newest tick of a symbol counts fewer still.
"""

from schwabstream.events import TickEvent


class VolumeProfile:
    """Adds up the trades of one symbol; ``volumes`` has the size traded at each price since the first tick."""

    __slots__ = ("_seq", "_total", "volumes")

    def __init__(self) -> None:
        self.volumes: dict[float, int] = {}
        self._total = 0
        self._seq: int | None = None

    def add(self, tick: TickEvent) -> None:
        """Count the trade of a tick, if it has a new one; a total volume that falls begins a session."""
        total = tick.total_volume or self._total
        if total < self._total:
            self.volumes.clear()
        self._total = total
        before, self._seq = self._seq, tick.seq
        if before is None or before == tick.seq:  # a last value, of a trade from before or read again after an outage
            return
        if tick.is_trade and not tick.repeat and tick.last_price is not None and tick.last_size:
            self.volumes[tick.last_price] = self.volumes.get(tick.last_price, 0) + tick.last_size
