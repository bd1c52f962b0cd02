"""Turns the entries of account activity into AccountEvents, as dictionaries with every account number masked; pure.

A message keeps its names and its shape. Schwab's decimals become numbers, and a JSON text inside of the message stays a
text. Order ids stay readable, because a program needs them to recognise its orders (docs/adr/0014).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import orjson

from schwabstream.market.instruments import event_head
from schwabstream.protocol.masking import MASK, is_account, mask_known, mask_text, masked, plain
from schwabstream.report import Count

_ACCOUNT_NAME = re.compile("acc(oun)?t", re.IGNORECASE)
_ORDER_NAME = re.compile("(order|leg)id$", re.IGNORECASE)
_ORDER_ID = re.compile(r"[0-9]{13}", re.ASCII)
"""Schwab's order ids have 13 digits, its account numbers 8 (protocol 4.10)."""
_DECIMAL = frozenset({"lo", "hi", "signScale"})
_LARGEST_SIGN_SCALE = 2 * 28 + 1
_LARGEST_DEPTH = 40
_MOST_ACCOUNTS = 100
_LARGE = 10**7


def account_event(entry: object, timestamp: int, received_us: int, counts: Counter[str]) -> dict[str, Any] | None:
    """The event of one entry; None for an entry that is not a message about an account, which is counted."""
    if type(entry) is not dict or type(kind := entry.get("2")) is not str:
        counts[Count.UNKNOWN_ENTRIES] += 1
        return None
    account, key, sequence = (entry.get(name) for name in ("1", "key", "seq"))
    account = str(account) if type(account) in (str, int) else ""
    message = _parsed(entry.get("3"))
    values = islice(_account_values(message), _MOST_ACCOUNTS)
    accounts = {plain(each) for each in (account, *values) if is_account(each)}
    order = message.get("SchwabOrderID") if type(message) is dict else None
    subscription = mask_text(key, accounts) if type(key) is str else ""
    return event_head("account", subscription, timestamp, received_us) | {
        "symbol": masked(account),
        "message_type": mask_text(kind, accounts),
        "order_id": _text("SchwabOrderID", str(order), accounts) if type(order) in (str, int) else None,
        "sequence": sequence if type(sequence) is int and abs(sequence) < _LARGE else None,
        "message": _clean(message, "", accounts, 0),
    }


def _parsed(data: object) -> Any:
    """The message as JSON where it can be parsed; None for an empty one."""
    if type(data) is not str:
        return data
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return data or None


def _account_values(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """The values of all members that are named after an account."""
    if depth > _LARGEST_DEPTH:
        return
    if type(value) is dict:
        for inner_name, inner in value.items():
            yield from _account_values(inner, inner_name, depth + 1)
    elif type(value) is list:
        for inner in value:
            yield from _account_values(inner, name, depth + 1)
    elif type(value) in (str, int) and _ACCOUNT_NAME.search(name):
        yield str(value)


def _clean(value: Any, name: str, accounts: Collection[str], depth: int) -> Any:
    """The value with every account number in it masked; ``name`` is that of its member."""
    if depth > _LARGEST_DEPTH:
        return MASK
    if type(value) is dict:
        if value and value.keys() <= _DECIMAL and (number := _decimal(value)) is not None:
            return _number(name, number, accounts)
        return {mask_text(key, accounts): _clean(inner, key, accounts, depth + 1) for key, inner in value.items()}
    if type(value) is list:
        return [_clean(inner, name, accounts, depth + 1) for inner in value]
    if type(value) in (int, float):
        return _number(name, value, accounts)
    if type(value) is not str:
        return value
    if value.lstrip()[:1] in ("{", "[", '"') and (inner := _parsed(value)) is not value:
        return orjson.dumps(_clean(inner, name, accounts, depth + 1)).decode()
    return _text(name, value, accounts)


def _text(name: str, text: str, accounts: Collection[str]) -> str:
    if _ACCOUNT_NAME.search(name) and any(map(str.isdigit, text)):
        return masked(text)
    if _ORDER_NAME.search(name) and _ORDER_ID.fullmatch(text):
        return mask_known(text, accounts)
    return mask_text(text, accounts)


def _number(name: str, number: float, accounts: Collection[str]) -> float | str:
    """A number, or its masked form when it could be an account number."""
    digits = f"{number:.0f}" if abs(number) >= _LARGE else repr(number)
    if _ACCOUNT_NAME.search(name):
        return masked(digits)
    text = _text(name, digits, accounts) if abs(number) >= _LARGE else mask_known(digits, accounts)
    return number if text == digits else text


def _decimal(parts: dict[str, Any]) -> float | None:
    """The number of Schwab's decimal; None when the members are not those of one (protocol 4.10).

    Zero has no ``lo``. The lowest bit of ``signScale`` is the sign, the rest counts the decimal places.
    """
    try:
        lo, hi, sign_scale = (int(parts.get(name, 0)) for name in ("lo", "hi", "signScale"))
    except (TypeError, ValueError):
        return None
    if not (0 <= lo < 2**64 and 0 <= hi < 2**32 and 0 <= sign_scale <= _LARGEST_SIGN_SCALE):
        return None
    digits = -(hi << 64 | lo) if sign_scale & 1 else hi << 64 | lo
    return digits / 10 ** (sign_scale >> 1) if sign_scale > 1 else digits
