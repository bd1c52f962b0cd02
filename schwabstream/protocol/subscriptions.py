"""The services and keys that symbols need, and the shortest list of commands that subscribes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from schwabstream.protocol.fields import Service
from schwabstream.protocol.symbols import Asset, Symbol

# Schwab has answered a SUBS of many keys for only some of them (protocol 3.6).
MAX_KEYS_PER_COMMAND = 50

LEVEL_ONE: Mapping[Asset, Service] = {
    Asset.EQUITY: Service.LEVELONE_EQUITIES,
    Asset.INDEX: Service.LEVELONE_EQUITIES,
    Asset.OPTION: Service.LEVELONE_OPTIONS,
    Asset.FUTURE: Service.LEVELONE_FUTURES,
    Asset.FUTURE_OPTION: Service.LEVELONE_FUTURES_OPTIONS,
    Asset.FOREX: Service.LEVELONE_FOREX,
}
CHARTS: Mapping[Asset, Service] = {Asset.EQUITY: Service.CHART_EQUITY, Asset.FUTURE: Service.CHART_FUTURES}
BOOKS: Mapping[Asset, Service] = {Asset.OPTION: Service.OPTIONS_BOOK, Asset.FUTURE: Service.FUTURES_BOOK}
EQUITY_BOOKS = (Service.NASDAQ_BOOK, Service.NYSE_BOOK)
BOOK_SERVICES = frozenset({*BOOKS.values(), *EQUITY_BOOKS})

# Exchange codes of the quotes endpoint (protocol 2.2, field 13 in 4.1): of Nasdaq, of NYSE and related exchanges.
_NASDAQ_EXCHANGES = frozenset("Q")
_NYSE_EXCHANGES = frozenset("NPAU")


class Verb(StrEnum):
    """SUBS replaces a service's keys, ADD appends to them, UNSUBS removes keys (protocol 3.6)."""

    SUBS = "SUBS"
    ADD = "ADD"
    UNSUBS = "UNSUBS"


@dataclass(frozen=True, slots=True)
class Command:
    """One subscription command: a verb, a service and its keys."""

    verb: Verb
    service: Service
    keys: tuple[str, ...]


Wanted = Mapping[Service, tuple[str, ...]]


def wanted(symbols: Iterable[Symbol], listings: Mapping[str, str] | None = None) -> dict[Service, tuple[str, ...]]:
    """The services that these symbols need, each with its keys in order and without duplicates.

    ``listings`` maps an equity key to the exchange code of the quotes endpoint. An equity without one is subscribed at
    both book services, because the wrong one only stays silent.
    """
    keys: dict[Service, dict[str, None]] = {}
    for symbol in symbols:
        for service in _services(symbol, listings or {}):
            keys.setdefault(service, {})[symbol.key] = None
    return {service: tuple(keys[service]) for service in Service if service in keys}


def book_services(symbol: Symbol, listings: Mapping[str, str]) -> tuple[Service, ...]:
    """The book services that may have this symbol; empty for symbols without a book, such as an index."""
    if symbol.asset is not Asset.EQUITY:
        return (BOOKS[symbol.asset],) if symbol.asset in BOOKS else ()
    exchange = listings.get(symbol.key)
    if exchange in _NASDAQ_EXCHANGES:
        return (Service.NASDAQ_BOOK,)
    if exchange in _NYSE_EXCHANGES:
        return (Service.NYSE_BOOK,)
    return EQUITY_BOOKS


def plan(wanted: Wanted, subscribed: Wanted) -> list[Command]:
    """The shortest list of commands that turns ``subscribed`` into ``wanted``; level 1 first.

    Keys that stay wanted are left alone: SUBS, which replaces all keys, is used only for a service without any.
    """
    commands: list[Command] = []
    for service in Service:
        want, have = wanted.get(service, ()), subscribed.get(service, ())
        commands += _chunks(Verb.UNSUBS, service, _without(have, want))
        commands += _chunks(Verb.ADD if have else Verb.SUBS, service, _without(want, have))
    return commands


def _without(keys: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    excluded = set(others)
    return tuple(key for key in keys if key not in excluded)


def _services(symbol: Symbol, listings: Mapping[str, str]) -> tuple[Service, ...]:
    chart = (CHARTS[symbol.asset],) if symbol.asset in CHARTS else ()
    return (LEVEL_ONE[symbol.asset], *chart, *book_services(symbol, listings))


def _chunks(verb: Verb, service: Service, keys: tuple[str, ...]) -> list[Command]:
    """The keys in commands of limited length; only the first is SUBS, because a second would replace its keys."""
    following = Verb.ADD if verb is Verb.SUBS else verb
    starts = range(0, len(keys), MAX_KEYS_PER_COMMAND)
    return [
        Command(following if start else verb, service, keys[start : start + MAX_KEYS_PER_COMMAND]) for start in starts
    ]
