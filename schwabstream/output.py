"""Standard output: data that is written, or an error that it is not; a slow or stuck reader holds up nothing.

Lines and frames are written by a thread, straight to the file descriptor: a thread stuck inside ``sys.stdout`` would
keep its lock and crash the interpreter at its exit. Only a reader that has gone away, a closed pipe, is no error.
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


def can_draw() -> bool:
    """Whether it is a terminal on which one frame can replace another."""
    if sys.stdout is None or not sys.stdout.isatty():
        return False
    from rich.console import Console  # it knows about terminals and TERM=dumb

    return not Console().is_dumb_terminal


def show(text: str) -> None:
    """Write lines to standard output, without what could steer a terminal."""
    sys.stdout.write("".join(f"{safe(line)}\n" for line in text.split("\n")))
    sys.stdout.flush()


def safe_lines(lines: bytes) -> bytes:
    """Lines of JSON as they were, but for control characters, which become JSON's own escapes.

    ASCII has none but DEL: the encoders escape the rest.
    """
    if lines.isascii() and b"\x7f" not in lines:
        return lines
    return "\n".join(map(safe, lines.decode("utf-8", "replace").split("\n"))).encode()


def unwritable(error: OSError) -> OutputUnwritable:
    """The error for people."""
    if error.errno == errno.EBADF:
        return OutputUnwritable("standard output is closed: redirect it to a file or a pipe")
    return OutputUnwritable(
        f"standard output cannot be written ({error.strerror}): free some space or send the output elsewhere"
    )


class LineWriter:
    """Writes byte lines to a descriptor; ``on_closed`` is called, from the writing thread, when it takes no more.

    ``escape`` is applied to lines, several at a time, before they are written. ``dropped`` counts the lines that a slow
    reader never got; those after ``on_closed`` have no reader and count not.
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
        """Queue one line, without its newline; returns at once."""
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
        """Lines not yet written; whoever can wait keeps it small and so loses none."""
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
        """Raise ``OutputUnwritable`` when lines were refused; that their reader has gone is no error."""
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
    """Shows whole frames, each in place of the one before: a terminal that is stuck costs frames, and nobody waits.

    ``put`` takes bytes and may block; it is called from a thread of its own, first with ``first``.
    """

    def __init__(self, put: Callable[[bytes], object], first: bytes) -> None:
        self._put = put
        self._first = first
        self._waiting: bytes | None = None
        self._last: bytes | None = None
        self._filled = threading.Condition()
        self._thread = threading.Thread(target=self._show, name="screen", daemon=True)
        self._thread.start()

    def show(self, frame: bytes) -> None:
        """Show this frame next, unless a newer one comes before its turn; returns at once."""
        with self._filled:
            self._waiting = frame
            self._filled.notify()

    def close(self, last: bytes, timeout_s: float = 1.0) -> bool:
        """Put ``last`` after what is shown now; False when the terminal did not take it in time."""
        with self._filled:
            self._last = last
            self._filled.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _show(self) -> None:
        with contextlib.suppress(OSError):  # a terminal that went away shows nothing
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
        except BlockingIOError:  # some parents hand down a pipe that does not block
            select.select([], [descriptor], [])


@contextlib.contextmanager
def guarded_stdout() -> Iterator[None]:
    """Within the block ``sys.stdout`` raises ``OutputUnwritable`` for what it cannot write, closed or not.

    A stream that somebody else put in its place stays.
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
    """Descriptor 1; it fails once, and what comes after a failure falls."""

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
    """Let no connection become standard output: a closed 0, 1 or 2 would be the next descriptor that is given out."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            taken = os.open(os.devnull, os.O_RDONLY)  # which refuses what is written
            if taken != descriptor:
                os.dup2(taken, descriptor)
                os.close(taken)
