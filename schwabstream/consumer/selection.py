"""Selects the events that a reader asked for, by exact alias or by any alias of the same key.

Programs and the command line match alike: ``/mnq``, ``/MNQ`` and ``/MNQ:XCME`` all mean the key ``/MNQ``. Pure.
"""

from collections.abc import Iterable
from typing import Final

from schwabstream.protocol.symbols import Symbol

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
