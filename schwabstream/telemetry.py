"""Logs: one structured line per change, on a terminal for people, elsewhere JSON, never with a secret in it."""

import contextlib
import logging
import re
import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
_KEPT_LINES = 500

_SECRET_NAMES = re.compile(
    r"token|secret|authorization|password|customer_?id|correl_?id|account|code$|refresh$", re.IGNORECASE
)
_HARMLESS_NAMES = frozenset({"token_path", "token_file", "status_code", "close_code", "response_code", "exit_code"})
# What Schwab's secrets look like wherever they stand: access tokens, authorization codes and refresh tokens end in @,
# JWTs, bearer and basic headers, long hexadecimal ids, passwords in URLs.
_SECRET_TEXT = re.compile(
    r"(?:I0|C0)\.[\w.\-/+=]{8,}(?:@|%40)?"
    r"|\b[\w\-/+=.]{40,}(?:@|%40)"
    r"|\beyJ[\w\-]+\.[\w\-]+\.[\w\-]*"
    r"|(?i:\b(?:bearer|basic)\s+)[\w\-.~+/=@]{8,}"
    r"|\b[0-9a-f]{64}\b"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?i:(?<=code=)|(?<=refresh_token=)|(?<=access_token=)|(?<=client_secret=))[^&\s\"']+"
)


def redact(text: str) -> str:
    """The text with everything that looks like a credential replaced."""
    return _SECRET_TEXT.sub(REDACTED, text)


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides values under secret names and credentials inside any text."""
    for name, value in event.items():
        if value is not None and name not in _HARMLESS_NAMES and _SECRET_NAMES.search(name):
            event[name] = REDACTED
        elif isinstance(value, str):
            event[name] = redact(value)
        elif not isinstance(value, bool | int | float | type(None)):
            event[name] = redact(str(value)) if isinstance(value, BaseException) else _redact_inside(value)
    return event


def _redact_inside(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: REDACTED if _SECRET_NAMES.search(str(name)) else _redact_inside(item) for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_inside(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def configure_logging(log_format: Literal["auto", "rich", "json"] = "auto", *, verbosity: int = 0) -> None:
    """Send logs to stderr: ``verbosity`` -1 shows errors only, 0 changes of state, 1 and more debugging.

    The standard library's loggers are routed the same way from warnings up, so that no library writes to the
    terminal by itself. ``auto`` is for people on a terminal and JSON lines elsewhere.
    """
    warnings.simplefilter("ignore")
    terminal = sys.stderr.isatty() if log_format == "auto" else log_format == "rich"
    level = {-1: logging.ERROR, 0: logging.INFO}.get(verbosity, logging.DEBUG)
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        structlog.processors.format_exc_info,
        redact_event,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
    )
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
    root.setLevel(logging.WARNING if verbosity < 2 else logging.DEBUG)


@contextlib.contextmanager
def logs_kept_aside() -> Iterator[Sequence[str]]:
    """Keep log lines off the terminal while a screen is shown; the newest are written once it is gone."""
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    _destination.kept = kept
    try:
        yield kept
    finally:
        _destination.kept = None
        for line in kept:
            _destination.write(line + "\n")
        _destination.flush()


class _Destination:
    """Where log lines go: stderr, whatever that is at the moment, or the lines kept aside."""

    kept: deque[str] | None = None

    def write(self, text: str) -> int:
        if self.kept is None:
            return sys.stderr.write(text)
        self.kept.extend(text.splitlines())
        return len(text)

    def flush(self) -> None:
        if self.kept is None:
            sys.stderr.flush()


_destination = _Destination()


class _StderrLogger:
    def __init__(self, *_args: object) -> None: ...

    def msg(self, message: str) -> None:
        _destination.write(message + "\n")
        _destination.flush()

    debug = info = warning = error = critical = exception = msg
