"""The queue of one reader of the channels: last values and live messages merged, bounded, gaps reported.

Pure bookkeeping, no clock and no Redis: ``subscription`` fills it and takes from it. A message counts once: what is not
newer, by ``seq``, than its symbol's newest is dropped, so a late comer may read last values after subscribing. A
jump in a channel's ``seq`` becomes a StatusEvent ``gap``; when the reader is too slow, older ticks and books give
way to their symbol's newest, and a StatusEvent ``dropped`` says how many. Payloads are parsed when they are taken, so
what gives way costs little.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from pydantic import ValidationError

from schwabstream.consumer.event_header import read_header
from schwabstream.consumer.selection import Selection
from schwabstream.events import Channel, Event, StatusEvent, parse_event, status_event
from schwabstream.protocol.symbols import Symbol, future_meant

LAST_VALUE_CHANNELS: Final = frozenset({Channel.TICKS, Channel.LEVEL2})

# Where a jump in ``seq`` stops being a loss. A channel's numbers start at the microseconds since the epoch and rise by
# one for each event, thousands of times slower than the clock (docs/adr/0002): a streamer that starts again a second
# later begins a million further on, while a million events lost in one run would take minutes of the busiest stream.
RUN_APART: Final = 1_000_000

# Reports to a reader that takes nothing: the oldest give way, as the counts have them all.
_MAX_NOTICES: Final = 64
_Slot = tuple[Channel, str | int | None]


class _Message(NamedTuple):
    channel: Channel
    seq: int
    symbol: str | None
    payload: bytes
    at_us: int
    live: bool
    key: str | None


class ConflatingQueue:
    """Merges and bounds what arrives for the ``symbols`` or ``keys`` (see ``Selection``); none means all.

    ``newest_only`` keeps but the newest tick and book of each symbol from the start, for screens. ``counts`` has
    ``received``, ``invalid``, ``repeated``, ``dropped``, ``lost`` and ``gaps``.
    """

    def __init__(
        self,
        symbols: Collection[str] = (),
        *,
        keys: Collection[str] = (),
        max_pending: int = 4096,
        newest_only: bool = False,
    ) -> None:
        self._selection = Selection(symbols, keys=keys)
        self._max_pending = max_pending
        self._newest_wanted = self._newest_only = newest_only
        self._pending: dict[_Slot, _Message] = {}
        self._held: list[_Message] | None = []
        self._seen: dict[Channel, _Message] = {}
        self._filled: dict[Channel, set[int]] = {}
        self._newest: dict[tuple[Channel, str | None], int] = {}
        self._notices: deque[StatusEvent] = deque(maxlen=_MAX_NOTICES)
        self._absences: deque[StatusEvent] = deque()
        self._unreported_drops = 0
        self._now_us = 0
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._pending) + len(self._notices) + len(self._absences) + bool(self._unreported_drops)

    def hold(self) -> None:
        """From now on set live messages aside: last values are about to be read."""
        if self._held is None:
            self._held = []

    def receive(self, channel: Channel, payload: bytes, now_us: int) -> None:
        """Take in one live message that arrived at ``now_us``, microseconds since the epoch."""
        self._now_us = now_us
        self.counts["received"] += 1
        message = self._read(channel, payload, now_us, live=True)
        if message is None:
            return
        if self._held is not None:
            self._held.append(message)
        else:
            self._accept(message)

    def catch_up(self, last_values: Mapping[Channel, Collection[bytes]], now_us: int) -> None:
        """Merge the last values read since :meth:`hold` with what was set aside, in the order of ``seq``."""
        self._now_us = now_us
        messages, self._held = self._held or [], None
        for channel, payloads in last_values.items():
            known = [self._read(channel, payload, now_us, live=False) for payload in payloads]
            values = [value for value in known if value is not None]
            self._filled[channel] = {value.seq for value in values}.union(self._filled.get(channel, ()))
            messages += values
        for message in sorted(messages, key=lambda message: message.seq):
            self._accept(message)

    def report_absent(self, symbols: Iterable[Symbol], streamed: Collection[str] | None) -> None:
        """Report each symbol whose key is not ``streamed``; None: no streamer runs, and only last values are known."""
        known = {message.key for message in self._pending.values()} if streamed is None else set(streamed)
        for symbol in symbols:
            if symbol.key not in known:
                self._absences.append(_absence(symbol, self._now_us, running=streamed is not None))

    def take(self) -> Event | None:
        """The next event, or None when there is none; what does not validate is counted and passed over."""
        if self._unreported_drops:
            count, self._unreported_drops = self._unreported_drops, 0
            self._notify("dropped", f"this reader was too slow for {count} older values", count)
        for notices in (self._absences, self._notices):
            if notices:
                return notices.popleft()
        while self._pending:
            message = self._pending.pop(next(iter(self._pending)))
            try:
                return parse_event(message.payload)
            except ValidationError:
                self.counts["invalid"] += 1
        self._newest_only = self._newest_wanted
        return None

    def _read(self, channel: Channel, payload: bytes, now_us: int, *, live: bool) -> _Message | None:
        """The message as far as it must be known here; None, and counted, when it is no event."""
        seq, symbol, key = read_header(payload)
        if type(seq) is not int or not isinstance(symbol, str | None) or not isinstance(key, str | None):
            self.counts["invalid"] += 1
            return None
        return _Message(channel, seq, symbol, payload, now_us, live, key)

    def _accept(self, message: _Message) -> None:
        if message.live:
            self._note_jump(message)
        if not self._selection.takes(message.symbol, message.key, live=message.live):
            return
        owner = (message.channel, message.symbol)
        newest = self._newest.get(owner)
        # A number far below is no repetition but a run that started with a clock set back.
        if newest is not None and newest - RUN_APART < message.seq <= newest:
            self.counts["repeated"] += 1
            return
        self._newest[owner] = message.seq
        self._keep(message)

    def _keep(self, message: _Message) -> None:
        slot = self._slot(message)
        if self._pending.pop(slot, None) is not None and not self._newest_wanted:
            self._drop(1)
        self._pending[slot] = message
        if len(self._pending) > self._max_pending:
            self._shed()

    def _slot(self, message: _Message) -> _Slot:
        """What a pending message gives way to the next of: its symbol's newest, or nothing."""
        newest_only = self._newest_only and message.channel in LAST_VALUE_CHANNELS
        return message.channel, message.symbol if newest_only else message.seq

    def _shed(self) -> None:
        """Keep the newest tick and book of each symbol; if that is still too much, lose the oldest of the rest."""
        # It stays so until the reader has taken all: one slot a symbol from now on, as otherwise each message would
        # overflow the queue again and be paid for with a walk through all of it.
        before, self._newest_only = len(self._pending), True
        pending: dict[_Slot, _Message] = {}
        for message in self._pending.values():
            slot = self._slot(message)
            pending.pop(slot, None)
            pending[slot] = message
        rest = [slot for slot in pending if slot[0] not in LAST_VALUE_CHANNELS]
        for slot in rest[: max(0, len(pending) - self._max_pending)]:
            del pending[slot]
        self._pending = pending
        self._drop(before - len(pending))

    def _drop(self, count: int) -> None:
        self.counts["dropped"] += count
        self._unreported_drops += count

    def _note_jump(self, message: _Message) -> None:
        """Report when the channel's numbers leave out some that no last value brought back."""
        seen, filled = self._seen.get(message.channel), self._filled.get(message.channel)
        if seen is not None and seen.seq - RUN_APART < message.seq <= seen.seq:
            return
        self._seen[message.channel] = message
        if filled:
            self._filled[message.channel] = {seq for seq in filled if seq > message.seq}
        if seen is None or message.seq == seen.seq + 1:
            return
        apart = message.seq - seen.seq
        if not 0 < apart < RUN_APART:
            self._gap(seen, message, f"a new run of the streamer on {message.channel}", None)
            return
        lost = apart - 1 - sum(seen.seq < seq < message.seq for seq in filled or ())
        if lost > 0:
            self.counts["lost"] += lost
            span = f"seq {seen.seq + 1} to {message.seq - 1}"
            self._gap(seen, message, f"{lost} events of {message.channel} did not arrive here ({span})", lost)

    def _gap(self, seen: _Message, message: _Message, reason: str, count: int | None) -> None:
        self.counts["gaps"] += 1
        self._notify("gap", reason, count, lost_at=seen.at_us // 1000, restored_at=message.at_us // 1000)

    def _notify(
        self,
        state: Literal["gap", "dropped"],
        reason: str,
        count: int | None,
        *,
        lost_at: int | None = None,
        restored_at: int | None = None,
    ) -> None:
        since = lost_at or self._now_us // 1000
        more = {"since": since, "lost_at": lost_at, "restored_at": restored_at, "count": count}
        self._notices.append(StatusEvent(**status_event(state, reason, self._now_us, **more)))


def _absence(symbol: Symbol, now_us: int, *, running: bool) -> StatusEvent:
    """The report that nothing is to be expected of a symbol, and what to do about it."""
    alias, future = symbol.alias, future_meant(symbol)
    meant = f"; did you mean {future}?" if future else ""
    if running:
        reason = f"{alias} is not streamed: add it to SCHWAB_SYMBOLS or --symbols of the streamer{meant}"
    else:
        reason = f"{alias} is not streamed: no streamer runs; start one with schwabstream stream run{meant}"
    return StatusEvent(**status_event("stale", reason, now_us, symbol=alias, key=symbol.key, detail="not-streamed"))
