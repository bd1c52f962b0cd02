"""A screen of our own: entered, drawn on and left, whatever the terminal does."""

import contextlib
import io
import os
import signal

from rich.console import Console
from rich.text import Text

from schwabstream.terminal.alternate_screen import AlternateScreen

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?1049l\x1b[?25h"


def memory() -> tuple[Console, io.StringIO]:
    """A terminal made of memory, and what was written to it."""
    written = io.StringIO()
    return Console(file=written, force_terminal=True, width=20, height=3, color_system="standard"), written


async def test_the_old_screen_comes_back_with_the_last_words() -> None:
    """Frames are drawn between entering and leaving; the last message is on the old screen."""
    console, written = memory()
    terminal = AlternateScreen(console)
    terminal.show(Text("frame"))
    terminal.close(Text("last"))
    text = written.getvalue()
    assert text.startswith(ENTER)
    assert text.partition(LEAVE)[2].strip() == "last"


async def test_a_terminal_that_takes_nothing_holds_up_nobody() -> None:
    """Showing and closing return though not a byte is taken."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"." * 4096)
    os.set_blocking(write, True)
    with os.fdopen(write, "w") as stuck:
        terminal = AlternateScreen(Console(file=stuck, force_terminal=True))
        for number in range(100):
            terminal.show(Text(str(number)))
        terminal.close()
        os.close(read)


async def test_closing_gives_the_suspend_key_back() -> None:
    """Ctrl-Z is handled while the screen is shown, and as before afterwards."""
    before = signal.getsignal(signal.SIGTSTP)
    console, _ = memory()
    terminal = AlternateScreen(console)
    assert signal.getsignal(signal.SIGTSTP) is not before
    terminal.close()
    assert signal.getsignal(signal.SIGTSTP) is before


async def test_a_suspend_key_that_is_ignored_stays_ignored() -> None:
    """A program that was started without job control does not begin to stop."""
    before = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        console, _ = memory()
        terminal = AlternateScreen(console)
        assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
        terminal.close()
        assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTSTP, before)
