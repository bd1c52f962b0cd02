"""Whether events are also published on the channels of their symbols, and what happens when Redis does not allow it.

A Redis user may have rights to the shared channels only, and one refused command discards the whole transaction. Such a
user loses only the symbol channels, one kind at a time, until the next connection (docs/adr/0013). No I/O.
"""

from collections.abc import Collection, Iterable, Mapping

from schwabstream.events import SYMBOL_CHANNELS, Channel
from schwabstream.publishing.queue.channel import ChannelQueue


class SymbolChannels:
    """Switches the symbol channels of these queues: all on with each connection if ``wanted``, and off when refused."""

    def __init__(self, queues: Mapping[Channel, ChannelQueue], *, wanted: bool) -> None:
        self._queues = [queue for channel, queue in queues.items() if channel in SYMBOL_CHANNELS]
        self._wanted = wanted

    @property
    def on(self) -> bool:
        """Whether every tick, book and bar is also published on the channel of its symbol."""
        return all(queue.symbol_channels for queue in self._queues)

    def resume(self) -> None:
        """Begin a connection, whose user may have other rights than the last."""
        for queue in self._queues:
            queue.symbol_channels = self._wanted

    def leave_out(self, refused: Collection[str]) -> None:
        """Publish no longer on the symbol channels among these names."""
        for queue in self._queues:
            queue.symbol_channels = queue.symbol_channels and queue.symbol_names not in refused

    def refused_alone(self, writes: Iterable[tuple[str, object]], replies: Iterable[object]) -> dict[str, Exception]:
        """The names that Redis refused in a discarded batch, with the errors; empty unless all are symbol channels."""
        pairs = zip(writes, replies, strict=False)
        refused = {name: reply for (name, _), reply in pairs if isinstance(reply, Exception)}
        ours = {queue.symbol_names for queue in self._queues}
        return refused if ours.issuperset(refused) else {}
