"""A screen of our own: entered, drawn on and left, whatever the terminal does."""

import contextlib
import io
import os
import select
import signal
import threading

import pyte
from rich.console import Console
from rich.text import Text

from schwabstream.terminal.screen.alternate_screen import AlternateScreen
from tests.support.waiting import block_until

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


def seen(written: io.StringIO, columns: int = 20, lines: int = 3) -> list[str]:
    """What a terminal shows that has got all that."""
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(written.getvalue())
    return [line.rstrip() for line in screen.display]


class Steps:
    """A terminal made of memory, and what each frame has written to it."""

    def __init__(self, screen: AlternateScreen, written: io.StringIO) -> None:
        self._screen, self._written = screen, written
        self._seen = len(ENTER)
        block_until(lambda: self._unseen() is not None)

    def show(self, text: str) -> str:
        """Show a frame that differs from the last one, and return what it has written."""
        self._screen.show(Text.from_markup(text))
        # A frame that waits no longer may still be under way; it is written at once.
        written = str(block_until(self._unseen))
        self._seen += len(written)
        return written

    def _unseen(self) -> str | None:
        text = self._written.getvalue()
        return text[self._seen :] if len(text) >= self._seen else None


async def test_only_changed_cells_are_written() -> None:
    """The first frame is drawn whole, the next as its changes; a frame like the last one writes nothing."""
    console, written = memory()
    with contextlib.closing(AlternateScreen(console)) as terminal:
        steps = Steps(terminal, written)
        assert "AAPL" in steps.show("AAPL 233.30")
        assert steps.show("AAPL [green]233.45[/]") == "\x1b[1;6H\x1b[32m233.45\x1b[0m"
        terminal.show(Text.from_markup("AAPL [green]233.45[/]"))
        assert steps.show("AAPL [green]233.46[/]") == "\x1b[1;11H\x1b[32m6\x1b[0m"
        assert seen(written) == ["AAPL 233.46", "", ""]


async def test_after_a_change_of_size_or_on_request_every_cell_is_written() -> None:
    """Nothing is known of what the terminal shows then."""
    console, written = memory()
    with contextlib.closing(AlternateScreen(console)) as terminal:
        steps = Steps(terminal, written)
        steps.show("AAPL 233.30")
        console.width = 18
        assert "AAPL 233.30" in steps.show("AAPL 233.30")
        terminal.redraw()
        assert "AAPL 233.30" in steps.show("AAPL 233.30")


async def test_frames_that_a_stuck_terminal_lost_are_made_up_for() -> None:
    """A terminal that takes output again shows the newest frame, though it never got the changes before."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(write, b"." * 4096)
    os.set_blocking(write, True)
    got = io.StringIO()

    def drain() -> None:
        taken = b""
        while select.select([read], [], [], 5)[0] and (data := os.read(read, 65_536)):
            taken += data
        got.write(taken[filled:].decode())

    with os.fdopen(write, "w") as stuck:
        terminal = AlternateScreen(Console(file=stuck, force_terminal=True, width=20, height=3))
        for number in range(100):
            terminal.show(Text(f"{number} {'x' * (number % 7)}"))
        reader = threading.Thread(target=drain)
        reader.start()
        while terminal.is_behind:
            pass
        entered = terminal
        entered.close()
    reader.join()
    os.close(read)
    before_leaving = io.StringIO(got.getvalue().partition(LEAVE)[0])
    assert seen(before_leaving)[0] == "99 x"


async def test_a_shell_that_has_the_terminal_back_is_not_drawn_over() -> None:
    """After Ctrl-Z and bg nothing is drawn until fg; a program started in the background is drawn all the same."""
    read, write = os.pipe()
    has_it = False
    with os.fdopen(write, "w") as output, os.fdopen(read, "rb", buffering=0) as terminal:
        console = Console(file=output, force_terminal=True, width=20, height=3)
        screen = AlternateScreen(console, has_terminal=lambda _: has_it)
        screen.show(Text("started behind"))
        hidden = [screen.is_hidden]
        has_it = True
        screen.show(Text("in front"))
        has_it = False
        screen.show(Text("over the shell"))
        hidden.append(screen.is_hidden)
        has_it = True
        screen.show(Text("in front again"))
        assert [*hidden, screen.is_hidden] == [False, True, False]
        screen.close()
        output.flush()
        os.set_blocking(terminal.fileno(), False)
        written = (terminal.read() or b"").decode()
    assert "over the shell" not in written
    assert written.count(ENTER) == written.count(LEAVE) == 2
    assert "in front again" in written.rpartition(ENTER)[2]
