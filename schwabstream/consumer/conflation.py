"""The queue of one reader: merges last values with live messages, stays bounded, and reports gaps.

Pure: no clock and no Redis. ``subscription`` fills it and takes from it. A message is ignored unless its ``seq`` is
above the newest of its symbol, so last values can be read after subscribing, and no event comes twice. A jump in the
``seq`` of a channel becomes a StatusEvent ``gap``. For a reader of some symbols, an event of theirs whose ``prev`` did
not arrive does. When the reader is too slow, the newest tick and book of a symbol replace older ones, and a StatusEvent
``dropped`` reports how many. A payload is parsed only when it is taken, so a replaced one costs little.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from pydantic import ValidationError

from schwabstream.consumer.event_header import Break, Chains, read_header, read_symbols
from schwabstream.consumer.repeats import RUN_APART, Mark, Newest, is_repeat
from schwabstream.consumer.selection import Selection
from schwabstream.escapes import safe
from schwabstream.events import SYMBOL_CHANNELS, Channel, Event, StatusEvent, parse_event, status_event
from schwabstream.protocol.symbols import Symbol, future_meant

LAST_VALUE_CHANNELS: Final = frozenset({Channel.TICKS, Channel.LEVEL2})

# The most reports queued for a reader that takes nothing; the oldest are dropped, but ``counts`` includes them.
_MAX_NOTICES: Final = 64
_NEW_RUN: Final = "a new run of the streamer on {}"
_Slot = tuple[Channel, str | int | None]


class _Message(NamedTuple):
    channel: Channel
    seq: int
    symbol: str | None
    payload: bytes
    at_us: int
    live: bool
    key: str | None
    prev: int | None

    @property
    def mark(self) -> Mark:
        """What is remembered of it."""
        return Mark(self.seq, self.at_us)


class ConflatingQueue:
    """Queues the messages of the ``symbols`` or ``keys`` (see ``Selection``); neither means all.

    ``newest_only`` keeps only the newest tick and book of each symbol from the start, for screens, and reports no gaps:
    a message that is replaced before it is taken costs next to nothing. ``counts`` contains ``received``, ``invalid``,
    ``repeated``, ``dropped``, ``lost`` and ``gaps``.
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
        self._unread: dict[Channel, dict[bytes | None, bytes]] = {}
        self._pending: dict[_Slot, _Message] = {}
        self._held: list[_Message] | None = []
        self._seen = Newest[Channel]()
        self._values: dict[Channel, Mark] = {}
        self._filled: dict[Channel, set[int]] = {}
        self._chains = Chains()
        self._breaks: list[Break] = []
        self._newest = Newest[tuple[Channel, str | None]]()
        self._connections = 0
        self._overtaken: dict[Channel, tuple[int, int, int]] = {}
        self._notices: deque[StatusEvent] = deque(maxlen=_MAX_NOTICES)
        self._absences: deque[StatusEvent] = deque()
        self._unreported_drops = 0
        self._now_us = 0
        self.counts: Counter[str] = Counter()

    @property
    def newest_only(self) -> bool:
        """Whether only the newest tick and book of each symbol are kept."""
        return self._newest_wanted

    def __len__(self) -> int:
        notices = len(self._notices) + len(self._absences) + len(self._overtaken)
        unread = sum(map(len, self._unread.values()))
        return len(self._pending) + unread + notices + bool(self._unreported_drops)

    def hold(self) -> None:
        """Hold back live messages from now on, until :meth:`catch_up` brings the last values."""
        if self._held is None:
            self._held = []

    def receive(self, channel: Channel, payload: bytes, now_us: int) -> None:
        """Queue one live message that arrived at ``now_us``, in microseconds since the epoch."""
        self.receive_all(channel, (payload,), now_us)

    def receive_all(self, channel: Channel, payloads: Sequence[bytes], now_us: int) -> None:
        """Queue live messages of one channel that arrived at ``now_us``, oldest first.

        A screen skips most of its messages, so nothing here runs once for each of them that C can do for all.
        """
        self._now_us = now_us
        self.counts["received"] += len(payloads)
        if self._newest_wanted and channel in LAST_VALUE_CHANNELS:
            symbols = read_symbols(payloads)
            self._unread.setdefault(channel, {}).update(zip(symbols, payloads, strict=True))
            if self._unread[channel].pop(None, None) is None:
                return
            payloads = [payload for symbol, payload in zip(symbols, payloads, strict=True) if symbol is None]
        for payload in payloads:
            self._receive(channel, payload, now_us)

    def _receive(self, channel: Channel, payload: bytes, now_us: int) -> None:
        message = self._read(channel, payload, now_us, live=True)
        if message is None:
            return
        if self._held is not None:
            self._held.append(message)
        else:
            self._accept(message)
            self._report_breaks()

    def catch_up(self, last_values: Mapping[Channel, Collection[bytes]], now_us: int) -> None:
        """Merge the last values read since :meth:`hold` with the messages held back, in the order of ``seq``."""
        self._receive_unread()
        self._now_us = now_us
        self._connections += 1
        if self._connections > 1:
            self._expect_after_last_values()
        messages, self._held = self._held or [], None
        for channel, payloads in last_values.items():
            parsed = [self._read(channel, payload, now_us, live=False) for payload in payloads]
            values = [value for value in parsed if value is not None]
            self._filled[channel] = {value.seq for value in values}.union(self._filled.get(channel, ()))
            messages += values
        for message in sorted(messages, key=lambda message: message.seq):
            self._accept(message)
            if not message.live and message.channel not in self._seen.present:
                self._values[message.channel] = message.mark
        self._report_breaks()

    def refresh(self, channel: Channel, last_values: Iterable[bytes], now_us: int) -> None:
        """Queue those of these last values that are newer than the newest event of their symbol."""
        if self._held is not None:  # catch_up brings newer ones
            return
        self._now_us = now_us
        for payload in last_values:
            if value := self._read(channel, payload, now_us, live=False):
                self._accept(value)

    def holds(self, key: str) -> bool:
        """Whether an event of that key is queued."""
        self._receive_unread()
        return any(message.key == key for message in self._pending.values())

    def report_absent(self, symbol: Symbol, reason: str) -> None:
        """Report that the symbol is not streamed, before the queued events; ``reason`` is a sentence."""
        future = future_meant(symbol)
        meant = f"; did you mean {future}?" if future else ""
        about = {"symbol": symbol.alias, "key": symbol.key, "detail": "not-streamed"}
        self._absences.append(StatusEvent(**status_event("stale", reason + meant, self._now_us, **about)))

    def take(self) -> Event | None:
        """The next event, or None when the queue is empty; an invalid message is counted and skipped."""
        self._receive_unread()
        if self._unreported_drops:
            count, self._unreported_drops = self._unreported_drops, 0
            self._notify("dropped", f"this reader was too slow: newer values replaced {count} older", count)
        if self._overtaken:
            self._report_overtaken()
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

    def _receive_unread(self) -> None:
        if self._unread:
            unread, self._unread = self._unread, {}
            for channel, payloads in unread.items():
                for payload in payloads.values():
                    self._receive(channel, payload, self._now_us)

    def _read(self, channel: Channel, payload: bytes, now_us: int, *, live: bool) -> _Message | None:
        """The message with its header parsed; None, and counted, when it is not an event."""
        seq, symbol, key, prev = read_header(payload)
        if type(seq) is not int or not isinstance(symbol, str | None) or not isinstance(key, str | None):
            self.counts["invalid"] += 1
            return None
        return _Message(channel, seq, symbol, payload, now_us, live, key, prev if type(prev) is int else None)

    def _accept(self, message: _Message) -> None:
        is_followed = message.channel in SYMBOL_CHANNELS and not self._selection.everything
        chained = message.prev is not None and is_followed and not self._newest_wanted
        is_new = message.live and not chained and not self._newest_wanted and self._note_jump(message)
        if not self._selection.takes(message.symbol, message.key, live=message.live):
            return
        owner = (message.channel, message.symbol)
        # A last value far below belongs to an earlier run, which a failover has brought back.
        newest = self._newest.of_run(owner, message.seq) if message.live else self._newest.present.get(owner)
        if newest is not None and (
            is_repeat(message.seq, newest.seq) or (not message.live and message.seq < newest.seq)
        ):
            self.counts["repeated"] += 1
            if is_new and message.seq < newest.seq:
                self._note_overtaken(message)
            return
        self._newest.note(owner, message.mark)
        if chained:
            self._follow(message)
        self._keep(message)

    def _keep(self, message: _Message) -> None:
        slot = self._slot(message)
        if self._pending.pop(slot, None) is not None and not self._newest_wanted:
            self._drop(1)
        self._pending[slot] = message
        if len(self._pending) > self._max_pending:
            self._shed()

    def _slot(self, message: _Message) -> _Slot:
        """The key of a message in the queue: a newer message with the same key replaces it."""
        newest_only = self._newest_only and message.channel in LAST_VALUE_CHANNELS
        return message.channel, message.symbol if newest_only else message.seq

    def _shed(self) -> None:
        """Keep the newest tick and book of each symbol; if that is still too much, drop the oldest of the rest."""
        # Until the reader has taken everything, each symbol keeps one slot: otherwise each further message would
        # overflow the queue again, and the whole queue would be searched each time.
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

    def _follow(self, message: _Message) -> None:
        channel, seq, symbol, prev = message.channel, message.seq, message.symbol, message.prev or 0
        if found := self._chains.follow(channel, symbol, seq, prev, message.at_us, live=message.live):
            self._breaks.append(found)

    def _report_breaks(self) -> None:
        """Report what :meth:`_follow` found as one gap for each channel; after an outage it may be many symbols."""
        breaks, self._breaks = self._breaks, []
        for channel, restarted in dict.fromkeys((each.channel, each.restarted) for each in breaks):
            found = [each for each in breaks if (each.channel, each.restarted) == (channel, restarted)]
            first, symbols = found[0], tuple(each.symbol for each in found if each.symbol)
            if restarted:
                reason = _NEW_RUN.format(channel)
            elif len(found) == 1:
                span = f"seq {first.seq_before + 1} to {first.seq_after - 1}"
                reason = f"events of {channel} did not arrive: at least one of {safe(symbols[0])} ({span})"
            else:
                reason = f"events of {channel} did not arrive: at least one of each of {len(found)} symbols"
            self.counts["lost"] += 0 if restarted else len(found)
            lost_at, restored_at = min(each.lost_at_us for each in found), max(each.restored_at_us for each in found)
            self._gap(lost_at, restored_at, reason, symbols=None if restarted else symbols)

    def _expect_after_last_values(self) -> None:
        """Count from the last values of the connection before where no live event came: later ones may be lost."""
        self._seen.present = self._values | self._seen.present
        self._values = {}
        self._chains.reconnected()

    def _note_jump(self, message: _Message) -> bool:
        """Report a gap when ``seq`` skips numbers on the channel that no last value has filled.

        Returns whether the message's own number is new, that is neither repeated nor filled.
        """
        channel = message.channel
        seen, filled = self._seen.of_run(channel, message.seq), self._filled.get(channel, set())
        if seen is not None and is_repeat(message.seq, seen.seq):
            return False
        seen = seen or self._seen.present.get(channel)
        self._seen.note(channel, message.mark)
        if filled:
            self._filled[message.channel] = {seq for seq in filled if seq > message.seq}
        is_new = message.seq not in filled
        if seen is None or message.seq == seen.seq + 1:
            return is_new
        apart = message.seq - seen.seq
        if not 0 < apart < RUN_APART:
            self._gap(seen.at_us, message.at_us, _NEW_RUN.format(message.channel))
            return is_new
        lost = apart - 1 - sum(seen.seq < seq < message.seq for seq in filled)
        if lost > 0:
            self.counts["lost"] += lost
            span = f"seq {seen.seq + 1} to {message.seq - 1}"
            reason = f"events of {message.channel} did not arrive: {lost} ({span})"
            self._gap(seen.at_us, message.at_us, reason, lost)
        return is_new

    def _note_overtaken(self, message: _Message) -> None:
        """Count an event that arrives after a newer last value, because the node that delivers it is behind.

        For a reader that has just begun it is older than the first event, and not missing; after a reconnect it is.
        """
        if self._connections < 2:
            return
        first_us, _, count = self._overtaken.get(message.channel, (message.at_us, 0, 0))
        self._overtaken[message.channel] = first_us, message.at_us, count + 1

    def _report_overtaken(self) -> None:
        overtaken, self._overtaken = self._overtaken, {}
        for channel, (first_us, last_us, count) in overtaken.items():
            self.counts["lost"] += count
            self._gap(first_us, last_us, f"events of {channel} arrived after newer last values: {count}", count)

    def _gap(
        self,
        lost_at_us: int,
        restored_at_us: int,
        reason: str,
        count: int | None = None,
        symbols: tuple[str, ...] | None = None,
    ) -> None:
        self.counts["gaps"] += 1
        times = {"lost_at": lost_at_us // 1000, "restored_at": restored_at_us // 1000, "since": lost_at_us // 1000}
        self._notify("gap", reason, count, **times, symbols=symbols)

    def _notify(
        self,
        state: Literal["gap", "dropped"],
        reason: str,
        count: int | None,
        **more: Any,
    ) -> None:
        self._notices.append(StatusEvent(**status_event(state, reason, self._now_us, count=count, **more)))
