"""A program on a pseudo-terminal of its own: what its screen shows, and a person who types, walks away or hangs up."""

import codecs
import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyte

from tests.support.waiting import DEADLINE_S, block_until, until

COMMAND = [sys.executable, "-m", "schwabstream"]
OWN_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"
CTRL_C, CTRL_S, CTRL_Z = b"\x03", b"\x13", b"\x1a"
_OTHER_SCREEN = 1049


class _Screen(pyte.Screen):
    """A screen that is blank after each change between a program's own screen and the shell's."""

    def set_mode(self, *modes: int, **options: Any) -> None:
        super().set_mode(*modes, **options)
        self._blank(modes)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        super().reset_mode(*modes, **options)
        self._blank(modes)

    def _blank(self, modes: tuple[int, ...]) -> None:
        if _OTHER_SCREEN in modes:
            self.erase_in_display(2)
            self.cursor_position()


class Terminal:
    """A program on a pseudo-terminal, and what its screen shows.

    The terminal controls the program, as a shell's does; with ``job=True`` the program is a job under a shell that
    waits, so that Ctrl-Z stops it. ``stderr`` may be a file. Each wait has two forms, as ``until`` and ``block_until``.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        columns: int = 120,
        lines: int = 30,
        job: bool = False,
        before: Callable[[], object] = lambda: None,
        cwd: Path | None = None,
        stderr: IO[bytes] | None = None,
    ) -> None:
        self.screen = _Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.raw = b""
        self._written: list[str] = []
        self._unread = self._read_all = False
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._modes = self._modes_found = termios.tcgetattr(self._slave)

        def prepare() -> None:
            if not job:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
            before()

        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave if stderr is None else stderr,
            env=environment,
            cwd=cwd,
            start_new_session=not job,
            process_group=0 if job else None,
            preexec_fn=prepare,  # noqa: PLW1509 - the tests that use it run no threads
        )

    @property
    def name(self) -> str:
        """The name of its device."""
        return os.ttyname(self._slave)

    @property
    def modes_found(self) -> list[Any]:
        """Its modes before the program started."""
        return self._modes_found

    @property
    def text(self) -> str:
        """The screen's lines."""
        self._read()
        return "\n".join(line.rstrip() for line in self.screen.display)

    @property
    def written(self) -> str:
        """Everything that the program has written so far, escape codes included."""
        self._read()
        return "".join(self._written)

    def row(self, start: str) -> str:
        """The first line that starts so; empty while there is none."""
        return next((line for line in self.text.splitlines() if line.lstrip().startswith(start)), "")

    async def until(self, condition: Callable[[str], object], within_s: float = DEADLINE_S) -> str:
        """Wait until the screen fulfils the condition; returns the screen."""
        await until(lambda: self._fulfils(condition), show=lambda: self.text, within_s=within_s)
        return self.text

    def block_until(self, condition: Callable[[str], object], within_s: float = DEADLINE_S) -> str:
        """Wait until the screen fulfils the condition; returns the screen."""
        block_until(lambda: self._fulfils(condition), show=lambda: self.text, within_s=within_s)
        return self.text

    async def end(self) -> int:
        """Wait for the program's end; returns its exit code."""
        await until(self._ended, show=lambda: self.text)
        return int(self.process.returncode)

    def block_until_end(self) -> int:
        """Wait for the program's end; returns its exit code."""
        block_until(self._ended, show=lambda: self.text)
        return int(self.process.returncode)

    def block_until_stopped(self) -> None:
        """Wait until the program is stopped, as by Ctrl-Z."""
        look = os.WSTOPPED | os.WNOHANG | os.WNOWAIT

        def stopped() -> bool:
            self._read()
            return os.waitid(os.P_PID, self.process.pid, look) is not None

        block_until(stopped, show=lambda: self.text)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def fill(self) -> None:
        """Let the terminal take nothing more, as when the other end of ssh is gone: nobody reads what is written."""
        self._unread = True
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
        self._unread = True
        self._close_slave()
        os.close(self._master)
        self._master = -1

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)
        self.process.send_signal(signal.SIGWINCH)

    def unchanged(self) -> bool:
        """Whether the terminal's modes are as they were found."""
        if self._slave >= 0:
            self._modes = termios.tcgetattr(self._slave)
        return self._modes == self._modes_found

    @property
    def is_gone(self) -> bool:
        """Whether the terminal has been closed."""
        return self._master < 0

    def close(self) -> None:
        """Let go of everything."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master >= 0:
            self.hang_up()

    def _read(self) -> None:
        """Take in what the program has written so far."""
        while not (self._unread or self._read_all) and select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, 65_536)
            except OSError:  # nobody holds the other end any more
                self._read_all = True
                return
            text = self._decoder.decode(data)
            self.raw += data
            self._written.append(text)
            self._stream.feed(text)

    def _fulfils(self, condition: Callable[[str], object]) -> object:
        ended = self.process.poll() is not None
        text = self.text
        found = condition(text)
        assert found or not ended, f"it ended:\n{text}"
        return found

    def _ended(self) -> bool:
        self._read()
        if self.process.poll() is None:
            return False
        self._close_slave()  # what is still under way comes before the end of the file
        return self._unread or self._read_all

    def _close_slave(self) -> None:
        if self._slave >= 0:
            with contextlib.suppress(termios.error):  # a terminal whose session has ended has none
                self._modes = termios.tcgetattr(self._slave)
            os.close(self._slave)
            self._slave = -1


@contextmanager
def terminal(*arguments: str, environment: Mapping[str, str] = os.environ, **options: Any) -> Iterator[Terminal]:
    """``schwabstream`` on a terminal for the length of the block; options in capitals are environment variables."""
    # The terminal has a size of its own; parallel test runs export another.
    given = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    given |= {"TERM": "xterm-256color"} | {name: options.pop(name) for name in list(options) if name.isupper()}
    running = Terminal([*COMMAND, *arguments], given, **options)
    try:
        yield running
        # A full-screen program restores them when it ends, unless its terminal has gone.
        assert running.process.poll() is None or running.is_gone or running.unchanged()
    finally:
        running.close()
