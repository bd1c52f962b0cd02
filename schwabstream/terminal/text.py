"""Symbols, numbers, times, services and small charts as a terminal shows them; pure."""

from collections.abc import Iterable
from datetime import datetime, tzinfo
from functools import lru_cache
from math import inf
from typing import Final

from schwabstream.escapes import safe
from schwabstream.protocol.notation import Notation
from schwabstream.protocol.symbols import MAX_LENGTH

UNKNOWN: Final = "–"
_SHORT_DAYS_MS: Final = 86_400_000
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_SERVICES: Final = {"LEVELONE": "level 1", "BOOK": "book", "CHART": "bars", "SCREENER": "screener", "ACCT": "account"}


def symbol(name: str) -> str:
    """A symbol or a contract, safe to show, and no longer than symbols can be."""
    shown = safe(name)
    return shown if len(shown) <= MAX_LENGTH else f"{shown[: MAX_LENGTH - 1]}…"


def price(value: float | None, notation: Notation) -> str:
    """A price as its market writes it."""
    return UNKNOWN if value is None else notation.write(value)


def signed(value: float | None, notation: Notation) -> str:
    """A change of a price, always with its sign but for zero."""
    text = price(value, notation)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.,'") else text


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


def delay(milliseconds: float) -> str:
    """A delay in milliseconds, or as an age from ten seconds on."""
    return f"{max(milliseconds, 0.0):,.0f} ms" if milliseconds < 10_000 else age(milliseconds / 1000)


def clock(milliseconds: int | None, now_s: float, zone: tzinfo | None = None) -> str:
    """A time of day in the zone (None: the local one), or the date when it is not within a day of ``now_s``."""
    if not milliseconds:
        return UNKNOWN
    return _clock(milliseconds // 1000, zone, is_date=abs(now_s * 1000 - milliseconds) >= _SHORT_DAYS_MS)


@lru_cache(1024)  # a fast market has many trades in one second
def _clock(seconds: int, zone: tzinfo | None, *, is_date: bool) -> str:
    try:
        at = datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
    return f"{at:%Y-%m-%d}" if is_date else f"{at:%H:%M:%S}"


def opening(milliseconds: int | None, now_s: float, zone: tzinfo | None = None) -> str:
    """The time of an opening, such as ``17:00``, ``Sun 17:00`` or a date, in the zone (None: the local one).

    Empty when it is unknown.
    """
    if not milliseconds:
        return ""
    try:
        at, now = datetime.fromtimestamp(milliseconds / 1000, zone), datetime.fromtimestamp(now_s, zone)
    except (ValueError, OverflowError, OSError):
        return ""
    ahead = (at.date() - now.date()).days
    return f"{at:%H:%M}" if not ahead else f"{at:%a %H:%M}" if 0 < ahead < 7 else f"{at:%Y-%m-%d}"


def days(number: int) -> str:
    """The days to an expiration: ``26d``, ``today`` or ``expired``."""
    return f"{number}d" if number > 0 else "expired" if number else "today"


def position(value: float | None, low: float | None, high: float | None, cells: int = 10) -> str:
    """Where a value is between two others, as a dot on a line; empty without a range."""
    if value is None or low is None or high is None or not 0 < high - low < inf:
        return ""
    place = round((cells - 1) * min(1.0, max(0.0, (value - low) / (high - low))))
    return "─" * place + "●" + "─" * (cells - 1 - place)


@lru_cache(1024)  # drawn eleven times a second, changed far less often
def course(values: tuple[float | None, ...]) -> str:
    """Values as a line of blocks, the lowest at the bottom; a blank for an unknown one."""
    given = [value for value in values if value is not None]
    if not given:
        return ""
    low, span = min(given), max(given) - min(given)
    highest = len(_LEVELS) - 1 if 0 < span < inf else 0
    levels = (None if value is None else highest and round((value - low) / span * highest) for value in values)
    return "".join(" " if level is None else _LEVELS[level] for level in levels)


def services(names: Iterable[str]) -> str:
    """Services of Schwab in short words, such as ``level 1, book, bars``; other names stay as they are."""
    return ", ".join(dict.fromkeys(_service(name) for name in names))


def _service(name: str) -> str:
    first, _, rest = name.partition("_")
    return _SERVICES.get(first) or _SERVICES.get(rest, name)
