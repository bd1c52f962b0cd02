"""The market as sessions receive it: snapshots, changes, books and bars, corrupted on request (protocol 3.5)."""

import re
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any, Final

import orjson

from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.protocol.screeners import SCREENER_SERVICES
from schwabstream.simulator.books import Book
from schwabstream.simulator.market import Bar, Quote
from schwabstream.simulator.orders import Message, Orders

if TYPE_CHECKING:
    from schwabstream.simulator.server import SchwabSimulator
    from schwabstream.simulator.streamer import Session

Entry = dict[str, Any]

LEVELONE: Final[dict[str, tuple[str, ...]]] = {
    Service.LEVELONE_EQUITIES: ("EQUITY", "INDEX"),
    Service.LEVELONE_FUTURES: ("FUTURE",),
    Service.LEVELONE_OPTIONS: ("OPTION",),
    Service.LEVELONE_FUTURES_OPTIONS: ("FUTURE_OPTION",),
    Service.LEVELONE_FOREX: ("FOREX",),
}
CHARTS: Final[dict[str, tuple[str, ...]]] = {
    Service.CHART_EQUITY: ("EQUITY", "INDEX"),
    Service.CHART_FUTURES: ("FUTURE",),
}
BOOKS: Final[dict[str, tuple[str, ...]]] = {
    Service.NASDAQ_BOOK: ("EQUITY",),
    Service.NYSE_BOOK: ("EQUITY",),
    Service.OPTIONS_BOOK: ("OPTION",),
    Service.FUTURES_BOOK: ("FUTURE",),
}
ASSETS: Final[dict[str, tuple[str, ...]]] = {**LEVELONE, **CHARTS, **BOOKS}
"""Every service of single instruments, and the assets whose keys it knows."""
_SERVED: Final = frozenset((*ASSETS, *SCREENER_SERVICES, Service.ACCT_ACTIVITY))

_NUMBERS: Final[dict[str, dict[str, str]]] = {
    service: {field.name: str(field.number) for field in FIELDS[Service(service)]} for service in LEVELONE
}

_UNKNOWN = (
    '{"data":[{"service":"LEVELONE_FUTURES", "timestamp":%d,"command":"SUBS","content":[{"key":"%s","delayed":false,'
    '"1":�,"2":�,"3":�,"6":"?","7":"?","12":�,"13":�,"14":�,"15":"?","16":"Symbol not found","17":"?","18":�,'
    '"21":"unavailable","22":"Unknown","24":�,"28":"D,D","33":�}]}]}'
)
_LISTINGS = {Service.NASDAQ_BOOK: ("NASDAQ",), Service.NYSE_BOOK: ("NYSE", "NYSE Arca")}
_NUMBER = re.compile(r'"1":-?[\d.]+')
_EASTERN_SEVEN_MS = 7 * 3_600_000


class Feed:
    """Turns the market's movement into frames, session by session."""

    def __init__(self, simulator: "SchwabSimulator", seed: int) -> None:
        self._market, self._faults, self._received = simulator.market, simulator.faults, simulator.received
        self._rng, self._seed = simulator.random, seed
        self._books: dict[tuple[str, Quote], Book] = {}
        self._screeners = simulator.screeners
        self._orders = Orders(self._market, self._faults, seed)

    # -- services and keys

    def serves(self, service: str) -> bool:
        """Whether this service has data; the others are unavailable (code 11)."""
        return service in _SERVED and (service != Service.FUTURES_BOOK or self._faults.futures_depth)

    def find(self, service: str, key: str) -> Quote | None:
        """The quote of a key of a service; None where Schwab stays silent (protocol 3.6)."""
        listed = self._faults.listed(key)
        quote = None if listed is None else self._market.quote(listed)
        if quote is None or quote.instrument.asset not in ASSETS[service]:
            return None
        listings = _LISTINGS.get(Service(service))
        return None if listings and quote.instrument.exchange not in listings else quote

    def _is_silent(self, session: "Session", service: str, key: str) -> bool:
        faults = self._faults
        if (service, key) in session.awaiting:
            return True
        return not faults.data or service in faults.muted_services or key in faults.silent_keys

    def _status(self, key: str) -> str:
        return "Halted" if key in self._faults.halted_keys else self._faults.market_status

    # -- snapshots

    def send_snapshot(self, session: "Session", service: str, keys: Iterable[str]) -> None:
        """Send the first entry of every key that has a quote and is still subscribed."""
        entries = []
        subscribed = session.subscriptions.get(service, {})
        for key in keys:
            session.awaiting.discard((service, key))
            if (wanted := subscribed.get(key)) is None or self._is_silent(session, service, key):
                continue
            if service not in ASSETS:
                entries.extend(self._first_of_list(session, service, key, wanted))
                continue
            quote = self.find(service, key)
            if quote is not None:
                entries.extend(self._first(service, key, quote, wanted))
            elif self._faults.unknown_symbol_frame and service == Service.LEVELONE_FUTURES:
                session.socket.send(_UNKNOWN % (self._market.now_ms(), key))
        if entries:
            self._send(session, {service: entries})

    def _first(self, service: str, key: str, quote: Quote, wanted: frozenset[str]) -> list[Entry]:
        if service in CHARTS:
            return []
        if service in BOOKS:
            return [self._book_entry(service, key, quote, wanted)]
        it = quote.instrument
        entry: Entry = {"key": key, "delayed": self._faults.delayed, "assetMainType": it.asset}
        if it.asset == "EQUITY":
            entry["assetSubType"] = it.sub_type
        if it.asset in ("EQUITY", "OPTION"):
            entry["cusip"] = it.cusip
        status = self._status(key)
        values = quote.values if status == "Normal" else {**quote.values, "security_status": status}
        return [entry | numbered(service, values, wanted)]

    def _first_of_list(self, session: "Session", service: str, key: str, wanted: frozenset[str]) -> list[Entry]:
        if service == Service.ACCT_ACTIVITY:
            return [_activity(session, key, (self._orders.account(), "SUBSCRIBED", ""))]
        entry = self._screener_entry(service, key, wanted)
        return [] if entry is None else [entry]

    def _screener_entry(self, service: str, key: str, wanted: frozenset[str]) -> Entry | None:
        whole = self._screeners.entry(service, key)
        return whole and {"key": key, **{number: part for number, part in whole.items() if number in wanted}}

    def _book_entry(self, service: str, key: str, quote: Quote, wanted: frozenset[str]) -> Entry:
        book = self._books.get((service, quote))
        if book is None:
            book = self._books[service, quote] = Book(service, quote, self._seed)
        now_ms = self._market.now_ms()
        whole = book.entry(now_ms, self._market.since_midnight_ms(now_ms))
        return {"key": key, **{number: part for number, part in whole.items() if number in wanted}}

    # -- movement

    def quotes(self, sessions: Iterable["Session"], services: Iterable[str]) -> dict[Quote, None]:
        """Every quote that a session follows through these services, in the order of subscription."""
        found: dict[Quote, None] = {}
        for session in sessions:
            for service in services:
                for key in session.subscriptions.get(service, ()):
                    if (quote := self.find(service, key)) is not None and self._status(key) == "Normal":
                        found[quote] = None
        return found

    def send_changes(self, sessions: Iterable["Session"], changes: dict[Quote, dict[str, Any]]) -> None:
        """Send level-1 changes to every session that follows the quotes."""

        def changed(_: "Session", service: str, key: str, quote: Quote, wanted: frozenset[str]) -> Entry | None:
            part = numbered(service, changes[quote], wanted)
            return {"key": key, **part} if part else None

        self._send_each(sessions, LEVELONE, changes, changed)

    def send_books(self, sessions: Iterable["Session"], moved: Iterable[Quote]) -> None:
        """Send the quotes' whole books to every session that follows them."""

        def whole(_: "Session", service: str, key: str, quote: Quote, wanted: frozenset[str]) -> Entry:
            return self._book_entry(service, key, quote, wanted)

        self._send_each(sessions, BOOKS, set(moved), whole)

    def send_bars(self, sessions: Iterable["Session"], bars: dict[Quote, Bar]) -> None:
        """Send finished minutes to every session that follows them, each with its sequence number."""

        def bar(session: "Session", service: str, key: str, quote: Quote, wanted: frozenset[str]) -> Entry:
            number = session.sequences[service] = session.sequences.get(service, 0) + 1
            values = self._bar_values(service, bars[quote])
            return {"key": key, "seq": number, **{name: value for name, value in values.items() if name in wanted}}

        self._send_each(sessions, CHARTS, bars, bar)

    def screened(self, sessions: Iterable["Session"], service: str) -> dict[Quote, None]:
        """Every quote that competes for a place in a list that a session follows."""
        keys = dict.fromkeys(key for each in sessions for key in each.subscriptions.get(service, ()))
        return dict.fromkeys(quote for key in keys for quote in self._screeners.quotes(service, key))

    def send_screeners(self, sessions: Iterable["Session"], service: str) -> None:
        """Send the whole lists of a screener service to every session that follows them."""
        for session in sessions:
            wanted = session.subscriptions.get(service, {}).items()
            heard = [(key, fields) for key, fields in wanted if not self._is_silent(session, service, key)]
            entries = [self._screener_entry(service, key, fields) for key, fields in heard]
            if lists := [entry for entry in entries if entry is not None]:
                self._send(session, {service: lists})

    def send_activity(self, sessions: Iterable["Session"]) -> None:
        """Send the next step of an order to every session that follows the accounts."""
        service = Service.ACCT_ACTIVITY
        keys = {session: next(iter(session.subscriptions.get(service, ())), None) for session in sessions}
        following = [(each, key) for each, key in keys.items() if key and not self._is_silent(each, service, key)]
        messages = self._orders.next_messages() if following else []
        for session, key in following:
            self._send(session, {service: [_activity(session, key, message) for message in messages]})

    def _send_each(
        self,
        sessions: Iterable["Session"],
        services: Iterable[str],
        moved: Container[Quote],
        entry_of: Callable[["Session", str, str, Quote, frozenset[str]], Entry | None],
    ) -> None:
        """Send each session an entry for each of its keys whose quote has moved, but none for a silent key."""
        for session in sessions:
            entries: dict[str, list[Entry]] = {}
            for service in services:
                for key, wanted in session.subscriptions.get(service, {}).items():
                    quote = self.find(service, key)
                    if quote is None or quote not in moved or self._is_silent(session, service, key):
                        continue
                    if (entry := entry_of(session, service, key, quote, wanted)) is not None:
                        entries.setdefault(service, []).append(entry)
            self._send(session, entries)

    def _bar_values(self, service: str, bar: Bar) -> Entry:
        prices = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        if service == Service.CHART_FUTURES:
            return {"1": bar.start_ms, **{str(2 + place): value for place, value in enumerate(prices)}}
        # The published table is wrong: field 1 is the sequence on the wire (protocol 4.7).
        minute = (self._market.since_midnight_ms(bar.start_ms) - _EASTERN_SEVEN_MS) // 60_000
        day = bar.start_ms // 86_400_000
        return {
            "1": minute,
            **{str(2 + place): value for place, value in enumerate(prices)},
            "7": bar.start_ms,
            "8": day,
        }

    # -- frames

    def _send(self, session: "Session", services: dict[str, list[Entry]]) -> None:
        size = self._faults.entries_per_frame
        messages = []
        for service, entries in services.items():
            step = size or len(entries)
            for start in range(0, len(entries), step):
                content = entries[start : start + step]
                if self._faults.root_stream_key == "contract":
                    content = [{**entry, "key": self._contract(service, entry["key"])} for entry in content]
                self._received.entries_sent += len(content)
                messages.append(
                    {"service": service, "timestamp": self._market.now_ms(), "command": "SUBS", "content": content}
                )
        if self._faults.merge_services and messages:
            self.send_frame(session, messages)
        else:
            for message in messages:
                self.send_frame(session, [message])

    def _contract(self, service: str, key: str) -> str:
        quote = self.find(service, key)
        return quote.instrument.contract if quote is not None and quote.instrument.contract else key

    def send_frame(self, session: "Session", messages: list[dict[str, Any]]) -> None:
        """Send one data frame, corrupted as the switches ask."""
        faults, rng = self._faults, self._rng
        if faults.padding_bytes:
            messages[0]["content"][0]["99"] = "x" * faults.padding_bytes
        text = orjson.dumps({"data": messages}).decode()
        if faults.nan_share and rng.random() < faults.nan_share:
            text = _NUMBER.sub('"1":NaN', text, count=1)
        if faults.truncate_share and rng.random() < faults.truncate_share:
            text = text[: rng.randrange(1, len(text))]
        self._received.frames_sent += 1
        session.socket.send(text)
        if faults.garbage_share and rng.random() < faults.garbage_share:
            session.socket.send(
                rng.choice(("", "null", "[]", '{"data":', "\x00\x01\x02", '{"data":[{"content":7}]}', "{}"))
            )


def _activity(session: "Session", key: str, message: Message) -> Entry:
    """An entry with every field, whichever are subscribed (protocol 4.10); a session's numbers start at 0."""
    number = session.sequences.get(Service.ACCT_ACTIVITY, 0)
    session.sequences[Service.ACCT_ACTIVITY] = number + 1
    return {"seq": number, "key": key, **{str(place): part for place, part in enumerate(message, 1)}}


def numbered(service: str, values: dict[str, Any], wanted: frozenset[str]) -> dict[str, Any]:
    """The wanted ones of the named values under their field numbers; None is left out, as Schwab does."""
    numbers = _NUMBERS[service]
    entry = {}
    for name, value in values.items():
        number = numbers.get(name)
        if number in wanted and value is not None:
            entry[number] = value
    return entry
