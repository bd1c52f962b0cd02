"""A full-screen program ends, is suspended or loses its parent: the terminal is as it was each time."""

import os
import re
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_screen import LAST
from tests.support.terminal import (
    CTRL_C,
    CTRL_Z,
    HIDE_CURSOR,
    LEAVE_SCREEN,
    OWN_SCREEN,
    SHOW_CURSOR,
    Terminal,
)
from tests.support.waiting import block_until

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, str(ROOT / "tests" / "support" / "small_screen.py")]
SHELL = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
ENDS: dict[str, tuple[Callable[[Terminal], object], int]] = {
    "q": (lambda shown: shown.type(b"q"), 0),
    "Ctrl-C": (lambda shown: shown.type(CTRL_C), 0),
    "SIGTERM": (lambda shown: shown.process.terminate(), 0),
    "SIGHUP": (lambda shown: shown.process.send_signal(signal.SIGHUP), 0),
    "an exception": (lambda shown: shown.type(b"x"), 1),
}


@contextmanager
def on_terminal(command: list[str], **options: Any) -> Iterator[Terminal]:
    """A program on a terminal for the length of the block."""
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"TERM": "xterm-256color", "PS1": "ready> "}
    running = Terminal(command, environment, cwd=ROOT, **options)
    try:
        yield running
    finally:
        running.close()


def is_restored(shown: Terminal) -> bool:
    """Whether the shell's screen is back with its cursor, and nothing of the screen's modes is left."""
    raw = shown.raw
    last = [raw.rfind(code) for code in (OWN_SCREEN, HIDE_CURSOR, b"\x1b[?2004h")]
    first = [raw.rfind(code) for code in (LEAVE_SCREEN, SHOW_CURSOR, b"\x1b[?2004l")]
    return all(off > on >= 0 for on, off in zip(last, first, strict=True))


def takes_single_keys(shown: Terminal) -> bool:
    """Whether the program has put the terminal into its own mode."""
    return not shown.unchanged()


@pytest.mark.parametrize("end", ENDS)
def test_however_it_ends_the_terminal_is_as_it_was(end: str) -> None:
    """Modes, cursor and screen are as before, and the last page is below the shell's text."""
    act, code = ENDS[end]
    with on_terminal(PROGRAM) as shown:
        shown.block_until(lambda text: "frame" in text and takes_single_keys(shown))
        act(shown)
        assert shown.block_until_end() == code
        assert shown.unchanged()
        assert is_restored(shown)
        assert LAST in shown.text


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() -> None:
    """While it is suspended modes, cursor and screen are the shell's; it goes on in the size the window has by then."""
    with on_terminal(PROGRAM, job=True) as shown:
        shown.block_until(lambda text: "frame" in text and takes_single_keys(shown))
        shown.process.send_signal(signal.SIGTSTP)
        shown.block_until_stopped()
        shown.block_until(lambda _: is_restored(shown))
        assert shown.unchanged()
        shown.resize(50, 10)
        shown.process.send_signal(signal.SIGCONT)
        shown.block_until(lambda text: "(50, 10)" in text.replace("\n", "") and takes_single_keys(shown))
        shown.type(b"q")
        assert shown.block_until_end() == 0
        assert shown.unchanged()
        assert is_restored(shown)


def test_a_job_of_a_shell_reads_keys_in_the_foreground_only() -> None:
    """In the background it neither reads nor stops; Ctrl-Z, bg and fg work, and the shell gets what is typed to it."""
    with on_terminal(SHELL) as shown:
        shown.block_until(lambda text: "ready>" in text)
        shown.type(" ".join(PROGRAM).encode() + b"\n")
        shown.block_until(lambda text: "frame" in text and takes_single_keys(shown))
        shown.type(CTRL_Z)
        shown.block_until(lambda text: "Stopped" in text)
        assert is_restored(shown)
        shown.type(b"bg\n")
        shown.block_until(lambda text: "&" in text)
        shown.type(b"echo q$((6*7))\n")
        shown.block_until(lambda text: "q42" in text)
        shown.type(b"jobs\n")
        shown.block_until(lambda text: "Running" in text)
        shown.type(b"fg\n")
        shown.block_until(lambda text: "frame" in text)
        assert "<" not in shown.text
        shown.type(b"sq")
        shown.block_until(lambda text: LAST in text and is_restored(shown))
        shown.type(b"exit\n")
        shown.block_until_end()
        assert shown.unchanged()


def test_a_parent_that_is_killed_leaves_a_usable_shell() -> None:
    """The shell has the terminal again, its screen and its cursor, and the program ends."""
    with on_terminal(SHELL) as shown:
        shown.block_until(lambda text: "ready>" in text)
        shown.type(f"sh -c 'echo parent $$; {' '.join(PROGRAM)}; true'\n".encode())
        shown.block_until(lambda text: "frame" in text)
        (pid,) = re.findall(r"pid (\d+) frame", shown.text)
        (parent,) = re.findall(r"parent (\d+)", shown.written)
        os.kill(int(parent), signal.SIGKILL)
        shown.block_until(lambda _: is_restored(shown))
        shown.type(b"echo q$((6*7))\n")
        shown.block_until(lambda text: "q42" in text)
        block_until(lambda: not is_alive(int(pid)), show=lambda: shown.text)
        shown.type(b"exit\n")
        shown.block_until_end()
        assert shown.unchanged()


def test_a_shell_that_is_killed_takes_the_program_with_it() -> None:
    """The kernel hangs the terminal up: the program ends, and the terminal has the modes that it had at first."""
    with on_terminal(["sh", "-c", f"{' '.join(PROGRAM)}; true"]) as shown:
        shown.block_until(lambda text: "frame" in text)
        (pid,) = re.findall(r"pid (\d+) frame", shown.text)
        name, found = shown.name, shown.modes_found
        shown.process.kill()
        block_until(lambda: not is_alive(int(pid)), show=lambda: "")
        again = os.open(name, os.O_RDWR | os.O_NOCTTY)
        try:
            assert termios.tcgetattr(again) == found
        finally:
            os.close(again)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
