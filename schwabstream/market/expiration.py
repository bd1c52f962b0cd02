"""When a contract expires, and when traders move from it to the next one. Pure: Schwab's fields and the day come in.

The roll week ends on the last day before the holder of a contract can be asked to deliver, else on the day of
expiration. Index futures change to the next contract eight days before they expire (protocol 6.2).
"""

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

from schwabstream.market.trading_hours import NEW_YORK
from schwabstream.protocol.futures import DELIVERED
from schwabstream.protocol.symbols import MONTH_CODES, Asset, Symbol

ROLL_DAYS: Final = 8
_CONTRACT = re.compile(rf"/[A-Z0-9]+?(?P<month>[{MONTH_CODES}])(?P<year>\d\d)")


def expiration_day(symbol: Symbol, expires_ms: int | None) -> date | None:
    """The last day of an option or a future; ``expires_ms`` is what Schwab sends of futures. None when unknown."""
    try:
        if symbol.asset is Asset.OPTION:
            year, month, day = (int(symbol.key[at : at + 2]) for at in (6, 8, 10))
            return date(2000 + year, month, day)
        return datetime.fromtimestamp(expires_ms / 1000, NEW_YORK).date() if expires_ms else None
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(1024)  # asked for each row of a screen
def days_left(symbol: Symbol, contract: str | None, expires_ms: int | None, today: date) -> tuple[int, bool] | None:
    """The days to the expiration, and whether ``today`` is in the roll week; None without an expiration.

    ``contract`` is the one that a root stands for.
    """
    expires = expiration_day(symbol, expires_ms)
    return None if expires is None else ((expires - today).days, is_roll_week(symbol, contract, expires, today))


def is_roll_week(symbol: Symbol, contract: str | None, expires: date, today: date) -> bool:
    """Whether holders of the future move to the next contract on that day; ``contract`` is the one of a root."""
    if symbol.asset is not Asset.FUTURE:
        return False
    last = expires
    found = _CONTRACT.fullmatch(contract or symbol.key)
    if found and symbol.root[1:] in DELIVERED:
        month = date(2000 + int(found["year"]), MONTH_CODES.index(found["month"]) + 1, 1)
        last = min(expires, month - timedelta(days=1))
    return last - timedelta(days=ROLL_DAYS) <= today
