"""Which service carries which asset, and where each named value stands in a level-1 entry."""

from typing import Any, Final

from schwabstream.protocol.fields import FIELDS, Service

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
"""Every service with data, and the assets whose keys it knows; other services are unavailable (code 11)."""

_NUMBERS: Final[dict[str, dict[str, str]]] = {
    service: {field.name: str(field.number) for field in FIELDS[Service(service)]} for service in LEVELONE
}


def numbered(service: str, values: dict[str, Any], wanted: frozenset[str]) -> dict[str, Any]:
    """The named values under their field numbers, only those asked for; None is left out, as Schwab does."""
    numbers = _NUMBERS[service]
    entry = {}
    for name, value in values.items():
        number = numbers.get(name)
        if number in wanted and value is not None:
            entry[number] = value
    return entry
