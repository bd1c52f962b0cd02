"""Selects the channels of the symbols that a reader asked for, and their events, by exact alias or by key.

Programs and the command line match alike: ``/mnq``, ``/MNQ`` and ``/MNQ:XCME`` all mean the key ``/MNQ``. Pure.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from schwabstream.events import SYMBOL_CHANNELS, Channel
from schwabstream.protocol.symbols import Symbol
from schwabstream.report import StreamerReport

SETTLE_S: Final = 5.0
LOOK_EVERY_S: Final = 60.0
_STREAMING: Final = b'"state":"streaming"'

# The streamer publishes the aliases of a key one after the other, so this many events of other aliases in a row mean
# that the alias asked for is no longer published.
_ABSENT_AFTER: Final = 32


class Selection:
    """Takes the events of ``aliases``, exactly, and of ``keys``, under any alias; neither means ``everything``.

    If the streamer publishes a key under several aliases and one of them is in ``aliases``, only that one is taken from
    its first live event on, so that no event comes twice.
    """

    def __init__(self, aliases: Iterable[str] = (), *, keys: Iterable[str] = ()) -> None:
        self._aliases, self._keys = frozenset(aliases), frozenset(keys)
        self.everything = not self._aliases and not self._keys
        self._passed_over: dict[str, int] = {}

    @classmethod
    def of(cls, symbols: Iterable[Symbol]) -> "Selection":
        """A selection of these symbols, under any of their aliases."""
        wanted = list(symbols)
        return cls((each.alias for each in wanted), keys=(each.key for each in wanted))

    def takes(self, symbol: str | None, key: str | None, *, live: bool = True) -> bool:
        """Whether an event of that symbol and key was asked for; an event without a symbol always is.

        A last value, not ``live``, may belong to an alias that is no longer streamed, so it does not count.
        """
        if self.everything or symbol is None:
            return True
        if symbol in self._aliases:
            if live and key in self._keys and key is not None:
                self._passed_over[key] = 0
            return True
        if key not in self._keys or key is None:
            return False
        passed_over = self._passed_over.get(key)
        if not live or passed_over is None:
            return True
        if passed_over == _ABSENT_AFTER:
            del self._passed_over[key]
            return True
        self._passed_over[key] = passed_over + 1
        return False


def aliases_for(symbols: Collection[Symbol], report: StreamerReport | None) -> tuple[str, ...] | None:
    """The aliases whose channels have these symbols; None when only the shared channels are sure to have them.

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
