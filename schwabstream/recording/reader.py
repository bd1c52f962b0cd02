"""Reads recordings: everything readable, with a sentence for each problem.

A recording is JSON lines (see ``format``) in zstandard frames. ``zstd -dc FILE`` shows it, and its output can be read
here as well. Does not write.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

import structlog

from schwabstream.errors import ConfigurationError
from schwabstream.recording.format import Header, Record, decode_header, decode_record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_CHUNK = 64 * 1024
_LARGEST_LINE = 64 * 2**20
_LARGEST_HEADER = 2**20
_HELD_BACK = 8 * 2**20
_MOST_PROBLEMS = 50
_RECORDS_PER_REPORT = 200

log = structlog.get_logger(__name__)


class Recording:
    """A recording opened for reading; use it as a context manager.

    Raises ``ConfigurationError`` when the file is not a recording. ``problems`` describes what could not be read so
    far; ``position`` of ``size`` is the progress in the file, in bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self.position = 0
        self._file = _open(path)
        self.size = os.fstat(self._file.fileno()).st_size
        try:
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def items(self) -> Iterator[Header | Record]:
        """Every header and record from the beginning, in file order; other lines are reported and left out."""
        unreadable = 0
        for number, line in enumerate(self._lines(), 1):
            try:
                yield decode_record(line)
            except ValueError:
                try:
                    yield decode_header(line)
                except ValueError:
                    unreadable += 1
                    if unreadable == 1:
                        self._report(f"line {number} is not a record")
        if unreadable > 1:
            self._report(f"{unreadable} lines in total are not records")

    def _read_header(self) -> Header:
        refusal = f"{self.path} is not a recording of schwabstream"
        if not self.size:
            raise ConfigurationError(f"{refusal}: it is empty")
        try:
            line = next(self._lines(largest=_LARGEST_HEADER), b"")
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.path}: {error.strerror}") from error
        if not line:
            raise ConfigurationError(f"{refusal}, or it is cut off within its first line")
        try:
            header = decode_header(line)
        except ValueError as error:
            raise ConfigurationError(f"{refusal}: {error}") from error
        self.problems.clear()
        return header

    def _lines(self, largest: int = _LARGEST_LINE) -> Iterator[bytes]:
        """Whole lines; the beginning of a line that was cut off or too long is left out."""
        tail = b""
        for piece in self._pieces():
            if piece is None:  # a hole: the line before it does not continue after it
                tail = b""
                continue
            *lines, tail = (tail + piece).split(b"\n") if tail else piece.split(b"\n")
            yield from filter(None, lines)
            if len(tail) > largest:
                self._report("a line is too long to be a record; the rest is left out")
                return
        if tail:
            self._report("the last line is cut off")

    def _pieces(self) -> Iterator[bytes | None]:
        """The text, decompressed where it is compressed, in pieces; None where something is missing."""
        self._file.seek(0)
        compressed = self._file.read(4) == ZSTD_MAGIC
        if compressed:
            yield from self._frames()
            return
        self._file.seek(0)
        while piece := self._file.read(_CHUNK):
            self.position = self._file.tell()
            yield piece

    def _frames(self) -> Iterator[bytes | None]:
        start: int | None = 0
        while start is not None and start < self.size:
            end: int | None = None
            with contextlib.suppress(zstd.ZstdError):
                end = yield from self._frame(start)
            if end is not None:
                start = end
                continue
            following = self._find_frame(start + 1)
            where = f"from byte {start:,}"
            if following is None:
                self._report(f"it is cut off {where} of {self.size:,}: the end is missing")
            else:
                self._report(f"bytes {start:,} to {following:,} are damaged")
            yield None
            start = following

    def _frame(self, start: int) -> Generator[bytes, None, int | None]:
        """The text of one zstandard frame; returns its end, None when the file ends first."""
        self._file.seek(start)
        decompressor = zstd.ZstdDecompressor()
        held: list[bytes] = []
        held_bytes = 0
        while not decompressor.eof:
            block = self._file.read(_CHUNK) if decompressor.needs_input else b""
            if decompressor.needs_input and not block:
                yield from held
                return None
            held.append(decompressor.decompress(block, _HELD_BACK))
            held_bytes += len(held[-1])
            # The checksum is at the end of a frame, so text is passed on when its frame is complete; the frames of
            # other tools may be too large for that.
            if held_bytes > _HELD_BACK:
                yield from held
                held.clear()
        self.position = self._file.tell() - len(decompressor.unused_data)
        end = self.position
        yield from held
        return end

    def _find_frame(self, start: int) -> int | None:
        """Where the next zstandard frame seems to begin."""
        self._file.seek(start)
        tail, offset = b"", start
        while block := self._file.read(2**20):
            found = (tail + block).find(ZSTD_MAGIC)
            if found >= 0:
                return offset - len(tail) + found
            tail = (tail + block)[-3:]
            offset += len(block)
        return None

    def _report(self, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS and problem not in self.problems:
            self.problems.append(problem)


def _open(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigurationError(f"{path} is not a recording of schwabstream: not a regular file")
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error


class Recordings:
    """Some files to read in order; ``problems`` lists the damage found so far.

    Raises ``ConfigurationError`` for a file that is not a recording.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        found = []
        for path in files:
            with Recording(path) as recording:
                found.append((recording.header, path, recording.size))
        found.sort(key=lambda each: each[0].part_us)
        self.first = found[0][0]
        self.paths = [path for _, path, _ in found]
        self.size = sum(size for _, _, size in found)
        self.problems: list[str] = []

    def items(self, show: Callable[[int], None]) -> Iterator[Header | Record]:
        """Everything readable, once; ``show`` gets the number of bytes read so far."""
        before = 0
        for path in self.paths:
            with Recording(path) as recording:
                for number, item in enumerate(recording.items()):
                    if number % _RECORDS_PER_REPORT == 0:
                        show(before + recording.position)
                    yield item
                before += recording.size
                new = [text for text in (f"{path}: {each}" for each in recording.problems) if text not in self.problems]
            for problem in new:
                log.warning("the recording is damaged; skipped the damaged part", problem=problem)
            self.problems += new
            show(before)
