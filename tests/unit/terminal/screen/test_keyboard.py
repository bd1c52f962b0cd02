"""The keyboard of a terminal: its modes while it is read, and what is read."""

import asyncio
import os
import pty
import select
import termios
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from schwabstream.terminal.screen.keyboard import ESCAPE_AFTER_S, Keyboard
from tests.support.virtual_time import VirtualLoop, run_virtual


class Line:
    """A terminal with a person at its other end."""

    def __init__(self) -> None:
        self.person, self.descriptor = pty.openpty()
        self.found = termios.tcgetattr(self.descriptor)
        self.keys: list[str] = []

    def type(self, sent: bytes) -> None:
        """Press keys, and wait until the kernel has passed them on."""
        os.write(self.person, sent)
        assert select.select([self.descriptor], [], [], 5.0)[0]

    def flags(self) -> int:
        """The local modes."""
        return int(termios.tcgetattr(self.descriptor)[3])


@pytest.fixture
def line() -> Iterator[Line]:
    """A terminal."""
    made = Line()
    yield made
    for descriptor in (made.person, made.descriptor):
        if descriptor >= 0:
            os.close(descriptor)


def virtually(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on virtual time."""
    run_virtual(main(), VirtualLoop())


def test_keys_come_one_by_one_and_are_not_echoed(line: Line) -> None:
    """While it is read a key needs no Enter; Ctrl-C stays a signal; afterwards the modes are as they were."""

    async def main() -> None:
        keyboard = Keyboard(line.keys.append, line.descriptor)
        assert keyboard.take()
        assert not line.flags() & (termios.ICANON | termios.ECHO)
        assert line.flags() & termios.ISIG
        line.type(b"q\x1b[A")
        await asyncio.sleep(0.01)
        keyboard.release()

    virtually(main)
    assert line.keys == ["q", "up"]
    assert termios.tcgetattr(line.descriptor) == line.found


def test_an_escape_alone_is_the_key_after_a_pause(line: Line) -> None:
    """A sequence may come in pieces that are less than the pause apart."""

    async def main() -> None:
        keyboard = Keyboard(line.keys.append, line.descriptor)
        keyboard.take()
        line.type(b"\x1b")
        await asyncio.sleep(ESCAPE_AFTER_S - 0.1)
        line.type(b"[A")
        await asyncio.sleep(0.01)
        assert line.keys == ["up"]
        line.type(b"\x1b")
        await asyncio.sleep(ESCAPE_AFTER_S + 0.1)
        assert line.keys == ["up", "escape"]
        keyboard.release()

    virtually(main)


def test_in_the_background_nothing_is_read_and_no_mode_is_changed(line: Line) -> None:
    """The kernel would stop the program; what is typed stays for the shell."""
    in_front = False

    async def main() -> None:
        nonlocal in_front
        keyboard = Keyboard(line.keys.append, line.descriptor, may_read=lambda _: in_front)
        assert not keyboard.take()
        assert termios.tcgetattr(line.descriptor) == line.found
        in_front = True
        assert keyboard.take()
        in_front = False
        line.type(b"ls\n")
        await asyncio.sleep(0.01)
        keyboard.release()

    virtually(main)
    assert line.keys == []
    assert os.read(line.descriptor, 10) == b"ls\n"


def test_a_pipe_is_not_read() -> None:
    """Standard input that is not a terminal stays unread."""
    read, write = os.pipe()
    os.write(write, b"q")

    async def main() -> None:
        keyboard = Keyboard(pytest.fail, read)
        assert not keyboard.take()
        await asyncio.sleep(0.01)
        keyboard.release()

    virtually(main)
    assert os.read(read, 10) == b"q"
    os.close(read)
    os.close(write)


def test_a_closed_terminal_ends_the_reading(line: Line) -> None:
    """When the terminal goes away nothing more is read, and releasing it is not an error."""

    async def main() -> None:
        keyboard = Keyboard(line.keys.append, line.descriptor)
        keyboard.take()
        os.close(line.person)
        line.person = -1
        assert select.select([line.descriptor], [], [], 5.0)[0]
        await asyncio.sleep(0.01)
        assert not asyncio.get_running_loop().remove_reader(line.descriptor)
        keyboard.release()

    virtually(main)
    assert line.keys == []
