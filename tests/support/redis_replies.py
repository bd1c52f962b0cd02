"""Writes replies as Redis does, in RESP2 and RESP3: True is OK, a float a score, a dictionary a map."""

from collections.abc import Iterable
from typing import Any

from tests.support.redis_stream_values import Refused
from tests.support.redis_values import score_text


class Push(list[Any]):
    """A message of a subscription."""


class Pairs(dict[bytes, Any]):
    """An answer that is a list of pairs before RESP3."""


NO_ARRAY = object()


def encode(value: Any, protocol: int) -> bytes:  # noqa: C901 - one line for each kind of reply
    """A reply in RESP2 or RESP3."""

    def many(values: Iterable[Any]) -> bytes:
        return b"".join(encode(each, protocol) for each in values)

    match value:
        case Refused():
            return b"-%b\r\n" % str(value).encode()
        case True:
            return b"+OK\r\n"
        case int():
            return b":%d\r\n" % value
        case str():
            return b"+%b\r\n" % value.encode()
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(value), value)
        case None:
            return b"_\r\n" if protocol == 3 else b"$-1\r\n"
        case float():
            return b",%b\r\n" % score_text(value) if protocol == 3 else encode(score_text(value), 2)
        case dict() if protocol == 3:
            return b"%%%d\r\n" % len(value) + many(part for pair in value.items() for part in pair)
        case Pairs():
            return b"*%d\r\n" % len(value) + many([*pair] for pair in value.items())
        case dict():
            return b"*%d\r\n" % (2 * len(value)) + many(part for pair in value.items() for part in pair)
        case list():
            kind = b">" if isinstance(value, Push) and protocol == 3 else b"*"
            return b"%b%d\r\n" % (kind, len(value)) + many(value)
    assert value is NO_ARRAY, value
    return b"_\r\n" if protocol == 3 else b"*-1\r\n"
