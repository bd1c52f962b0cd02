"""The keyboard of a terminal: single keys without echo, for as long as a screen is shown.

Reads in the event loop, without a thread. Ctrl-C and Ctrl-Z stay signals, and Ctrl-S stays a stop of the
output. Reads nothing where standard input is not a terminal, and nothing in the background: the kernel would stop the
program.
"""

import asyncio
import contextlib
import os
import termios
from collections.abc import Callable
from typing import Any, Final

from schwabstream.terminal.screen.keys import KeyParser

STDIN: Final = 0
ESCAPE_AFTER_S: Final = 0.5
"""The pause after which an escape is the key, not the start of a sequence; the pieces of one may be that far apart."""
_READ_BYTES: Final = 4096
_LOCAL_FLAGS, _CHARACTERS = 3, 6


def in_foreground(descriptor: int) -> bool:
    """Whether this program may read from that terminal; also where there is no job control."""
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not the terminal that controls this program
        return True


class Keyboard:
    """Calls ``press`` with the name of each key, between :meth:`take` and :meth:`release`; for one event loop.

    ``may_read`` is whether this program is in the foreground of the terminal at ``descriptor``.
    """

    def __init__(
        self,
        press: Callable[[str], None],
        descriptor: int = STDIN,
        *,
        may_read: Callable[[int], bool] = in_foreground,
    ) -> None:
        self._press, self._descriptor, self._may_read = press, descriptor, may_read
        self._parser = KeyParser()
        self._found: list[Any] | None = None
        self._pause: asyncio.TimerHandle | None = None

    def take(self) -> bool:
        """Read from now on; returns whether keys are read."""
        if self._found is None and os.isatty(self._descriptor) and self._may_read(self._descriptor):
            with contextlib.suppress(termios.error, OSError):
                found = termios.tcgetattr(self._descriptor)
                termios.tcsetattr(self._descriptor, termios.TCSANOW, _single_keys(found))
                self._found, self._parser = found, KeyParser()
                asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return self._found is not None

    def release(self) -> None:
        """Stop reading, and restore the modes of the terminal unless another program is in the foreground."""
        if self._found is None:
            return
        found, self._found = self._found, None
        self._stop_reading()
        if self._may_read(self._descriptor):
            with contextlib.suppress(termios.error, OSError):  # the terminal may have closed
                termios.tcsetattr(self._descriptor, termios.TCSANOW, found)

    def _stop_reading(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _read(self) -> None:
        if not self._may_read(self._descriptor):  # what is typed now is for the shell
            self._stop_reading()
            return
        try:
            received = os.read(self._descriptor, _READ_BYTES)
        except OSError:
            received = b""
        if not received:  # the terminal has closed
            self._stop_reading()
            return
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._pass_on(self._parser.feed(received))
        if self._parser.is_waiting and self._found is not None:
            self._pause = asyncio.get_running_loop().call_later(ESCAPE_AFTER_S, self._give_up)

    def _give_up(self) -> None:
        self._pause = None
        self._pass_on(self._parser.give_up())

    def _pass_on(self, keys: list[str]) -> None:
        for key in keys:
            self._press(key)


def _single_keys(modes: list[Any]) -> list[Any]:
    """The modes with each key passed on as it is pressed, and not shown."""
    changed = [*modes[:_CHARACTERS], list(modes[_CHARACTERS])]
    changed[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
    changed[_CHARACTERS][termios.VMIN], changed[_CHARACTERS][termios.VTIME] = 1, 0
    return changed
