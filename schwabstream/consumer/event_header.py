"""``seq``, ``symbol``, ``key`` and ``prev`` of a published event, read before it is parsed. Does not validate."""

import re
from typing import Final

import orjson

# The start of every event of the streamer; another publisher may order the names differently. 19 digits: more do not
# fit a 64-bit integer, and int() raises for thousands of them.
_USUAL_START: Final = re.compile(
    rb'\{"v":1,"type":"[a-z0-9]+","symbol":"([ -!#-\[\]-~]*)","key":"([ -!#-\[\]-~]*)","seq":(\d{1,19}),'
    rb'(?:"prev":(\d{1,19}),)?'
)


def read_header(payload: bytes) -> tuple[object, object, object, object]:
    """``seq``, ``symbol``, ``key`` and ``prev``, not validated; all None when the payload is not a JSON object.

    Decoding a book costs twenty times as much as skipping it, and a screen skips most of its messages.
    """
    if usual := _USUAL_START.match(payload):
        prev = usual[4]
        return int(usual[3]), usual[1].decode(), usual[2].decode(), None if prev is None else int(prev)
    try:
        event = orjson.loads(payload)
    except ValueError:
        event = None
    if type(event) is not dict:
        return None, None, None, None
    return event.get("seq"), event.get("symbol"), event.get("key"), event.get("prev")


def read_seq(payload: bytes) -> int | None:
    """``seq`` alone; None when the payload has none."""
    seq = read_header(payload)[0]
    return seq if type(seq) is int else None
