"""Standard output: data is written or an error is raised, and a slow or stuck reader delays nothing.

A thread writes lines and frames straight to the file descriptor: a thread stuck inside ``sys.stdout`` would keep its
lock and crash the interpreter at exit. A pipe that its reader has closed is the one failure that is not an error.
"""

import contextlib
import errno
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from schwabstream.errors import OutputUnwritable
from schwabstream.escapes import safe

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT = 1
MAX_LINES = 20_000
_CANNOT_DRAW = ("", "dumb", "unknown")
"""Values of ``TERM`` of a terminal without cursor movement; not a setting."""


def can_draw() -> bool:
    """Whether standard output is a terminal on which one frame can replace another."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in _CANNOT_DRAW


def show(text: str) -> None:
    """Write lines to standard output, with control characters escaped."""
    sys.stdout.write("".join(f"{safe(line)}\n" for line in text.split("\n")))
    sys.stdout.flush()


def safe_lines(lines: bytes) -> bytes:
    """Lines of JSON with control characters as JSON escapes.

    The encoders already escape those of ASCII, except DEL.
    """
    if lines.isascii() and b"\x7f" not in lines:
        return lines
    return "\n".join(map(safe, lines.decode("utf-8", "replace").split("\n"))).encode()


def unwritable(error: OSError) -> OutputUnwritable:
    """The error to raise for a failed write."""
    if error.errno == errno.EBADF:
        return OutputUnwritable("standard output is closed: redirect it to a file or a pipe")
    return OutputUnwritable(
        f"standard output cannot be written ({error.strerror}): free some space or send the output elsewhere"
    )


class LineWriter:
    """Writes byte lines to a descriptor; the writing thread calls ``on_closed`` when a write fails.

    ``escape`` is applied to several lines at a time before they are written. ``dropped`` counts the lines that a slow
    reader did not get; lines after ``on_closed`` have no reader and are not counted.
    """

    def __init__(
        self,
        on_closed: Callable[[OSError], None] = lambda _error: None,
        descriptor: int = STDOUT,
        *,
        escape: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._on_closed = on_closed
        self._descriptor = descriptor
        self._escape = escape
        self._failure: OSError | None = None
        self._lines: deque[bytes] = deque()
        self._writing = 0
        self._filled = threading.Condition()
        self._closing = False
        self._broken = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._write, name="stdout", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line, without its newline; does not wait."""
        with self._filled:
            if self._broken:
                return
            if len(self._lines) >= MAX_LINES:
                self._lines.popleft()
                self.dropped += 1
            self._lines.append(line)
            self._filled.notify()

    @property
    def queued(self) -> int:
        """Lines not yet written; a caller that waits while this is large loses none."""
        with self._filled:
            return 0 if self._broken else self._writing + len(self._lines)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is queued, for at most ``timeout_s``; what is left then counts as dropped."""
        with self._filled:
            self._closing = True
            self._filled.notify()
        self._thread.join(timeout_s)
        with self._filled:
            if not self._broken:
                self.dropped += self._writing + len(self._lines)
                self._lines.clear()

    def check(self) -> None:
        """Raise ``OutputUnwritable`` when a write failed for another reason than a closed pipe."""
        if self._failure is not None and not isinstance(self._failure, BrokenPipeError):
            raise unwritable(self._failure) from self._failure

    def _write(self) -> None:
        while True:
            with self._filled:
                self._filled.wait_for(lambda: self._lines or self._closing)
                lines = list(self._lines)
                self._lines.clear()
                self._writing = len(lines)
            if not lines:
                return
            try:
                put_all(self._descriptor, self._escape(b"\n".join(lines)) + b"\n")
            except OSError as error:
                with self._filled:
                    self._broken, self._failure = True, error
                self._on_closed(error)
                return
            with self._filled:
                self._writing = 0


class FrameWriter:
    """Shows whole frames, each in place of the one before. A stuck terminal loses frames and delays nothing.

    A thread calls ``put``, which may block, with each frame, starting with ``first``.
    """

    def __init__(self, put: Callable[[bytes], object], first: bytes) -> None:
        self._put = put
        self._first = first
        self._waiting: bytes | None = None
        self._last: bytes | None = None
        self._filled = threading.Condition()
        self._thread = threading.Thread(target=self._show, name="screen", daemon=True)
        self._thread.start()

    @property
    def is_behind(self) -> bool:
        """Whether a frame still waits, which the next one would replace."""
        return self._waiting is not None

    def show(self, frame: bytes) -> None:
        """Show this frame next, unless a newer one comes first; does not wait."""
        with self._filled:
            self._waiting = frame
            self._filled.notify()

    def close(self, last: bytes, timeout_s: float = 1.0) -> bool:
        """Write ``last`` after the current frame; False when the terminal did not take it in time."""
        with self._filled:
            self._last = last
            self._filled.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _show(self) -> None:
        with contextlib.suppress(OSError):  # the terminal may have closed
            self._put(self._first)
            while True:
                with self._filled:
                    self._filled.wait_for(lambda: self._waiting is not None or self._last is not None)
                    frame, self._waiting = self._waiting, None
                if frame is None:
                    break
                self._put(frame)
            self._put(self._last or b"")


def put_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of ``data``, however long that takes."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # some parent processes pass on a pipe in non-blocking mode
            select.select([], [descriptor], [])


@contextlib.contextmanager
def guarded_stdout() -> Iterator[None]:
    """Let ``sys.stdout`` raise ``OutputUnwritable`` within the block, also when it is closed.

    A stream that has replaced standard output is left alone.
    """
    _occupy_closed_descriptors()
    found = sys.stdout
    if found is not sys.__stdout__:
        yield
        return
    encoding = found.encoding if found is not None else "utf-8"
    sys.stdout = guard = io.TextIOWrapper(io.BufferedWriter(_Output()), encoding, "backslashreplace")
    try:
        yield
    finally:
        sys.stdout = found
        guard.flush()


class _Output(io.RawIOBase):
    """Descriptor 1; the first failure is raised, and later data is dropped."""

    def __init__(self) -> None:
        self._gone = False

    def fileno(self) -> int:
        return STDOUT

    def isatty(self) -> bool:
        return os.isatty(STDOUT)

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        view = memoryview(data)
        if not self._gone:
            try:
                put_all(STDOUT, view)
            except OSError as error:
                self._gone = True
                if not isinstance(error, BrokenPipeError):
                    raise unwritable(error) from error
        return view.nbytes


def _occupy_closed_descriptors() -> None:
    """Open closed standard descriptors: otherwise a new connection could get number 1 and receive our output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            taken = os.open(os.devnull, os.O_RDONLY)  # writing to it fails
            if taken != descriptor:
                os.dup2(taken, descriptor)
                os.close(taken)
