"""Decodes the streamer's text frames into typed messages and encodes commands into frames; pure.

:func:`decode` accepts any bytes. A part that cannot be decoded becomes an :class:`Undecodable`, and the other parts of
the frame are still returned. Envelope and forms: protocol 3.2 to 3.5; broken JSON: trap T5.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec
import orjson
from msgspec import Struct, field

from schwabstream.protocol.books import Book, BookService, Int64
from schwabstream.protocol.masking import mask_text

SAMPLE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Response:
    """The streamer's answer to one command."""

    service: str
    command: str
    request_id: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A heartbeat; ``time_ms`` is Schwab's clock, in milliseconds since the Unix epoch."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Notice:
    """An unsolicited message, such as an eviction (code 12) or a stop (code 30)."""

    service: str
    code: int
    message: str


class Batch(Struct, gc=False):
    """The entries of one service in one frame: dictionaries of ``key`` and numbered fields, or ``Book`` objects.

    Dictionaries are not checked: the code that merges them checks the values that it uses.
    """

    service: str
    timestamp_ms: Int64 | None = field(name="timestamp")
    content: list[Any]


class _EntryBatch(Batch, gc=False):
    content: list[dict[str, Int64 | float | str | bool | None]]


class _BookBatch(Batch, gc=False):
    service: BookService
    content: list[Book]


# Nearly all frames have one of these forms, which one call reads and checks.
class _Entries(Struct, forbid_unknown_fields=True, gc=False):
    data: list[_EntryBatch]


class _Books(Struct, forbid_unknown_fields=True, gc=False):
    data: list[_BookBatch]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A frame, or a part of one, that breaks the protocol; ``sample`` is the beginning of the frame."""

    reason: str
    sample: str


Message = Response | Heartbeat | Notice | Batch | Undecodable

# Matches strings, which stay unchanged, even one that is cut off, and whole numbers, so that each is visited once: the
# time for a truncated frame must not grow faster than its length. The rest is what servers print in place of a number;
# old Java prints U+FFFD and the infinity sign.
_SUSPECTS = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|-?(?:NaN|Infinity|\u221e|\ufffd+)|-?\d[\d.eE+-]*+', re.DOTALL)

# How far into a frame to look for its first service, and the length from which a frame of books gains by it.
_HEAD, _LARGE = 48, 400
_decode_entries = msgspec.json.Decoder(_Entries).decode
_decode_books = msgspec.json.Decoder(_Books).decode


def decode(frame: str | bytes) -> Sequence[Message]:
    """All messages of one frame, in order; empty only for a frame without messages."""
    try:
        if len(frame) > _LARGE and _begins_with_books(frame):
            return _decode_books(frame).data
        return _decode_entries(frame).data
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_parts(frame)


def _decode_parts(frame: str | bytes) -> list[Message]:
    """The same for any frame: one that does not match the declared forms is read part by part."""
    try:
        envelope = orjson.loads(frame)
    except orjson.JSONDecodeError:
        envelope = _repair(frame)
    if type(envelope) is not dict:
        return [Undecodable("the frame is not a JSON object", _sample(frame))]
    messages: list[Message] = []
    for name, elements in envelope.items():
        decoder = _DECODERS.get(name)
        if decoder is None or type(elements) is not list:
            messages.append(Undecodable("unexpected part", _sample(frame)))
            continue
        for element in elements:
            try:
                messages.append(decoder(element))
            except (KeyError, TypeError, ValueError, AttributeError):
                messages.append(Undecodable(f"malformed {name}", _sample(frame)))
    return messages


def encode(requests: list[dict[str, Any]]) -> str:
    """The frame with these requests."""
    return orjson.dumps({"requests": requests}).decode()


def decode_requests(frame: str | bytes) -> Iterator[Mapping[str, Any]]:
    """The requests in a client's frame, bare or in an envelope; raises ``ValueError`` for any other frame."""
    envelope = orjson.loads(frame)
    if type(envelope) is not dict:
        raise ValueError("not a JSON object")
    requests = envelope.get("requests", [envelope])
    if type(requests) is not list or any(type(request) is not dict for request in requests):
        raise ValueError("requests is not a list of objects")
    yield from requests


def _begins_with_books(frame: str | bytes) -> bool:
    return b'_BOOK"' in frame[:_HEAD] if isinstance(frame, bytes) else '_BOOK"' in frame[:_HEAD]


def _repair(frame: str | bytes) -> object:
    """The frame's JSON with null in place of invalid numbers; None when it still cannot be parsed."""
    text = frame.decode("utf-8", "replace") if isinstance(frame, bytes) else frame
    repaired = _SUSPECTS.sub(_mend, text)
    for candidate in (repaired, repaired.replace("\\\\", "\\")):  # the second undoes over-escaping (trap T6)
        try:
            return orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
    return None


def _mend(match: re.Match[str]) -> str:
    """The matched text when it is a string or a finite number, else null."""
    token = match[0]
    if token[0] == '"':
        return token
    try:
        return token if isfinite(float(token)) else "null"
    except ValueError:
        return "null"


def _sample(frame: str | bytes) -> str:
    head = frame[: 2 * SAMPLE_LENGTH]  # masked before it is cut, because half of an account number is not recognised
    raw = head if isinstance(head, bytes) else head.encode("utf-8", "replace")
    return mask_text(raw.decode("utf-8", "replace"))[:SAMPLE_LENGTH]


def _exactly(value: Any, *types: type) -> Any:
    # Later code prints or converts the value, and a deeply nested one would exhaust the stack there.
    if type(value) not in types:
        raise TypeError("a value of the wrong type")
    return value


def _message(content: dict[str, Any]) -> str:
    message = content.get("msg")
    return mask_text(message) if type(message) is str else ""


def _response(element: dict[str, Any]) -> Response:
    content = element["content"]
    return Response(
        service=_exactly(element["service"], str),
        command=_exactly(element["command"], str),
        request_id=str(_exactly(element["requestid"], str, int)),
        code=_exactly(content["code"], int),
        message=_message(content),
    )


def _notify(element: dict[str, Any]) -> Heartbeat | Notice:
    if "heartbeat" in element:
        return Heartbeat(int(_exactly(element["heartbeat"], str, int)))
    content = element["content"]
    return Notice(_exactly(element["service"], str), _exactly(content["code"], int), _message(content))


def _data(element: dict[str, Any]) -> Batch:
    content = element["content"]
    if type(content) is not list:
        raise TypeError("content is not a list")
    timestamp = element.get("timestamp")
    return Batch(_exactly(element["service"], str), timestamp if type(timestamp) is int else None, content)


_DECODERS = {"data": _data, "notify": _notify, "response": _response}
