"""Lines to standard output that never hold up who writes them: a reader that is slow, stuck or gone costs lines.

A thread does the writing. What a full buffer could not take is counted, and the reader's going away is told once.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable

MAX_LINES = 20_000


class LineWriter:
    """Writes byte lines to ``sys.stdout``; ``on_closed`` is called, from the writing thread, when nobody reads."""

    def __init__(self, on_closed: Callable[[], None]) -> None:
        self._on_closed = on_closed
        self._lines: deque[bytes] = deque()
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

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is queued, for at most ``timeout_s``."""
        with self._filled:
            self._closing = True
            self._filled.notify()
        self._thread.join(timeout_s)

    def _write(self) -> None:
        output = sys.stdout.buffer
        while True:
            with self._filled:
                self._filled.wait_for(lambda: self._lines or self._closing)
                lines = list(self._lines)
                self._lines.clear()
            if not lines:
                return
            try:
                output.write(b"\n".join(lines) + b"\n")
                output.flush()
            except OSError:
                with self._filled:
                    self._broken = True
                self._on_closed()
                return
