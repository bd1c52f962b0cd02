"""Compares events with those in a golden file: byte for byte, except for ``seq``, ``prev`` and the time of receipt.

A golden file is the output of ``stream replay FILE --json``. The output of a live run's ``--json`` works as well: its
status events and repeated ticks, which depend on the clock, are ignored.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from schwabstream.errors import ConfigurationError
from schwabstream.output import safe_lines

_OURS = re.compile(rb'"(?:seq|prev|received_us)":\d+,?')
_BY_THE_CLOCK = (b'"type":"status"', b'"repeat":true')


@dataclass(frozen=True, slots=True)
class Difference:
    """The first event that differs, counted from 1; None stands for "no event"."""

    number: int
    expected: bytes | None
    found: bytes | None

    def explain(self) -> list[str]:
        """What differs, in lines: the event, then each field with both values."""
        if self.expected is None or self.found is None:
            side, event = ("found", self.found) if self.expected is None else ("expected", self.expected)
            return [f"event {self.number}: only the {side} side has it", f"  {(event or b'').decode()}"]
        expected, found = _fields(self.expected), _fields(self.found)
        name = f"{found.get('type', '?')} {found.get('symbol', '?')}"
        differing = [
            f"  {field}: expected {_shown(expected, field)}, found {_shown(found, field)}"
            for field in dict.fromkeys((*expected, *found))
            if expected.get(field, _ABSENT) != found.get(field, _ABSENT)
        ]
        # The same values in another order or notation differ too.
        differing = differing or [f"  expected {self.expected.decode()}", f"  found    {self.found.decode()}"]
        return [f"event {self.number} ({name}) differs", *differing]


class Comparison:
    """Takes the encoded events in order; ``difference`` is the first one, None until then.

    Raises ``ConfigurationError`` when the golden file cannot be read.
    """

    def __init__(self, golden: Path) -> None:
        self._golden = golden
        self._expected = self._read()
        self.events = 0
        self.difference: Difference | None = None

    def take(self, event: bytes) -> None:
        """Compare one event; after a difference do nothing."""
        if self.difference is not None or _by_the_clock(event):
            return
        self.events += 1
        expected, found = next(self._expected, None), _OURS.sub(b"", safe_lines(event))
        if expected != found:
            self.difference = Difference(self.events, expected, found)

    def finish(self) -> None:
        """Note the end of the events."""
        if self.difference is None and (expected := next(self._expected, None)) is not None:
            self.difference = Difference(self.events + 1, expected, None)

    def _read(self) -> Iterator[bytes]:
        try:
            with self._golden.open("rb") as lines:
                for line in lines:
                    if line.strip() and not _by_the_clock(line):
                        yield _OURS.sub(b"", safe_lines(line.strip()))
        except OSError as error:
            raise ConfigurationError(f"cannot read {self._golden}: {error.strerror}") from error


_ABSENT = object()


def _by_the_clock(event: bytes) -> bool:
    return any(mark in event for mark in _BY_THE_CLOCK)


def _fields(event: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(event)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _shown(fields: dict[str, Any], name: str) -> str:
    return orjson.dumps(fields[name]).decode() if name in fields else "nothing"
