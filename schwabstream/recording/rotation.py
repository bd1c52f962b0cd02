"""One file of a recording: private, locked against a second writer, whole after every write, renamed by date.

Raises plain ``OSError``, except where the start of a command needs a sentence for the user.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import structlog

from schwabstream.errors import ConfigurationError
from schwabstream.recording.reader import Recording

log = structlog.get_logger(__name__)

PRIVATE_FILE = 0o600
_MOST_NAMES = 1000
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_UNITS_BYTES = {"kb": 10**3, "mb": 10**6, "gb": 10**9}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a recording continues in a new file, and how many files are kept, the newest included (None: all)."""

    every_s: float = float("inf")
    largest_bytes: float = float("inf")
    keep: int | None = None

    @property
    def splits(self) -> bool:
        """Whether there may be more than one file."""
        return min(self.every_s, self.largest_bytes) < float("inf")

    def is_due(self, size: int, overdue_s: float) -> bool:
        """Whether a file of that size, ``overdue_s`` past its time, must be renamed and another begun."""
        return overdue_s >= 0 or size >= self.largest_bytes

    @classmethod
    def parse(cls, texts: Iterable[str], keep: int | None = None) -> Self:
        """From ``1h``, ``500MB`` and the like; raises ``ConfigurationError`` for anything else."""
        every_s = largest_bytes = float("inf")
        for text in texts:
            match = _AMOUNT.fullmatch(text.strip())
            unit = match[2].lower() if match else ""
            if match and float(match[1]) > 0 and unit in _UNITS_S:
                every_s = float(match[1]) * _UNITS_S[unit]
            elif match and float(match[1]) > 0 and unit in _UNITS_BYTES:
                largest_bytes = float(match[1]) * _UNITS_BYTES[unit]
            else:
                raise ConfigurationError(f"--rotate {text!r} is neither a time such as 1h nor a size such as 500MB")
        return cls(every_s, largest_bytes, keep)


class RecordingFile:
    """A new file, mode 0600, open for appending; ``size`` counts the bytes of complete writes."""

    def __init__(self, path: Path, began_us: int) -> None:
        self.path = path
        self._began_us = began_us
        self._home = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, PRIVATE_FILE)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.size = 0

    def append(self, data: bytes) -> None:
        """Write all of it; when that fails the file is unchanged."""
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._descriptor, view)
                view = view[written:]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
                os.lseek(self._descriptor, self.size, os.SEEK_SET)
            raise
        self.size += len(data)

    def move_aside(self) -> None:
        """Give it the name under which it is kept; it stays open for writing."""
        self.path = _aside(self._home, self._began_us)
        self._home.rename(self.path)

    def move_back(self) -> None:
        """Undo :meth:`move_aside`."""
        if not self._home.exists():
            self.path.rename(self._home)
            self.path = self._home

    def close(self) -> None:
        """Sync and close it."""
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)

    def discard(self) -> None:
        """Close and delete it."""
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self.path.unlink()


def set_aside(path: Path) -> Path | None:
    """Rename the recording at ``path`` after the time it began; None when the path is free.

    Raises ``ConfigurationError`` for a file that is not a recording, and for one that is being written.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_size and path.is_file():
            path.unlink()
            return None
        with Recording(path) as recording:
            aside = _aside(path, recording.header.part_us)
        path.rename(aside)
    except BlockingIOError:
        raise ConfigurationError(f"{path} is being recorded by another run: choose another file") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; choose another file, this one is not touched") from None
    finally:
        os.close(descriptor)
    return aside


def prune(path: Path, keep: int | None) -> None:
    """Delete the oldest renamed files of ``path`` beyond ``keep`` files, the one at ``path`` included."""
    if keep is None:
        return
    stem, suffix = _stem(path)
    dated = re.compile(rf"{re.escape(stem)}-\d{{8}}T\d{{9}}Z{re.escape(suffix)}")
    try:
        old = sorted(entry for entry in path.parent.iterdir() if dated.fullmatch(entry.name))
        for entry in old[: max(0, len(old) - (keep - 1))]:
            entry.unlink()
    except OSError as error:
        log.warning("cannot remove an old recording", file=error.filename, reason=error.strerror)


def _aside(path: Path, began_us: int) -> Path:
    """A free name that sorts by time and, where the name has a suffix, before ``path`` itself."""
    stem, suffix = _stem(path)
    for later_ms in range(_MOST_NAMES):
        began_at = datetime.fromtimestamp((began_us // 1000 + later_ms) / 1000, UTC)
        aside = path.with_name(f"{stem}-{began_at:%Y%m%dT%H%M%S}{began_at.microsecond // 1000:03}Z{suffix}")
        if not aside.exists():
            return aside
    raise FileExistsError(errno.EEXIST, "too many recordings of one moment", str(path))


def _stem(path: Path) -> tuple[str, str]:
    stem, dot, suffix = path.name.lstrip(".").partition(".")
    hidden = path.name[: len(path.name) - len(path.name.lstrip("."))]
    return hidden + stem, dot + suffix
