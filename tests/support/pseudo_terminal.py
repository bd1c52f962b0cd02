"""A program on a pseudo-terminal of its own: what its screen shows, and a person who types, walks away or hangs up."""

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyte

COMMAND = [sys.executable, "-m", "schwabstream"]
OWN_SCREEN, LEAVE_SCREEN, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
CTRL_C, CTRL_S, CTRL_Z = b"\x03", b"\x13", b"\x1a"


class Terminal:
    """A program on a pseudo-terminal, and what its screen shows.

    The terminal controls the program, as a shell's does; with ``job=True`` the program is a job under a shell that
    waits, so that Ctrl-Z stops it.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 120,
        lines: int = 30,
        job: bool = False,
        before: Callable[[], object] = lambda: None,
        **environment: str,
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        # The terminal has a size of its own; parallel test runs export another.
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}

        def prepare() -> None:
            if not job:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
            before()

        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, "TERM": "xterm-256color", **environment},
            start_new_session=not job,
            process_group=0 if job else None,
            preexec_fn=prepare,  # noqa: PLW1509 - the tests that use it run no threads
        )

    @property
    def text(self) -> str:
        """The screen's lines."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self, seconds: float) -> None:
        """Take in what the program writes, for at most that long."""
        if select.select([self._master], [], [], seconds)[0]:
            data = os.read(self._master, 65_536)
            self.raw += data
            self._stream.feed(self._decoder.decode(data))

    def until(self, condition: Callable[[str], bool], seconds: float = 30) -> str:
        """Wait until the screen fulfils the condition; returns it."""
        deadline = time.monotonic() + seconds
        while not condition(self.text):
            assert time.monotonic() < deadline, f"the screen does not get there:\n{self.text}"
            assert self.process.poll() is None or condition(self.text), f"it ended:\n{self.text}"
            self.read(0.1)
        return self.text

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def fill(self) -> None:
        """Let the terminal take nothing more, as when the other end of ssh is gone: nobody reads what is written."""
        writer = os.open(os.ttyname(self._slave), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            while True:
                os.write(writer, b"." * 512)
        except BlockingIOError:
            return
        finally:
            os.close(writer)

    def hang_up(self) -> None:
        """Close the terminal's window: the kernel sends SIGHUP to the program."""
        os.close(self._slave)
        os.close(self._master)
        self._slave = self._master = -1

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)
        self.process.send_signal(signal.SIGWINCH)

    def stopped(self, seconds: float = 10) -> None:
        """Wait until the program is stopped, as by Ctrl-Z, and take in what it has written."""
        deadline = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is None:
            assert time.monotonic() < deadline, "it does not stop"
            self.read(0.05)
        while select.select([self._master], [], [], 0.2)[0]:  # a terminal hands on 4 kB at a time
            self.read(0)

    def end(self, seconds: float = 15, *, unread: bool = False) -> int:
        """Wait for the program's end, reading what it writes unless ``unread``; returns its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            if unread:
                time.sleep(0.02)
            else:
                self.read(0.1)
        if not unread:
            self.read(0.2)
        return self.process.returncode

    def unchanged(self) -> bool:
        """Whether the terminal's modes are as they were found."""
        return self._slave < 0 or termios.tcgetattr(self._slave) == self.before

    def close(self) -> None:
        """Let go of everything."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master >= 0:
            self.hang_up()


@contextmanager
def terminal(*arguments: str, **options: Any) -> Iterator[Terminal]:
    """A program on a terminal for the length of the block."""
    running = Terminal(*arguments, **options)
    try:
        yield running
        assert running.unchanged()
    finally:
        running.close()
