"""The last value of each symbol: merges Schwab's changes into full ticks, and turns all other data into events.

Passes events to ``publish`` as dictionaries of the shapes in ``events``. The dictionary of a tick is the symbol's own
state: ``publish`` may set its ``seq``, and must copy or encode what it keeps before it returns. A side of a book is
anything that orjson writes as its JSON. Merging: a missing field is unchanged, null becomes None, 0 and "" are values
(protocol 3.5). A value of the wrong type is counted and becomes None; no input raises an exception.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

from schwabstream.events import Channel
from schwabstream.market.account import account_event
from schwabstream.market.instruments import (
    CHARACTER,
    INTEGER,
    MODELLED,
    NUMBER,
    UNKNOWN,
    Instrument,
    Layout,
    Slot,
    event_head,
)
from schwabstream.market.screeners import screener_event
from schwabstream.protocol.books import Book, read_book, write_side
from schwabstream.protocol.codec import Batch
from schwabstream.protocol.fields import Service
from schwabstream.protocol.subscriptions import BOOK_SERVICES, LEVEL_ONE
from schwabstream.protocol.symbols import Asset, Symbol
from schwabstream.protocol.values import character, whole
from schwabstream.report import Count

Publish = Callable[[Channel, dict[str, Any]], None]

_TICKS = Channel.TICKS
_CHART_TIME = {Service.CHART_FUTURES: "1", Service.CHART_EQUITY: "7"}
_BAR_PRICES = ("open", "high", "low", "close", "volume")
_EQUITY_BAR = {"sequence": "1", "chart_day": "8"}
_WITHOUT_STATE = {
    Service.SCREENER_EQUITY: (Channel.SCREENERS, screener_event),
    Service.SCREENER_OPTION: (Channel.SCREENERS, screener_event),
    Service.ACCT_ACTIVITY: (Channel.ACCOUNT, account_event),
}


class LastValues:
    """The state of every wanted symbol; see the module's docstring for what :meth:`apply` does."""

    def __init__(self, symbols: Iterable[Symbol], publish: Publish) -> None:
        self._publish = publish
        self._layouts = {str(service): Layout(service) for service in dict.fromkeys(LEVEL_ONE.values())}
        self.instruments: dict[str, Instrument] = {}
        self._answering: dict[str, Instrument] = {}  # by the key that this session's entries have
        self._changed: list[Instrument] = []  # whose ``info`` has changed, the longest ago first
        self.counts: Counter[str] = Counter()
        for symbol in symbols:
            self.add(symbol)

    def add(self, symbol: Symbol) -> None:
        """Take data of one more symbol; a new alias of a key that has data gets its last tick at once."""
        instrument = self.instruments.get(symbol.key)
        if instrument is None:
            self.instruments[symbol.key] = self._answering[symbol.key] = Instrument(symbol)
        elif symbol.alias not in instrument.aliases:
            before = instrument.aliases
            instrument.aliases = (symbol.alias,)
            self.repeat(instrument)
            instrument.aliases = (*before, symbol.alias)
            if instrument.info:
                self._note_change(instrument)

    def remove(self, symbol: Symbol) -> None:
        """Take no more data of this alias; without another alias its key is forgotten."""
        instrument = self.instruments[symbol.key]
        instrument.aliases = tuple(alias for alias in instrument.aliases if alias != symbol.alias)
        if not instrument.aliases:
            del self.instruments[symbol.key]
            self._answering = {key: other for key, other in self._answering.items() if other is not instrument}

    def begin_session(self) -> None:
        """Mark every key as unconfirmed: its next entry is a snapshot."""
        self._answering = dict(self.instruments)
        for instrument in self.instruments.values():
            instrument.fresh = False

    def use_top_of_book(self, keys: Iterable[str]) -> None:
        """Build one-level books of these keys from level 1, because Schwab has no depth for them."""
        for key in keys:
            if (instrument := self.instruments.get(key)) and not instrument.top_of_book:
                instrument.top_of_book = True
                if instrument.tick["received_us"]:
                    self._publish_top(instrument)

    def repeat(self, instrument: Instrument) -> None:
        """Publish the last tick again, marked as a repeat."""
        if not instrument.has_price:
            return
        tick = instrument.tick
        tick["repeat"], tick["is_trade"] = True, False
        self._fan_out(Channel.TICKS, instrument, tick)
        tick["repeat"] = False

    def renew(self, *, ticks: bool) -> None:
        """Mark every instrument as changed; with ``ticks``, also publish every last tick again, as a repeat."""
        for instrument in self.instruments.values():
            if instrument.info:
                self._note_change(instrument)
            if ticks:
                self.repeat(instrument)

    def take_changed(self, most: int) -> Iterator[dict[str, Any]]:
        """InstrumentEvents of at most ``most`` keys that changed since they were last taken, oldest changes first."""
        taken, self._changed = self._changed[:most], self._changed[most:]
        return chain.from_iterable(instrument.take_events() for instrument in taken)

    def apply(self, batch: Batch, received_us: int) -> None:
        """Merge one batch and publish its events; ``received_us`` is when its frame arrived."""
        service = batch.service
        layout = self._layouts.get(service)
        timestamp = batch.timestamp_ms or received_us // 1000
        if layout is None:
            if service in BOOK_SERVICES:
                self._apply_books(batch, timestamp, received_us)
            elif service in _CHART_TIME:
                self._apply_bars(batch, received_us)
            elif service in _WITHOUT_STATE:
                self._apply_events(batch, timestamp, received_us)
            else:
                self.counts[Count.UNKNOWN_SERVICES] += 1
            return
        answering = self._answering
        for entry in batch.content:
            try:
                instrument = answering[entry["key"]]
            except (KeyError, TypeError):
                if (root := self._root_answered_by(entry, service)) is None:
                    self.counts[Count.UNKNOWN_ENTRIES] += 1
                    continue
                instrument = root
            self._merge(instrument, layout, entry, timestamp, received_us)

    def _root_answered_by(self, entry: object, service: str) -> Instrument | None:
        """The root whose data Schwab sends under this entry's key, that of its contract (protocol 6).

        A root that its own key has confirmed gets no data of a contract. One that gets its contract's data follows the
        roll to the next contract, which begins with a snapshot.
        """
        if service != LEVEL_ONE[Asset.FUTURE] or type(entry) is not dict or type(entry.get("key")) is not str:
            return None
        contract: str = entry["key"]
        root = Symbol(contract, contract, Asset.FUTURE).root
        if root == contract or (instrument := self.instruments.get(root)) is None:
            return None
        before = [key for key, other in self._answering.items() if other is instrument and key != root]
        if instrument.fresh and not (before and "assetMainType" in entry):
            return None
        for key in before:
            del self._answering[key]
        self._answering[contract] = instrument
        instrument.tick["contract"] = contract
        return instrument

    def _merge(
        self, instrument: Instrument, layout: Layout, entry: dict[str, Any], timestamp: int, received_us: int
    ) -> None:
        tick, slots = instrument.tick, layout.tick
        last_trade = tick["trade_time"]
        for number, value in entry.items():
            slot = slots.get(number)
            if slot is not None:
                name, accepted = slot
                tick[name] = value if type(value) in accepted else self._coerce(value, accepted)
            elif number in layout.info:
                self._keep_info(instrument, layout.info[number], value)
        instrument.updates += 1
        last, trade_time, quote_time = tick["last_price"], tick["trade_time"], tick["quote_time"]
        if instrument.fresh and "assetMainType" not in entry:
            # Schwab has no feed of trades, and a change has only the changed fields (protocol 3.5). A trade at the
            # previous price changes only size or time, so any of the three fields shows a trade. A null does not.
            tick["is_trade"] = (
                (last is not None and layout.price in entry)
                or (trade_time is not None and layout.time in entry)
                or (layout.size in entry and tick["last_size"] is not None)
            )
        else:
            if not instrument.fresh:
                instrument.fresh, instrument.first_us, instrument.first_update = True, received_us, instrument.updates
            # A snapshot, requested or not, has all fields, so it repeats the last trade: only a later time shows a new
            # one. The first snapshot of a run has no earlier trade to compare with, and may be days old.
            tick["is_trade"] = last_trade is not None and trade_time is not None and trade_time > last_trade
        if quote_time is None or (trade_time is not None and trade_time > quote_time):
            quote_time = trade_time
        tick["timestamp"] = quote_time if quote_time is not None and quote_time > 0 else timestamp
        tick["received_us"] = received_us
        if last is not None or instrument.has_price:
            publish = self._publish
            for alias in instrument.aliases:
                tick["symbol"] = alias
                publish(_TICKS, tick)
        if instrument.top_of_book and not layout.top.isdisjoint(entry):
            self._publish_top(instrument)

    def _keep_info(self, instrument: Instrument, slot: Slot, value: object) -> None:
        name, accepted = slot
        info = instrument.info
        if type(value) not in accepted:
            value = self._coerce(value, accepted)
        if not instrument.info_changed and info.get(name) != value:
            self._note_change(instrument)
        info[name] = value
        if name == "active_contract" and not instrument.is_contract:
            instrument.tick["contract"] = value

    def _note_change(self, instrument: Instrument) -> None:
        if not instrument.info_changed:
            instrument.info_changed = True
            self._changed.append(instrument)

    def _coerce(self, value: object, accepted: tuple[type, ...]) -> object:
        if value is None:
            return None
        if accepted is MODELLED and type(value) in NUMBER:
            return None if value == UNKNOWN else value
        with suppress(TypeError):
            if accepted is INTEGER:
                return whole(value)
            if accepted is CHARACTER:
                return character(value)
        self.counts[Count.BAD_VALUES] += 1
        return None

    def _whole(self, value: object) -> object:
        return value if type(value) is int else self._coerce(value, INTEGER)

    def _publish_top(self, instrument: Instrument) -> None:
        tick, instrument.book_service = instrument.tick, str(LEVEL_ONE[instrument.symbol.asset])
        instrument.newest_book = event = {
            **event_head("level2", instrument.key, tick["timestamp"], tick["received_us"]),
            "service": instrument.book_service,
            "source": "top_of_book",
            "bids": _top(tick["bid_price"], tick["bid_size"]),
            "asks": _top(tick["ask_price"], tick["ask_size"]),
        }
        self._fan_out(Channel.LEVEL2, instrument, event)

    def _apply_books(self, batch: Batch, timestamp: int, received_us: int) -> None:
        for entry in batch.content:
            try:
                book = entry if type(entry) is Book else read_book(entry)
                if (instrument := self._answering.get(book.key)) is None:
                    self.counts[Count.UNKNOWN_ENTRIES] += 1
                    continue
                bids, asks = write_side(book.bids, descending=True), write_side(book.asks, descending=False)
            except (KeyError, TypeError, ValueError):
                self.counts[Count.BAD_BOOKS] += 1
                continue
            time = book.time
            instrument.newest_book = event = {
                **event_head(
                    "level2", instrument.key, time if type(time) is int and time > 0 else timestamp, received_us
                ),
                "service": batch.service,
                "source": "book",
                "bids": bids,
                "asks": asks,
            }
            instrument.top_of_book, instrument.book_service = False, batch.service
            self._fan_out(Channel.LEVEL2, instrument, event)

    def _apply_bars(self, batch: Batch, received_us: int) -> None:
        time_number = _CHART_TIME[Service(batch.service)]
        for entry in batch.content:
            try:
                if (instrument := self._answering.get(entry["key"])) is None:
                    self.counts[Count.UNKNOWN_ENTRIES] += 1
                    continue
                start, *prices = (entry[number] for number in (time_number, "2", "3", "4", "5", "6"))
            except (KeyError, TypeError):
                self.counts[Count.BAD_BARS] += 1
                continue
            if type(start) is not int or start <= 0 or any(type(price) not in NUMBER for price in prices):
                self.counts[Count.BAD_BARS] += 1
                continue
            event = event_head("bar", instrument.key, start, received_us)
            event.update(zip(_BAR_PRICES, prices, strict=True))
            if batch.service == Service.CHART_EQUITY:
                event.update((name, self._whole(entry.get(number))) for name, number in _EQUITY_BAR.items())
            self._fan_out(Channel.BARS, instrument, event)

    def _apply_events(self, batch: Batch, timestamp: int, received_us: int) -> None:
        channel, event_of = _WITHOUT_STATE[Service(batch.service)]
        for entry in batch.content:
            if (event := event_of(entry, timestamp, received_us, self.counts)) is not None:
                self._publish(channel, event)

    def _fan_out(self, channel: Channel, instrument: Instrument, event: dict[str, Any]) -> None:
        for alias in instrument.aliases:
            event["symbol"] = alias
            self._publish(channel, event)


def _top(price: float | None, size: int | None) -> list[dict[str, Any]]:
    """The one level of a side; empty without a price, or when price and size are 0 (trap T14)."""
    if price is None or (not price and not size):
        return []
    return [{"price": price, "size": size or 0, "makers": 0, "venues": []}]
