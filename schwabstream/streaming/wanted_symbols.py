"""Decides which symbols are streamed: the configured ones first, and then the wishes up to a limit; pure.

A wish is the text of a symbol that somebody wants streamed while the streamer runs. A wished symbol is released a
minute after its last wish, so a reader that restarts loses nothing. A wish that cannot be met is refused once, with a
reason, until it ends. Each call reads a limited number of new wishes, so a flood of them costs little.
"""

import sys
from collections import deque
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
NOT_A_SYMBOL, LIMIT = "not-a-symbol", "limit"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A symbol that is not streamed: the ``reason`` as a sentence, and ``detail``, a word for programs."""

    symbol: str
    reason: str
    detail: str


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
    """The changes so far of one call; ``ended``: wished symbols without a wish, the longest first."""

    added: list[Symbol] = field(default_factory=list)
    released: list[Symbol] = field(default_factory=list)
    ended: deque[str] = field(default_factory=deque)


class WantedSymbols:
    """The symbols to stream, in order: the configured ones, then the wished ones by age. At most ``limit``."""

    def __init__(self, configured: Sequence[Symbol], limit: int = sys.maxsize) -> None:
        self._limit = limit
        self._configured = {symbol.alias: symbol for symbol in configured[:limit]}
        self._excess = {symbol.alias: self._over_limit(symbol.alias) for symbol in configured[limit:]}
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
        """Release the symbols whose last wish ended ``GRACE_S`` ago."""
        for text, wished in list(self._wished.items()):
            if text in wishes:
                wished.wanted_at, wished.source = now, wishes[text]
            elif now - wished.wanted_at >= GRACE_S:
                self._release(text, changes)
        ended = [text for text in self._wished if text not in wishes]
        changes.ended.extend(sorted(ended, key=lambda text: self._wished[text].wanted_at))

    def _admit_waiting(self, today: date, now: float, wishes: Wishes, changes: _Changes) -> None:
        """Stream wishes that the limit refused before and for which there is room now, oldest first."""
        for text in [text for text, refusal in self._refused.items() if refusal.detail == LIMIT]:
            if not self._has_room(changes):
                return
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
        if not self._has_room(changes):
            self._refuse(self._over_limit(text))
            return
        self._wished[text] = _Wished(symbol, source, now)
        self._unannounced.pop(text, None)
        changes.added.append(symbol)

    def _has_room(self, changes: _Changes) -> bool:
        """Whether one more symbol fits; releases a symbol without a wish for it if necessary."""
        if len(self._configured) + len(self._wished) < self._limit:
            return True
        if not changes.ended:
            return False
        self._release(changes.ended.popleft(), changes)
        return True

    def _release(self, text: str, changes: _Changes) -> None:
        changes.released.append(self._wished.pop(text).symbol)

    def _refuse(self, refusal: Refusal) -> None:
        self._refused[refusal.symbol] = refusal
        self._unannounced[refusal.symbol] = None

    def _over_limit(self, text: str) -> Refusal:
        reason = f"{text} is not streamed: the limit of {self._limit} symbols is reached (SCHWAB_MAX_SYMBOLS)"
        return Refusal(text, reason, LIMIT)

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
