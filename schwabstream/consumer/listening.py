"""Which channels carry the symbols that a reader wants, and when to look at the streamer's report again. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from schwabstream.events import SYMBOL_CHANNELS, Channel
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import StreamerReport

SETTLE_S: Final = 5.0
LOOK_EVERY_S: Final = 60.0
_STREAMING: Final = b'"state":"streaming"'


def aliases_for(symbols: Collection[Symbol], report: StreamerReport | None) -> tuple[str, ...] | None:
    """The aliases whose channels carry these symbols; None when only the shared channels are sure to carry them.

    A symbol that is not streamed yet gets the channel of its alias as written, which asks the streamer for it. The
    report of a replay has no symbols and thus no aliases.
    """
    if not symbols or report is None or not report.symbol_channels or not report.symbols:
        return None
    streamed: dict[str, list[str]] = {}
    for row in report.symbols:
        streamed.setdefault(row.key, []).append(row.symbol)
    found: dict[str, None] = {}
    for symbol in symbols:
        aliases = streamed.get(symbol.key, [symbol.alias])
        found.update(dict.fromkeys([symbol.alias] if symbol.alias in aliases else aliases))
    return tuple(found)


def channel_names(prefix: str, kinds: Iterable[Channel], aliases: Iterable[str] | None) -> Mapping[bytes, Channel]:
    """The Redis channels to subscribe to, with the channel whose events each has."""
    names: dict[str, Channel] = {}
    for kind in kinds:
        if aliases is None or kind not in SYMBOL_CHANNELS:
            names[f"{prefix}:{kind}"] = kind
        else:
            names.update((f"{prefix}:{kind}:{alias}", kind) for alias in aliases)
    return {name.encode(): kind for name, kind in names.items()}


class ReportLooks:
    """When to look at the report: when the streamer streams, again shortly after, and rarely otherwise.

    A new run may publish other channels or other aliases. The second look is for a streamer that learns with its first
    events that Redis does not let it publish symbol channels.
    """

    def __init__(self, now: float) -> None:
        self._next = now + SETTLE_S
        self._pause = LOOK_EVERY_S

    def take_status(self, payload: bytes, now: float) -> None:
        """Take one StatusEvent, as published."""
        if _STREAMING in payload:
            self._next, self._pause = now, SETTLE_S

    def due(self, now: float) -> bool:
        """Whether it is time to look; each True is one look."""
        if now < self._next:
            return False
        self._next, self._pause = now + self._pause, LOOK_EVERY_S
        return True
