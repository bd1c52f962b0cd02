"""The alternate screen of a terminal: frames drawn in memory, written by a thread, each in place of the one before.

The terminal is restored at the end, even after an error, and while the program is suspended (Ctrl-Z). A terminal that
takes no output loses frames and delays nothing. Does not decide what is drawn, or how often.
"""

import asyncio
import io
import signal
from typing import Any

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.screen import Screen

from schwabstream.output import FrameWriter, put_all

LEAVE_LIMIT_S = 0.5
_OWN_SCREEN, _OLD_SCREEN, _HOME = b"\x1b[?1049h\x1b[?25l", b"\x1b[?1049l\x1b[?25h", b"\x1b[H"


class AlternateScreen:
    """Shows what is drawn until closed; made and closed in the thread of a running event loop."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = terminal = console or Console()
        # Drawn in memory: even an empty write to a stuck terminal would block.
        colors: Any = terminal.color_system  # Any: rich declares the property less precisely than the parameter
        self._canvas = Console(file=io.StringIO(), force_terminal=True, color_system=colors, no_color=terminal.no_color)
        self._frames = FrameWriter(self._put, _OWN_SCREEN)
        self._newest = b""
        self._suspendable = signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
        if self._suspendable:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, self._suspend)

    @property
    def size(self) -> ConsoleDimensions:
        """Current columns and lines."""
        return self._console.size

    def show(self, frame: RenderableType) -> None:
        """Show this frame next, without waiting for the terminal."""
        self._newest = _HOME + self._drawn(Screen(frame, application_mode=True), end="")
        self._frames.show(self._newest)

    def close(self, last: RenderableType | None = None) -> None:
        """Restore the previous screen and print ``last`` below its text."""
        if self._suspendable:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
        self._frames.close(_OLD_SCREEN + (b"" if last is None else self._drawn(last)), LEAVE_LIMIT_S)

    def _suspend(self) -> None:
        """Restore the terminal, suspend the program, and draw again when it continues."""
        loop = asyncio.get_running_loop()
        self._frames.close(_OLD_SCREEN, LEAVE_LIMIT_S)
        loop.remove_signal_handler(signal.SIGTSTP)
        signal.raise_signal(signal.SIGTSTP)  # returns when the program continues
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        self._frames = FrameWriter(self._put, _OWN_SCREEN + self._newest)

    def _drawn(self, renderable: RenderableType, *, end: str = "\n") -> bytes:
        self._canvas.size = self._console.size
        with self._canvas.capture() as capture:
            self._canvas.print(renderable, end=end)
        return capture.get().encode()

    def _put(self, data: bytes) -> None:
        try:
            descriptor = self._console.file.fileno()
        except OSError:  # a file in memory has none
            self._console.file.write(data.decode())
        else:
            put_all(descriptor, data)
