"""Lines and frames to standard output that never hold up who writes them: a reader that is slow or stuck costs some.

A thread does the writing, straight to the file descriptor: a thread stuck inside ``sys.stdout`` would keep its lock and
crash the interpreter at its exit. What could not be written is counted, and the reader's going away is told once.
"""

import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable

STDOUT = 1
MAX_LINES = 20_000


class LineWriter:
    """Writes byte lines to a descriptor; ``on_closed`` is called, from the writing thread, when it takes no more.

    ``dropped`` counts the lines that a slow reader never got; those after ``on_closed`` have no reader and count not.
    """

    def __init__(self, on_closed: Callable[[OSError], None], descriptor: int = STDOUT) -> None:
        self._on_closed = on_closed
        self._descriptor = descriptor
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
                put_all(self._descriptor, b"\n".join(lines) + b"\n")
            except OSError as error:
                with self._filled:
                    self._broken = True
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


def put_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, however long that takes."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # some parents hand down a pipe that does not block
            select.select([], [descriptor], [])
