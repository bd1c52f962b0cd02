"""The alternate screen of a terminal: frames drawn in memory, of which a thread writes the cells that have changed.

The terminal is restored at the end, even after an error, and while the program is suspended (Ctrl-Z). A terminal that
takes no output loses frames and delays nothing. Does not decide what is drawn, or how often.
"""

import asyncio
import io
import signal
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from rich.console import COLOR_SYSTEMS, Console, ConsoleDimensions, RenderableType
from rich.style import Style

from schwabstream.output import FrameWriter, put_all
from schwabstream.terminal.screen.cells import Run, Screen, changes, have_same_size, lines_of, put, whole
from schwabstream.terminal.screen.keyboard import Keyboard, in_foreground

LEAVE_LIMIT_S = 0.5
_ENTER, _LEAVE = b"\x1b[?1049h\x1b[?25l", b"\x1b[?1049l\x1b[?25h"
_MARK_PASTES, _MARK_NO_PASTES = b"\x1b[?2004h", b"\x1b[?2004l"


class AlternateScreen:
    """Shows what is drawn until closed; made and closed in the thread of a running event loop.

    The ``keyboard`` is read while the screen is shown. ``has_terminal`` is whether this program is in the foreground of
    the terminal with that descriptor.
    """

    def __init__(
        self,
        console: Console | None = None,
        keyboard: Keyboard | None = None,
        *,
        has_terminal: Callable[[int], bool] = in_foreground,
    ) -> None:
        self._console = terminal = console or Console()
        # Drawn in memory: even an empty write to a stuck terminal would block.
        colors: Any = terminal.color_system  # Any: rich declares the property less precisely than the parameter
        self._canvas = Console(file=io.StringIO(), force_terminal=True, color_system=colors, no_color=terminal.no_color)
        self._sequence_of = sequence_of = _sequences(colors, is_plain=terminal.no_color)
        self._sequence_named = lru_cache(256)(lambda style: sequence_of(Style.parse(style)))
        self._keyboard, self._has_terminal = keyboard, has_terminal
        self._frames: FrameWriter | None = None
        self._shown: Screen | None = None
        self._was_in_foreground = False
        self._enter()
        self._suspendable = signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
        if self._suspendable:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTSTP, self._suspend)
            loop.add_signal_handler(signal.SIGCONT, self._continue)

    @property
    def size(self) -> ConsoleDimensions:
        """Current columns and lines."""
        return self._console.size

    @property
    def is_hidden(self) -> bool:
        """Whether another program has the terminal, which this one has had before."""
        return self._frames is None

    @property
    def is_behind(self) -> bool:
        """Whether the terminal has not taken the newest frame yet."""
        return self._frames is not None and self._frames.is_behind

    def show(self, frame: RenderableType) -> None:
        """Show this frame next, without waiting for the terminal; nothing while another program has it."""
        self._follow_foreground()
        if self._frames is None:
            return
        width, height = self.size
        options = self._canvas.options.update(width=width, height=height)
        screen = lines_of(self._canvas.render(frame, options), width, height, self._sequence_of)
        before, self._shown = self._shown, screen
        # A frame that still waits is replaced, and with it the cells that it would have changed.
        if before is None or self.is_behind or not have_same_size(before, screen):
            self._frames.show(whole(screen).encode())
        elif written := changes(before, screen):
            self._frames.show(written.encode())

    def change(self, runs: Sequence[Run]) -> bool:
        """Show these runs in the frame that is shown; returns False when only another frame can show them."""
        self._follow_foreground()
        shown = self._shown
        if self._frames is None or shown is None or self.is_behind or self.size != (len(shown[0].texts), len(shown)):
            return False
        if runs:
            self._frames.show(put(shown, runs, self._sequence_named).encode())
        return True

    def redraw(self) -> None:
        """Draw every cell of the next frame, whatever the terminal shows."""
        self._shown = None

    def close(self, last: RenderableType | None = None) -> None:
        """Restore the previous screen and the keyboard, and print ``last`` below its text."""
        if self._suspendable:
            loop = asyncio.get_running_loop()
            loop.remove_signal_handler(signal.SIGTSTP)
            loop.remove_signal_handler(signal.SIGCONT)
            self._suspendable = False
        self._leave(b"" if last is None else self._printed(last))

    def _enter(self) -> None:
        reads = self._keyboard is not None and self._keyboard.take()
        self._shown = None
        self._frames = FrameWriter(self._put, _ENTER + (_MARK_PASTES if reads else b""))

    def _leave(self, last: bytes = b"") -> None:
        if self._frames is not None:
            marks = _MARK_NO_PASTES if self._keyboard is not None else b""
            self._frames.close(marks + _LEAVE + last, LEAVE_LIMIT_S)
            self._frames = None
        if self._keyboard is not None:
            self._keyboard.release()

    def _follow_foreground(self) -> None:
        """Leave the terminal to the shell while it has it, as after Ctrl-Z and ``bg``.

        A program that was started in the background is drawn all the same: ``timeout`` starts programs that way.
        """
        foreground = self._is_in_foreground()
        if foreground and self._frames is None:
            self._enter()
        elif not foreground and self._was_in_foreground:
            self._leave()
        elif foreground and self._keyboard is not None:
            self._keyboard.take()
        self._was_in_foreground |= foreground

    def _is_in_foreground(self) -> bool:
        try:
            return self._has_terminal(self._console.file.fileno())
        except OSError:  # a file in memory has no descriptor
            return True

    def _suspend(self) -> None:
        """Restore the terminal and suspend the program; returns when it continues."""
        loop = asyncio.get_running_loop()
        self._leave()
        loop.remove_signal_handler(signal.SIGTSTP)
        signal.raise_signal(signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)

    def _continue(self) -> None:
        """Take the terminal again, also after a stop that could not be noticed; the shell has changed its modes."""
        self._leave()
        if self._is_in_foreground():
            self._enter()

    def _printed(self, renderable: RenderableType) -> bytes:
        self._canvas.size = self._console.size
        with self._canvas.capture() as capture:
            self._canvas.print(renderable)
        return capture.get().encode()

    def _put(self, data: bytes) -> None:
        try:
            descriptor = self._console.file.fileno()
        except OSError:  # a file in memory has none
            self._console.file.write(data.decode())
        else:
            put_all(descriptor, data)


def _sequences(color_system: str | None, *, is_plain: bool) -> Callable[[Style], str]:
    """A function that has the escape sequence of a style, without its colours if ``is_plain``."""
    system = COLOR_SYSTEMS[color_system] if color_system else None

    @lru_cache(256)
    def sequence_of(style: Style) -> str:
        shown = style.without_color if is_plain else style
        return shown.render(" ", color_system=system).partition(" ")[0]

    return sequence_of
