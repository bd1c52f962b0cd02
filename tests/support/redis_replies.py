"""Writes replies as Redis does, in RESP2 and RESP3: True is OK, a float a score, a dictionary a map."""

from typing import Any

from tests.support.redis_streams import Refused
from tests.support.redis_values import score_text


class Push(list[Any]):
    """A message of a subscription."""


class Pairs(dict[bytes, Any]):
    """An answer that is a list of pairs before RESP3."""


NO_ARRAY = object()


def encode(value: Any, protocol: int) -> bytes:
    """A reply in RESP2 or RESP3."""
    parts: list[bytes] = []
    _add(parts, value, protocol == 3)
    return b"".join(parts)


def _add(parts: list[bytes], value: Any, new: bool) -> None:
    """Add the bytes of a value; the frequent kinds come first."""
    kind = type(value)
    if kind is bytes:
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    elif kind is str:
        parts.append(b"+%b\r\n" % value.encode())
    elif kind is int:
        parts.append(b":%d\r\n" % value)
    elif value is True:
        parts.append(b"+OK\r\n")
    elif isinstance(value, list):
        parts.append(b"%b%d\r\n" % (b">" if new and kind is Push else b"*", len(value)))
        for each in value:
            _add(parts, each, new)
    elif isinstance(value, dict):
        _add_map(parts, value, new)
    elif value is None or value is NO_ARRAY:
        parts.append(b"_\r\n" if new else b"$-1\r\n" if value is None else b"*-1\r\n")
    elif kind is float:
        text = score_text(value)
        parts.append(b",%b\r\n" % text if new else b"$%d\r\n%b\r\n" % (len(text), text))
    else:
        assert kind is Refused, value
        parts.append(b"-%b\r\n" % str(value).encode())


def _add_map(parts: list[bytes], value: dict[Any, Any], new: bool) -> None:
    if new:
        parts.append(b"%%%d\r\n" % len(value))
    elif type(value) is Pairs:
        parts.append(b"*%d\r\n" % len(value))
    else:
        parts.append(b"*%d\r\n" % (2 * len(value)))
    for pair in value.items():
        if type(value) is Pairs and not new:
            _add(parts, [*pair], new)
        else:
            _add(parts, pair[0], new)
            _add(parts, pair[1], new)
