"""Logs: one structured line per change, readable on a terminal, JSON elsewhere, never with a secret.

A terminal or pipe that takes no output loses lines and delays nothing.
"""

import atexit
import contextlib
import logging
import os
import re
import stat
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from schwabstream.escapes import safe
from schwabstream.output import LineWriter

REDACTED = "[redacted]"
_KEPT_LINES = 500
_LAST_LINES_LIMIT_S = 0.5
_MULTILINE = frozenset({"exception", "stack"})

_SECRET_NAMES = re.compile(
    r"token|secret|authorization|password|customer_?id|correl_?id|account|code$|refresh$", re.IGNORECASE
)
_NUMBERS_TOO = re.compile(r"password|customer_?id|correl_?id|account", re.IGNORECASE)
_HARMLESS_NAMES = frozenset({"token_path", "token_file", "status_code", "close_code", "response_code", "exit_code"})
# A value after its name, in JSON, a query, a header or a printed dictionary.
_NAMED_SECRET = re.compile(
    r"((?i:_token|_secret|password|account_?number|customer_?id)[\"']?\s*[=:]\s*[\"']?|[?&]code=)[^&\s\"',}]+"
)
# What secrets look like anywhere: Schwab's access tokens, authorization codes and refresh tokens end in @; JWTs, bearer
# and basic headers, long hexadecimal ids, and the user and password of a URL.
_SECRET_TEXT = re.compile(
    r"(?<=://)[^/\s]+(?=@)"
    r"|(?:I0|C0)\.[\w.\-/+=]{8,}(?:@|%40)?"
    r"|\b[\w\-/+=.]{40,}(?:@|%40)"
    r"|\beyJ[\w\-]+\.[\w\-]+\.[\w\-]*"
    r"|(?i:\b(?:bearer|basic)\s+)[\w\-.~+/=@]{8,}"
    r"|\b[0-9a-fA-F]{64}\b"
)


def redact(text: str) -> str:
    """The text with everything that looks like a credential replaced."""
    return _SECRET_TEXT.sub(REDACTED, _NAMED_SECRET.sub(rf"\1{REDACTED}", text))


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides secret values and credentials in any text, and escapes control characters."""
    for name, value in list(event.items()):
        if not name.startswith("_"):  # structlog's own, which it removes before it renders
            event[name] = _redact_named(name, value)
    return event


def _redact_named(name: str, value: object) -> object:
    if name in _MULTILINE:
        return "\n".join(map(safe, redact(str(value)).split("\n")))
    if value is None or name in _HARMLESS_NAMES or not _SECRET_NAMES.search(name):
        return _redact_inside(value)
    shown = isinstance(value, bool | int | float) and not _NUMBERS_TOO.search(name)
    return value if shown else REDACTED


def _redact_inside(value: object) -> object:
    """The value, with text in place of objects, which the renderer would print without redaction."""
    if isinstance(value, dict):
        return {safe(redact(str(name))): _redact_named(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_inside(item) for item in value]
    return value if isinstance(value, bool | int | float | None) else safe(redact(str(value)))


def configure_logging(log_format: Literal["auto", "rich", "json"] = "auto", *, verbosity: int = 0) -> None:
    """Send logs to stderr: ``verbosity`` -1 shows only errors, 0 also changes of state, 1 and above also debug output.

    Warnings of libraries that use ``logging`` go the same way, so that no library writes to the terminal. ``auto``
    means readable lines on a terminal and JSON lines elsewhere.
    """
    warnings.simplefilter("ignore")
    terminal = sys.stderr is not None and sys.stderr.isatty() if log_format == "auto" else log_format == "rich"
    level = {-1: logging.ERROR, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        structlog.processors.format_exc_info,
        redact_event,
    ]
    renderer = _for_people() if terminal else structlog.processors.JSONRenderer(serializer=_json_line)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=renderer)
    forward = logging.StreamHandler(_destination)
    forward.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [forward]
    root.setLevel({-1: logging.ERROR, 0: logging.WARNING, 1: logging.WARNING}.get(verbosity, logging.DEBUG))


def _for_people() -> Processor:
    from rich.console import Console  # it knows about terminals, NO_COLOR and TERM=dumb

    console = Console(stderr=True)
    colors = console.color_system is not None and not console.no_color
    return structlog.dev.ConsoleRenderer(
        colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )


def _json_line(event: EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()


def write_message(text: str) -> None:
    """Write one plain line to stderr, after the log lines before it."""
    _destination.write(f"{safe(redact(text))}\n")


@contextlib.contextmanager
def logs_kept_aside() -> Iterator[deque[str]]:
    """Keep log lines off the terminal while a screen is shown, and write the newest when it has closed.

    Lines that go to a file are written immediately.
    """
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    _destination.keep(kept)
    try:
        yield kept
    finally:
        _destination.release()


class _Destination:
    """Where log lines go: the current stderr, the lines kept aside, or both.

    A stderr that is closed, full, stuck or without a reader loses lines and has no other effect.
    """

    def __init__(self) -> None:
        self._kept: deque[str] | None = None
        self._owed = False
        self._stream: TextIO | None = None
        self._writer: LineWriter | None = None

    def keep(self, kept: deque[str]) -> None:
        self._kept, self._owed = kept, sys.stderr is not None and sys.stderr.isatty()

    def release(self) -> None:
        kept, self._kept = self._kept or (), None
        if self._owed:
            self.write("".join(f"{line}\n" for line in kept))

    def write(self, text: str) -> int:
        if self._kept is not None:
            self._kept.extend(text.splitlines())
        if self._kept is None or not self._owed:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._put(sys.stderr, text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: ``logging`` calls this, and no line is buffered."""

    def close(self) -> None:
        """Wait a moment until the last lines are written."""
        if self._writer is not None:
            self._writer.close(_LAST_LINES_LIMIT_S)
        self._stream = self._writer = None

    def _put(self, stream: TextIO, text: str) -> None:
        """Write to the descriptor of the stream: a buffer that cannot be flushed at exit would change the exit code.

        A regular file never blocks, so it is written without a thread.
        """
        descriptor = _descriptor_of(stream)
        if descriptor is None:
            stream.write(text)
            return
        if stream is not self._stream:
            self.close()
            self._stream = stream
            self._writer = LineWriter(descriptor=descriptor) if _may_block(descriptor) else None
        line = text.encode(stream.encoding or "utf-8", "backslashreplace")
        if self._writer is None:
            stream.flush()
            os.write(descriptor, line)
        else:
            self._writer.write(line.removesuffix(b"\n"))


def _descriptor_of(stream: TextIO) -> int | None:
    """None for a stream in memory."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _may_block(descriptor: int) -> bool:
    return not stat.S_ISREG(os.fstat(descriptor).st_mode)


_destination = _Destination()
atexit.register(_destination.close)


class _StderrLogger:
    def __init__(self, *_args: object) -> None: ...

    def msg(self, message: str) -> None:
        _destination.write(message + "\n")

    debug = info = warning = error = critical = exception = msg
