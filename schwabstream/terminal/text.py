"""Numbers, times and services as a terminal shows them; pure."""

from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Final

UNKNOWN: Final = "–"
_SHORT_DAYS_MS: Final = 86_400_000
_SERVICES: Final = {"LEVELONE": "level 1", "BOOK": "book", "CHART": "bars", "SCREENER": "screener", "ACCT": "account"}


def price(value: float | None, decimals: int) -> str:
    """A price with its instrument's decimals; more, up to six, when it has them, so that none is hidden."""
    if value is None:
        return UNKNOWN
    while decimals < 6 and abs(round(value, decimals) - value) > 1e-9:
        decimals += 1
    return f"{value:,.{decimals}f}"


def signed(value: float | None, decimals: int) -> str:
    """A change, always with its sign but for zero."""
    if value is None:
        return UNKNOWN
    text = price(value, decimals)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def percent(value: float | None) -> str:
    """A percentage with two decimals and its sign."""
    if value is None:
        return UNKNOWN
    text = f"{value:+.2f}%"
    return "0.00%" if text.strip("+-0.%") == "" else text


def count(value: float | None) -> str:
    """A whole number with thousands separated; a fraction stays one."""
    if value is None:
        return UNKNOWN
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def counted(number: int, noun: str) -> str:
    """A number of things, in the singular for one: 1 event, 1,234 events."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rate(per_second: float) -> str:
    """Updates a second."""
    return f"{per_second:.1f}/s"


def age(seconds: float) -> str:
    """A span in at most five characters: 0.4s, 12s, 3m05, 2h10, 5d."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole // 60 % 60:02}"
    return f"{whole // 86_400}d"


def clock(milliseconds: int | None, now_s: float, zone: tzinfo | None = None) -> str:
    """A time of day in the zone (None: the local one), or the date when it is not within a day of ``now_s``."""
    if not milliseconds:
        return UNKNOWN
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, zone)
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
    return f"{at:%H:%M:%S}" if abs(now_s * 1000 - milliseconds) < _SHORT_DAYS_MS else f"{at:%Y-%m-%d}"


def services(names: Iterable[str]) -> str:
    """Services of Schwab in short words, such as ``level 1, book, bars``; other names stay as they are."""
    return ", ".join(dict.fromkeys(_service(name) for name in names))


def _service(name: str) -> str:
    first, _, rest = name.partition("_")
    return _SERVICES.get(first) or _SERVICES.get(rest, name)
