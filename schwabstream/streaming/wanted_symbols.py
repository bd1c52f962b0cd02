"""Decides which symbols are streamed: the configured ones first, and then the wishes up to a limit; pure.

A wish is the text of a symbol that somebody wants streamed while the streamer runs. A wished symbol is released a
minute after its last wish, so a reader that restarts loses nothing. A wish that cannot be met is refused once, with a
reason, until it ends. The limit is one of Schwab's keys, so another alias of a streamed key needs no room. Each call
reads a limited number of new wishes, so a flood of them costs little.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice

from schwabstream.errors import SymbolError
from schwabstream.protocol.symbols import Symbol, parse_symbol
from schwabstream.report import Source

Wishes = Mapping[str, Source]
"""The wished texts and their sources."""

GRACE_S = 60.0
NEW_PER_CALL = 500
"""The most new wishes that one call decides on."""
REFUSALS_PER_CALL = 50
MOST_REPORTED = 100
MOST_ALIASES = 10
"""The most aliases of one key: each costs an event per update, and upper and lower case make thousands of them."""
NOT_A_SYMBOL, LIMIT = "not-a-symbol", "limit"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A symbol that is not streamed: the ``reason`` as a sentence, and ``detail``, a word for programs.

    ``key`` is what Schwab would be asked for; None when the text cannot be a symbol.
    """

    symbol: str
    reason: str
    detail: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The difference that one call made: symbols added and released, and refusals to announce."""

    added: tuple[Symbol, ...] = ()
    released: tuple[Symbol, ...] = ()
    refused: tuple[Refusal, ...] = ()


@dataclass(slots=True)
class _Wished:
    """A wished symbol that is streamed; ``wanted_at``: when its wish was last seen."""

    symbol: Symbol
    source: Source
    wanted_at: float
    announced: bool = False


@dataclass(slots=True)
class _Changes:
    """The changes so far of one call; ``ended``: the aliases of each key without a wish, the longest without first."""

    added: list[Symbol] = field(default_factory=list)
    released: list[Symbol] = field(default_factory=list)
    ended: dict[str, list[str]] = field(default_factory=dict)


class WantedSymbols:
    """The symbols to stream, in order: the configured ones, then the wished ones by age. At most ``limit`` keys."""

    def __init__(self, configured: Sequence[Symbol], limit: int = sys.maxsize) -> None:
        self._limit = limit
        self._aliases: Counter[str] = Counter()  # how many are streamed, by key
        self._configured: dict[str, Symbol] = {}
        self._excess: dict[str, Refusal] = {}
        for symbol in configured:
            if self._fits(symbol.key):
                self._configured[symbol.alias] = symbol
                self._aliases[symbol.key] += 1
            else:
                self._excess[symbol.alias] = self._over_limit(symbol)
        self._wished: dict[str, _Wished] = {}
        self._refused: dict[str, Refusal] = {}
        self._unannounced = dict.fromkeys(self._excess)
        self.symbols = tuple(self._configured.values())

    @property
    def refused(self) -> dict[str, str]:
        """The reasons for the first refused symbols."""
        refusals = (*self._excess.values(), *islice(self._refused.values(), MOST_REPORTED))
        return {refusal.symbol: refusal.reason for refusal in refusals[:MOST_REPORTED]}

    def source(self, alias: str) -> Source:
        """Why this symbol is streamed."""
        wished = self._wished.get(alias)
        return wished.source if wished else "configured"

    def needs_announcement(self, alias: str) -> bool:
        """Whether this is a wished symbol whose acceptance was not announced yet; True once for each acceptance."""
        wished = self._wished.get(alias)
        if wished is None or wished.announced:
            return False
        wished.announced = True
        return True

    def is_pending(self, alias: str) -> bool:
        """Whether this is a wished symbol that Schwab has not accepted."""
        wished = self._wished.get(alias)
        return wished is not None and not wished.announced

    def refuse(self, alias: str) -> bool:
        """Note that Schwab refused this symbol; returns whether it is a wished one."""
        wished = self._wished.get(alias)
        if wished is not None:
            wished.announced = False
        return wished is not None

    def follow(self, wishes: Wishes, now: float, today: date) -> Change:
        """Apply the current ``wishes``; ``now`` is in monotonic seconds, ``today`` decides about one-digit years."""
        changes = _Changes()
        self._end(wishes, now, changes)
        for text in [text for text in self._refused if text not in wishes]:
            del self._refused[text]
        self._admit_waiting(today, now, wishes, changes)
        decided = (self._configured, self._excess, self._wished, self._refused)
        new = (text for text in wishes if not any(text in texts for texts in decided))
        for text in list(islice(new, NEW_PER_CALL)):
            self._decide(text, wishes[text], now, today, changes)
        if changes.added or changes.released:
            self.symbols = (*self._configured.values(), *(wished.symbol for wished in self._wished.values()))
        return Change(tuple(changes.added), tuple(changes.released), self._next_refusals())

    def _end(self, wishes: Wishes, now: float, changes: _Changes) -> None:
        """Release the symbols whose last wish ended ``GRACE_S`` ago, and note the keys that nobody wants any more."""
        held = {symbol.key for symbol in self._configured.values()}
        for text, wished in list(self._wished.items()):
            if text in wishes:
                wished.wanted_at, wished.source = now, wishes[text]
                held.add(wished.symbol.key)
            elif now - wished.wanted_at >= GRACE_S:
                self._release(text, changes)
            else:
                wished.source = "wanted"  # a removed symbol stays only for the grace period
        ended = [text for text, wished in self._wished.items() if wished.symbol.key not in held]
        for text in sorted(ended, key=lambda text: self._wished[text].wanted_at):
            key = self._wished[text].symbol.key
            changes.ended[key] = [*changes.ended.pop(key, ()), text]

    def _admit_waiting(self, today: date, now: float, wishes: Wishes, changes: _Changes) -> None:
        """Stream wishes that a limit refused before and for which there is room now, oldest first."""
        for text, refusal in list(self._refused.items()):
            if refusal.key is not None and self._make_room(refusal.key, changes):
                del self._refused[text]
                self._decide(text, wishes[text], now, today, changes)

    def _decide(self, text: str, source: Source, now: float, today: date, changes: _Changes) -> None:
        try:
            symbol = parse_symbol(text, today)
            if symbol.alias != text:
                raise SymbolError(f"{text!a} cannot be a symbol: it begins or ends with a blank")
        except SymbolError as error:
            self._refuse(Refusal(text, str(error), NOT_A_SYMBOL))
            return
        if not self._make_room(symbol.key, changes):
            self._refuse(self._over_limit(symbol))
            return
        changes.ended.pop(symbol.key, None)
        self._wished[text] = _Wished(symbol, source, now)
        self._aliases[symbol.key] += 1
        self._unannounced.pop(text, None)
        changes.added.append(symbol)

    def _fits(self, key: str) -> bool:
        return self._aliases[key] < MOST_ALIASES if key in self._aliases else len(self._aliases) < self._limit

    def _make_room(self, key: str, changes: _Changes) -> bool:
        """Whether a symbol of this key fits; releases a key without a wish for it if necessary."""
        if key not in self._aliases and not self._fits(key) and changes.ended:
            for text in changes.ended.pop(next(iter(changes.ended))):
                self._release(text, changes)
        return self._fits(key)

    def _release(self, text: str, changes: _Changes) -> None:
        symbol = self._wished.pop(text).symbol
        self._aliases[symbol.key] -= 1
        if not self._aliases[symbol.key]:
            del self._aliases[symbol.key]
        changes.released.append(symbol)

    def _refuse(self, refusal: Refusal) -> None:
        self._refused[refusal.symbol] = refusal
        self._unannounced[refusal.symbol] = None

    def _over_limit(self, symbol: Symbol) -> Refusal:
        limit = (
            f"{symbol.key} is streamed under {MOST_ALIASES} other names"
            if symbol.key in self._aliases
            else f"the limit of {self._limit} symbols is reached (SCHWAB_MAX_SYMBOLS)"
        )
        return Refusal(symbol.alias, f"{symbol.alias} is not streamed: {limit}", LIMIT, symbol.key)

    def _next_refusals(self) -> tuple[Refusal, ...]:
        """The refusals to announce now; the others come with the next calls."""
        refusals: list[Refusal] = []
        for text in list(self._unannounced):
            if len(refusals) == REFUSALS_PER_CALL:
                break
            del self._unannounced[text]
            if refusal := self._refused.get(text) or self._excess.get(text):
                refusals.append(refusal)
        return tuple(refusals)
