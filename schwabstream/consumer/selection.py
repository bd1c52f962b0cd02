"""Which events a reader asked for: those of a symbol under the name it gave, else under any name of the same key.

The command line's matching for programs: ``/mnq``, ``/MNQ`` and ``/MNQ:XCME`` all mean the key ``/MNQ``. Pure.
"""

from collections.abc import Iterable
from typing import Final

from schwabstream.protocol.symbols import Symbol

# The streamer publishes the aliases of a key one after the other, so this many others in a row mean that the name
# asked for is not among them any more.
_ABSENT_AFTER: Final = 32


class Selection:
    """The events of ``aliases``, exactly, and of ``keys``, under any alias; neither means all.

    Where the streamer publishes one key under several aliases, and one of them is in ``aliases``, only that one counts
    from its first live event on, so that nothing comes twice.
    """

    def __init__(self, aliases: Iterable[str] = (), *, keys: Iterable[str] = ()) -> None:
        self._aliases, self._keys = frozenset(aliases), frozenset(keys)
        self._all = not self._aliases and not self._keys
        self._passed_over: dict[str, int] = {}

    @classmethod
    def of(cls, symbols: Iterable[Symbol]) -> "Selection":
        """The symbols, found under any alias of theirs."""
        wanted = list(symbols)
        return cls((each.alias for each in wanted), keys=(each.key for each in wanted))

    def takes(self, symbol: str | None, key: str | None, *, live: bool = True) -> bool:
        """Whether an event of that symbol and key was asked for; one of no symbol concerns everybody.

        A last value, not ``live``, may be of an alias that is not streamed any more: nothing is learned from it.
        """
        if self._all or symbol is None:
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
