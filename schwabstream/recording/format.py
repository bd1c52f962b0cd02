"""The lines of a recording, both ways: a header, then one record for each frame and command.

Pure. The header describes the recording. A record is ``{"t": microseconds, "in": frame}``, or ``"out": command``, or
``"symbols": aliases``, all that are streamed after a change, or ``"lost": count`` where the disk could not keep up. A
frame that is not UTF-8 is under ``"in64"``. A record that repeats content of earlier parts is marked, so that a later
part can be replayed alone.
"""

import base64
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import orjson

FORMAT: Final = 1

Kind = Literal["in", "out", "symbols", "lost"]


@dataclass(frozen=True, slots=True)
class Header:
    """The description of a recording; times in microseconds since the epoch.

    ``symbols`` are as the user wrote them, those at the start of the file; ``services`` are the services of the
    configured ones. ``started_us`` is the start of the run. With rotation ``part`` counts its files from 1, and
    ``part_us`` is the start of this one.
    """

    version: str
    symbols: tuple[str, ...]
    services: tuple[str, ...]
    time_zone: str
    started_us: int
    part: int = 1
    part_us: int = 0
    simulated: bool = False

    @property
    def zone(self) -> tzinfo:
        """The time zone of the recording; UTC when this machine does not know its name."""
        with contextlib.suppress(ValueError, OSError, KeyError):
            return ZoneInfo(self.time_zone)
        with contextlib.suppress(ValueError):
            return datetime.strptime(self.time_zone, "%z").tzinfo or UTC
        return UTC

    @property
    def started(self) -> datetime:
        """When the run began, in its own time zone."""
        return datetime.fromtimestamp(self.started_us / 1e6, self.zone)


class Record(NamedTuple):
    """One line: the time on the wire and the content.

    ``payload`` of kind ``lost`` is a number in digits; of kind ``symbols`` it has commas between the aliases.
    """

    at_us: int
    kind: Kind
    payload: str | bytes
    repeated: bool = False


def encode_header(header: Header) -> bytes:
    """The header as its line."""
    content = {
        "recording": "schwabstream",
        "format": FORMAT,
        "version": header.version,
        "started": header.started.isoformat(),
        "started_us": header.started_us,
        "time_zone": header.time_zone,
        "symbols": header.symbols,
        "services": header.services,
        "part": header.part,
        "part_us": header.part_us or header.started_us,
        "simulated": header.simulated,
    }
    return orjson.dumps(content) + b"\n"


def decode_header(line: bytes) -> Header:
    """The header in a line; raises ``ValueError`` when it is not a header, or of an unsupported format."""
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        content = None
    if type(content) is not dict or content.get("recording") != "schwabstream":
        raise ValueError("it does not begin with a header")
    if content.get("format") != FORMAT:
        raise ValueError(f"this version does not support format {content.get('format')}")
    try:
        return Header(
            version=str(content["version"]),
            symbols=_texts(content["symbols"]),
            services=_texts(content["services"]),
            time_zone=str(content["time_zone"]),
            started_us=_moment(content["started_us"]),
            part=int(content["part"]),
            part_us=_moment(content["part_us"]),
            simulated=content["simulated"] is True,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("the header is incomplete") from error


def encode_record(record: Record) -> bytes:
    """The record as its line."""
    at_us, kind, payload, repeated = record
    content: dict[str, object] = {"t": at_us}
    if kind == "lost":
        content[kind] = int(payload)
    elif isinstance(payload, str):
        content[kind] = payload
    else:
        try:
            content[kind] = payload.decode()
        except UnicodeDecodeError:
            content[f"{kind}64"] = base64.b64encode(payload).decode()
    if repeated:
        content["carried"] = True
    return orjson.dumps(content) + b"\n"


def decode_record(line: bytes) -> Record:
    """The record in a line; raises ``ValueError`` when it is not a record."""
    content = orjson.loads(line)
    if type(content) is not dict or type(at_us := content.get("t")) is not int or not 0 < at_us < 1 << 62:
        raise ValueError("no time")
    repeated = content.get("carried") is True
    for kind in ("in", "out", "symbols"):
        if type(payload := content.get(kind)) is str:
            return Record(at_us, kind, payload, repeated)
    if type(encoded := content.get("in64")) is str:
        return Record(at_us, "in", base64.b64decode(encoded, validate=True), repeated)
    if type(lost := content.get("lost")) is int:
        return Record(at_us, "lost", str(lost))
    raise ValueError("neither in nor out")


def _texts(value: object) -> tuple[str, ...]:
    if type(value) is not list or any(type(part) is not str for part in value):
        raise TypeError("not a list of strings")
    return tuple(value)


def _moment(value: object) -> int:
    if type(value) is not int or not 0 < value < 1 << 57:
        raise TypeError("not a time")
    return value
