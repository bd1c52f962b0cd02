"""Lines to standard output that never hold up who writes them: a reader that is slow, stuck or gone costs lines.

A thread does the writing, straight to the file descriptor: a thread stuck inside ``sys.stdout`` would keep its lock and
crash the interpreter at its exit. What could not be written is counted, and the reader's going away is told once.
"""

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
                self._put(b"\n".join(lines) + b"\n")
            except OSError as error:
                with self._filled:
                    self._broken = True
                self._on_closed(error)
                return
            with self._filled:
                self._writing = 0

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:  # some parents hand down a pipe that does not block
                select.select([], [self._descriptor], [])
