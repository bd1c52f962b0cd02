"""Turns the records of a recording into the events that the stream published at the time.

Pure. Uses the codec and the last values of the live stream, so all that depends on the frames alone is the same every
time. What the stream did by the clock, such as repeating a quiet tick, is not reproduced.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from schwabstream.events import Channel
from schwabstream.market.last_values import LastValues, Publish
from schwabstream.protocol.codec import Batch, Response, decode, decode_requests
from schwabstream.protocol.fields import Service
from schwabstream.protocol.session import SUCCESS_CODES, UNAVAILABLE
from schwabstream.protocol.subscriptions import wanted
from schwabstream.protocol.symbols import Symbol, parse_symbol, parse_symbols
from schwabstream.recording.format import Header, Record

_UNANSWERED_US = 10_000_000


class Playback:
    """Takes a recording's items in order with :meth:`take`, and passes events to ``publish``, without numbers.

    Records before ``from_us`` are merged but not published, so that the first event is as complete as it was.
    ``market`` is None until the first header.
    """

    def __init__(self, publish: Publish, *, from_us: int = 0) -> None:
        self._publish = publish
        self._from_us = from_us
        self._quiet = True
        self._part = (0, 0)
        self._continues = False
        self._depth_asked: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._has_depth = True
        self._symbols: dict[str, Symbol] = {}
        self._today = date.min
        self.market: LastValues | None = None

    def take(self, item: Header | Record) -> None:
        """Do what the stream did when this item was on the wire."""
        if isinstance(item, Header):
            self._begin(item)
        elif self.market is not None and not (item.repeated and self._continues):
            self._quiet = item.repeated or item.at_us < self._from_us
            self._step(self.market, item)

    def _begin(self, header: Header) -> None:
        """Start with an empty state, unless this file continues the one before."""
        self._continues = self._part == (header.started_us, header.part - 1)
        self._part = (header.started_us, header.part)
        if not self._continues:
            # Contract years are read as on the day of the recording: /MNQZ6 must not become another contract.
            self._today = header.started.date()
            symbols = parse_symbols(header.symbols, self._today)
            self._symbols = {symbol.alias: symbol for symbol in symbols}
            self.market = LastValues(symbols, self._pass_on)
            self._depth_asked.clear()
            self._has_depth = True

    def _pass_on(self, channel: Channel, event: dict[str, Any]) -> None:
        if not self._quiet:
            self._publish(channel, event)

    def _step(self, market: LastValues, record: Record) -> None:
        if record.kind == "out":
            self._follow_command(market, record)
        elif record.kind == "symbols":
            self._follow_symbols(market, str(record.payload).split(","))
        elif record.kind == "in":
            if self._depth_asked:
                self._give_up_depth(market, record.at_us)
            for message in decode(record.payload):
                if isinstance(message, Batch):
                    market.apply(message, record.at_us)
                elif isinstance(message, Response):
                    self._follow_answer(market, message)

    def _follow_symbols(self, market: LastValues, aliases: Iterable[str]) -> None:
        """Take data of these symbols from now on, and of no others."""
        before, self._symbols = self._symbols, {alias: parse_symbol(alias, self._today) for alias in aliases}
        for alias in [alias for alias in before if alias not in self._symbols]:
            market.remove(before[alias])
        for alias in [alias for alias in self._symbols if alias not in before]:
            market.add(self._symbols[alias])
        if not self._has_depth:
            market.use_top_of_book(wanted(self._symbols.values()).get(Service.FUTURES_BOOK, ()))

    def _follow_command(self, market: LastValues, record: Record) -> None:
        try:
            requests = list(decode_requests(record.payload))
        except ValueError:
            return
        for request in requests:
            if request.get("command") == "LOGIN":
                market.begin_session()
                self._depth_asked.clear()
            elif request.get("service") == Service.FUTURES_BOOK:
                parameters = request.get("parameters")
                keys = str(parameters.get("keys", "")) if isinstance(parameters, dict) else ""
                self._depth_asked[str(request.get("requestid"))] = (record.at_us, tuple(keys.split(",")))

    def _follow_answer(self, market: LastValues, answer: Response) -> None:
        asked = self._depth_asked.pop(answer.request_id, None)
        if asked is not None and answer.code not in SUCCESS_CODES:
            self._has_depth = answer.code != UNAVAILABLE
            market.use_top_of_book(asked[1])

    def _give_up_depth(self, market: LastValues, now_us: int) -> None:
        """Treat a command without an answer as refused after the time that the session allows."""
        for request_id, (asked_us, keys) in list(self._depth_asked.items()):
            if now_us - asked_us > _UNANSWERED_US:
                del self._depth_asked[request_id]
                market.use_top_of_book(keys)


class Numbering:
    """Gives each channel's events a ``seq`` that counts from 1, and the ``prev`` that belongs to it."""

    def __init__(self, deliver: Callable[[Channel, dict[str, Any]], None]) -> None:
        self._deliver = deliver
        self._last: Counter[Channel] = Counter()
        self._newest: dict[tuple[Channel, str], int] = {}

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        """Number the event and deliver it; the dictionary stays the caller's."""
        self._last[channel] += 1
        owner = (channel, event["symbol"])
        event["prev"] = self._newest.get(owner, 0)
        event["seq"] = self._newest[owner] = self._last[channel]
        self._deliver(channel, event)

    @property
    def count(self) -> int:
        """Events so far."""
        return self._last.total()
