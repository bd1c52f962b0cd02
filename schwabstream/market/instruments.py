"""The state of one key: its tick and the level-1 fields that no tick has; and which of the two each field belongs to.

Pure. ``last_values`` merges Schwab's changes into these states.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from schwabstream.events import VERSION, TickEvent
from schwabstream.market.trading_hours import hours_of
from schwabstream.protocol.fields import FIELDS, Service
from schwabstream.protocol.subscriptions import BOOK_SERVICES, LEVEL_ONE
from schwabstream.protocol.symbols import Asset, Symbol
from schwabstream.protocol.values import Kind

_SERVICES: Final = tuple(dict.fromkeys(LEVEL_ONE.values()))
_NAMES: Final = {service: {field.name for field in FIELDS[service] if field.number} for service in _SERVICES}

TICK_FIELDS: Final = tuple(name for name in TickEvent.model_fields if name in set().union(*_NAMES.values()))
"""The names that ticks and the fields of level 1 share."""
_OF_OTHERS: Final = set().union(*(names for service, names in _NAMES.items() if service != Service.LEVELONE_OPTIONS))
OPTION_FIELDS: Final = frozenset(name for name in TICK_FIELDS if name not in _OF_OTHERS)
"""The fields that only ticks of options have."""
MODEL_FIELDS: Final = OPTION_FIELDS - {"underlying_price"}
"""Their values that a model calculates."""
_TRADE_FIELDS: Final = ("last_price", "last_size", "trade_time")
_TOP_FIELDS: Final = ("bid_price", "bid_size", "ask_price", "ask_size")

Slot = tuple[str, tuple[type, ...]]
"""The name of a field and the types of its values."""
NUMBER: Final = (float, int)
INTEGER: Final = (int,)
# Two equal tuples, compared by identity: only ``CHARACTER`` also accepts the code of a character.
TEXT: Final = (str,)
CHARACTER: Final = (str,)
MODELLED: Final[tuple[type, ...]] = ()
"""Values of an option model: numbers, and ``UNKNOWN`` for None."""
UNKNOWN: Final = -999
"""What Schwab sends for a value of an option model that it does not have (trap T14)."""
_ACCEPTED: Final[Mapping[Kind, tuple[type, ...]]] = {
    Kind.FLOAT: NUMBER,
    Kind.INT: INTEGER,
    Kind.TEXT: TEXT,
    Kind.CHAR: CHARACTER,
    Kind.FLAG: (bool,),
    Kind.LIST: (list,),
}
_UNNUMBERED: Final[Mapping[str, Slot]] = {
    "assetMainType": ("asset_main_type", TEXT),
    "assetSubType": ("asset_sub_type", TEXT),
    "cusip": ("cusip", TEXT),
}


class Layout:
    """Where each field of one level-1 service belongs: in ``tick``, or in ``info``, the rest."""

    def __init__(self, service: Service) -> None:
        slots = {str(field.number): (field.name, _ACCEPTED[field.kind]) for field in FIELDS[service] if field.number}
        self.tick: dict[str, Slot] = {
            number: (name, MODELLED if name in MODEL_FIELDS else accepted)
            for number, (name, accepted) in slots.items()
            if name in TICK_FIELDS
        }
        self.tick["delayed"] = ("delayed", (bool,))
        self.info: dict[str, Slot] = {number: slot for number, slot in slots.items() if number not in self.tick}
        self.info.update(_UNNUMBERED)
        numbers = {slot[0]: number for number, slot in slots.items()}
        self.price, self.size, self.time = (numbers[name] for name in _TRADE_FIELDS)
        self.top = frozenset(numbers[name] for name in _TOP_FIELDS)


class Instrument:
    """The state of one key.

    ``fresh``: whether an entry of this session has confirmed it, ``first_us`` and ``first_update``: the time and number
    of that entry; ``hours``: when it trades; ``book_service``: the service of its last book; ``newest_book``: the event
    of that book; ``info``: level-1 fields that no tick has, by name; ``info_changed``: whether one of them has changed
    since :meth:`take_events`.
    """

    __slots__ = (
        "aliases",
        "book_service",
        "first_update",
        "first_us",
        "fresh",
        "hours",
        "info",
        "info_changed",
        "is_contract",
        "key",
        "newest_book",
        "symbol",
        "tick",
        "top_of_book",
        "updates",
    )

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol
        self.key = symbol.key
        self.aliases: tuple[str, ...] = (symbol.alias,)
        self.hours = hours_of(symbol)
        self.fresh = False
        self.first_us = self.first_update = 0
        self.top_of_book = False
        self.book_service: str | None = None
        self.newest_book: dict[str, Any] | None = None
        self.updates = 0
        self.info: dict[str, Any] = {}
        self.info_changed = False
        self.is_contract = symbol.asset is Asset.FUTURE and symbol.key != symbol.root
        own = (
            TICK_FIELDS if symbol.asset is Asset.OPTION else (name for name in TICK_FIELDS if name not in OPTION_FIELDS)
        )
        self.tick: dict[str, Any] = {
            **event_head("tick", symbol.key, 0, 0),
            "symbol": symbol.alias,
            "asset": str(symbol.asset),
            "contract": symbol.key if self.is_contract else None,
            **dict.fromkeys(own),
            "is_trade": False,
            "delayed": None,
            "repeat": False,
        }

    @property
    def book(self) -> Literal["book", "top_of_book"] | None:
        """The source of its level 2; None before the first book."""
        if self.book_service is None:
            return None
        return "book" if self.book_service in BOOK_SERVICES else "top_of_book"

    @property
    def has_price(self) -> bool:
        """Whether its tick can be published: it has a last price, or both a bid and an ask."""
        tick = self.tick
        return tick["last_price"] is not None or (tick["bid_price"] is not None and tick["ask_price"] is not None)

    def take_events(self) -> list[dict[str, Any]]:
        """An InstrumentEvent for each alias; notes that they have been taken."""
        self.info_changed = False
        tick = self.tick
        event = event_head("instrument", self.key, tick["timestamp"], tick["received_us"])
        event |= {"asset": tick["asset"], **self.info}
        return [{**event, "symbol": alias} for alias in self.aliases]


def event_head(kind: str, key: str, timestamp: int, received_us: int) -> dict[str, Any]:
    """The fields that all events share, with ``key`` as the symbol."""
    return {
        "v": VERSION,
        "type": kind,
        "symbol": key,
        "key": key,
        "seq": 0,
        "prev": 0,
        "timestamp": timestamp,
        "received_us": received_us,
    }
