"""Reads the parameters of a REST call, and refuses wrong ones as Schwab does (protocol 2.4)."""

import datetime as dt
import math
from collections.abc import Collection

from schwabstream.simulator.web import Query

_LEAST, _MOST = 0.001, 1_000_000


class RefusalError(Exception):
    """A call that Schwab answers with an error; ``parameter`` names the one at fault."""

    def __init__(self, status: int, title: str, detail: str = "", parameter: str = "") -> None:
        super().__init__(detail or title)
        self.status, self.title, self.detail = status, title, detail
        self.source = {"parameter": parameter} if parameter else {}


def bad(parameter: str, detail: str) -> RefusalError:
    """A 400 that names a parameter."""
    return RefusalError(400, "Bad Request", detail, parameter)


def not_found() -> RefusalError:
    """A 404."""
    return RefusalError(404, "Not Found")


def required(query: Query, name: str) -> str:
    """The value of a parameter that must not be missing or empty."""
    value = query.get(name, "")
    if not value:
        raise bad(name, "Missing parameter")
    return value


def choice(query: Query, name: str, allowed: Collection[str], default: str = "") -> str:
    """One of the allowed values; ``default`` if the parameter is absent or empty, refused if that is empty too."""
    value = query.get(name) or default
    if value not in allowed:
        raise bad(name, f"valid {name} should be any of {','.join(allowed)}")
    return value


def number(query: Query, name: str, default: float) -> float:
    """A number from 0.001 to 1,000,000; ``default`` if the parameter is absent or empty."""
    text = query.get(name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if text and not _LEAST <= value <= _MOST:
        raise bad(name, f"{name} must be a number from {_LEAST} to {_MOST}")
    return value


def whole(query: Query, name: str, default: int) -> int:
    """A whole number of at most 15 digits, so that it can be a time in milliseconds."""
    text = query.get(name)
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise bad(name, f"{name} must be a whole number")
    return int(text) if text else default


def flag(query: Query, name: str, *, default: bool) -> bool:
    """True or false, in any case: Python clients send ``True``."""
    value = (query.get(name) or str(default)).lower()
    if value not in ("true", "false"):
        raise bad(name, f"{name} must be true or false")
    return value == "true"


def date(query: Query, name: str, default: dt.date) -> dt.date:
    """A date as yyyy-MM-dd."""
    try:
        return dt.date.fromisoformat(query[name]) if query.get(name) else default
    except ValueError:
        raise bad(name, f"{name} must be yyyy-MM-dd") from None
