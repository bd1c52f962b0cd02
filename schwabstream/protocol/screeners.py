"""The names of screeners, and the services of screeners and account activity; pure (protocol 4.9, 4.10)."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from schwabstream.protocol.fields import Service

PREFIXES = (
    "$COMPX",
    "$DJI",
    "$SPX",
    "INDEX_ALL",
    "NYSE",
    "NASDAQ",
    "OTCBB",
    "EQUITY_ALL",
    "OPTION_PUT",
    "OPTION_CALL",
    "OPTION_ALL",
)
SORTS = ("VOLUME", "TRADES", "PERCENT_CHANGE_UP", "PERCENT_CHANGE_DOWN", "AVERAGE_PERCENT_VOLUME")
FREQUENCIES = ("0", "1", "5", "10", "30", "60")
SCREENER_SERVICES = frozenset({Service.SCREENER_EQUITY, Service.SCREENER_OPTION})
ACCOUNT_KEY = "Account Activity"
"""Schwab accepts any text as the key of account activity, and repeats it in each message."""

_NAME = re.compile("_".join(f"({'|'.join(map(re.escape, each))})" for each in (PREFIXES, SORTS, FREQUENCIES)))
_FORM = (
    "write PREFIX_SORT_FREQUENCY, such as NYSE_VOLUME_5, with "
    f"a prefix of {', '.join(PREFIXES)}; a sort of {', '.join(SORTS)}; and a frequency of {', '.join(FREQUENCIES)}"
)


class Screener(NamedTuple):
    """The parts of a screener's name."""

    prefix: str
    sort: str
    minutes: int

    @property
    def service(self) -> Service:
        """The service that has it."""
        return Service.SCREENER_OPTION if self.prefix.startswith("OPTION_") else Service.SCREENER_EQUITY


def parse_screener(name: str) -> Screener | None:
    """The parts of a name in upper case; None when Schwab has no such screener."""
    found = _NAME.fullmatch(name)
    return None if found is None else Screener(found[1], found[2], int(found[3]))


def check_screeners(names: Iterable[str]) -> list[str]:
    """The names in upper case, without duplicates; raises ``ValueError`` with what Schwab has, for any other name."""
    found = [name.upper() for name in names]
    for number, name in enumerate(found, 1):
        if parse_screener(name) is None:
            raise ValueError(f"name {number} is not a screener of Schwab; {_FORM}")
    return list(dict.fromkeys(found))


def services_of(screeners: Iterable[str], *, account_activity: bool) -> dict[Service, tuple[str, ...]]:
    """The keys of these screeners, and of account activity, by service."""
    keys: dict[Service, tuple[str, ...]] = {}
    for name in screeners:
        if screener := parse_screener(name):
            keys[screener.service] = (*keys.get(screener.service, ()), name)
    if account_activity:
        keys[Service.ACCT_ACTIVITY] = (ACCOUNT_KEY,)
    return keys
