"""What a frame contains, read slowly and plainly: the standard library's JSON, and a scanner of single characters."""

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

NO_NUMBERS = ("NaN", "Infinity", "∞")


def read_frame(frame: str | bytes) -> list[tuple[str, int | None, list[Any]]]:
    """Service, timestamp and entries of every batch in the frame; none when it cannot be understood."""
    for text in readings(frame):
        try:
            envelope = json.loads(text, parse_int=integer, parse_float=finite, parse_constant=finite)
        except ValueError:
            continue
        if not isinstance(envelope, dict) or not isinstance(envelope.get("data"), list):
            return []
        return [batch for element in envelope["data"] if (batch := read_batch(element))]
    return []


def read_batch(element: Any) -> tuple[str, int | None, list[Any]] | None:
    """One element of ``data``; None when it is not one."""
    if not isinstance(element, dict):
        return None
    service, timestamp, content = element.get("service"), element.get("timestamp"), element.get("content")
    if not isinstance(service, str) or not isinstance(content, list):
        return None
    return service, timestamp if type(timestamp) is int else None, content


def readings(frame: str | bytes) -> Iterator[str]:
    """The frame as it is, with null for what stands where a number belongs (trap T5), and less escaped (trap T6)."""
    with contextlib.suppress(UnicodeDecodeError):
        yield frame if isinstance(frame, str) else frame.decode()
    mended = mend(frame if isinstance(frame, str) else frame.decode("utf-8", "replace"))
    yield mended
    yield mended.replace("\\\\", "\\")


def integer(digits: str) -> float:
    """An integer of 64 bits, or else the nearest float."""
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else finite(digits)


def finite(text: str) -> float:
    """A float that is a number."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def mend(text: str) -> str:
    """The text with null for every number that is none; strings are left alone."""
    done, at = "", 0
    while at < len(text):
        end = token_end(text, at)
        token = text[at:end]
        plain = token[0] == '"' or (len(token) == 1 and token not in "\ufffd∞0123456789")
        done += token if plain else number(token)
        at = end
    return done


def token_end(text: str, at: int) -> int:
    """Where the string, number or single character ends that begins here."""
    if text[at] == '"':
        end = at + 1
        while end < len(text) and text[end] != '"':
            end += 2 if text[end] == "\\" else 1
        return min(end + 1, len(text))
    start = at + (text[at] == "-")
    for word in NO_NUMBERS:
        if text.startswith(word, start):
            return start + len(word)
    end = start
    while text[end : end + 1] == "\ufffd":
        end += 1
    if end == start and text[end : end + 1].isdecimal():
        while end < len(text) and (text[end].isdecimal() or text[end] in ".eE+-"):
            end += 1
    return max(end, at + 1) if end > start else at + 1


def number(token: str) -> str:
    """The token when it is a finite number, else null."""
    try:
        return token if math.isfinite(float(token)) else "null"
    except ValueError:
        return "null"
