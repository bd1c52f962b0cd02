"""Lines to standard output: complete and in order for who reads, no hindrance by who does not."""

import fcntl
import functools
import os
import pty
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from schwabstream.errors import OutputUnwritable
from schwabstream.output import MAX_LINES, FrameWriter, LineWriter, can_draw, put_all, safe_lines
from tests.support.waiting import DEADLINE_S


@dataclass
class Pipe:
    """A pipe in the place of stdout, and the error that the writer reports."""

    read_end: int
    write_end: int
    errors: list[OSError] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def on_closed(self, error: OSError) -> None:
        """Take the writer's call."""
        self.errors.append(error)
        self.closed.set()

    def writer(self) -> LineWriter:
        """A writer into the pipe."""
        return LineWriter(self.on_closed, self.write_end)

    def read_all(self) -> bytes:
        """Everything up to the end; the write end is closed first."""
        os.close(self.write_end)
        self.write_end = -1
        with os.fdopen(os.dup(self.read_end), "rb") as stream:
            return stream.read()

    def fill(self) -> int:
        """Fill the pipe until it takes nothing more; returns how many bytes that took."""
        os.set_blocking(self.write_end, False)
        filled = 0
        try:
            while True:
                filled += os.write(self.write_end, b"." * 4096)
        except BlockingIOError:
            os.set_blocking(self.write_end, True)
            return filled


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe of the smallest size there is."""
    each = Pipe(*os.pipe())
    fcntl.fcntl(each.write_end, 1031, 4096)  # F_SETPIPE_SZ
    yield each
    for end in (each.read_end, each.write_end):
        if end >= 0:
            os.close(end)


def drained(pipe: Pipe) -> tuple[list[bytes], threading.Thread]:
    """Read the pipe in the background; the list holds what came once the thread has ended."""
    parts: list[bytes] = []

    def read() -> None:
        while part := os.read(pipe.read_end, 65_536):
            parts.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    return parts, thread


def test_a_reader_gets_every_line_in_order(pipe: Pipe) -> None:
    """Lines arrive whole, once, in the order written, each with its newline, though the pipe is small."""
    parts, reader = drained(pipe)
    writer = pipe.writer()
    lines = [b'{"seq":%d,"pad":"%s"}' % (i, b"x" * (i % 300)) for i in range(5_000)]
    for line in lines:
        writer.write(line)
    writer.close(DEADLINE_S)
    os.close(pipe.write_end)
    pipe.write_end = -1
    reader.join(DEADLINE_S)
    assert b"".join(parts) == b"\n".join(lines) + b"\n"
    assert (writer.dropped, pipe.errors) == (0, [])


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    """A full pipe in non-blocking mode, as some parents hand down, is no reason to give up."""
    os.set_blocking(pipe.write_end, False)
    writer = pipe.writer()
    lines = [b"%d" % i for i in range(5_000)]
    for line in lines:
        writer.write(line)
    parts, reader = drained(pipe)
    writer.close(DEADLINE_S)
    os.close(pipe.write_end)
    pipe.write_end = -1
    reader.join(DEADLINE_S)
    assert b"".join(parts) == b"\n".join(lines) + b"\n"
    assert pipe.errors == []


def test_a_stuck_reader_costs_the_oldest_lines_and_they_are_counted(pipe: Pipe) -> None:
    """Without a reader, writing returns at once, memory is bounded, the newest lines stay and the rest is counted."""
    filled = pipe.fill()
    writer = pipe.writer()
    writer.write(b"first")
    total = 3 * MAX_LINES
    for i in range(total):
        writer.write(b"%d" % i)
    parts, reader = drained(pipe)
    writer.close(DEADLINE_S)
    os.close(pipe.write_end)
    pipe.write_end = -1
    reader.join(DEADLINE_S)
    written = b"".join(parts)[filled:].splitlines()
    assert written[-1] == b"%d" % (total - 1)
    assert writer.dropped >= total - 2 * MAX_LINES
    assert len(written) + writer.dropped == total + 1


def test_closing_does_not_wait_for_a_stuck_reader_and_counts_what_is_left(pipe: Pipe) -> None:
    """Closing gives up after its time; unwritten lines are counted."""
    pipe.fill()
    writer = pipe.writer()
    for i in range(10):
        writer.write(b"%d" % i)
    writer.close(0.05)
    assert writer.dropped == 10
    assert pipe.errors == []


def test_a_reader_that_left_is_reported_once_and_costs_nothing(pipe: Pipe) -> None:
    """When the reader has left, that is reported once with its reason, and writing stays harmless."""
    os.close(pipe.read_end)
    pipe.read_end = -1
    writer = pipe.writer()
    writer.write(b"line")
    assert pipe.closed.wait(DEADLINE_S)
    for _ in range(10):
        writer.write(b"line")
    writer.close(DEADLINE_S)
    assert [type(error) for error in pipe.errors] == [BrokenPipeError]
    assert writer.dropped == 0


def test_a_full_disk_is_named(pipe: Pipe) -> None:
    """An output that fails for another reason is reported with that reason."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        writer = LineWriter(pipe.on_closed, full.fileno())
        writer.write(b"line")
        assert pipe.closed.wait(DEADLINE_S)
        writer.close()
    assert "No space left" in str(pipe.errors[0])
    with pytest.raises(OutputUnwritable, match=r"standard output cannot be written \(No space left on device\)"):
        writer.check()


def test_a_reader_that_left_is_not_an_error(pipe: Pipe) -> None:
    """``check`` returns when everything was written, and when the reader left."""
    writer = pipe.writer()
    writer.check()
    os.close(pipe.read_end)
    pipe.read_end = -1
    writer.write(b"line")
    assert pipe.closed.wait(DEADLINE_S)
    writer.check()


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (b'{"a":1}\n{"a":2}', b'{"a":1}\n{"a":2}'),
        ('{"a":"é"}'.encode(), '{"a":"é"}'.encode()),
        ('{"a":"\x7f"}\n{"a":"\x9b\u202e"}'.encode(), b'{"a":"\\u007f"}\n{"a":"\\u009b\\u202e"}'),
    ],
)
def test_lines_of_json_are_escaped_before_they_are_written(pipe: Pipe, lines: bytes, shown: bytes) -> None:
    """Characters that would control a terminal become JSON's own escapes; lines stay lines."""
    writer = LineWriter(pipe.on_closed, pipe.write_end, escape=safe_lines)
    writer.write(lines)
    writer.close(DEADLINE_S)
    assert pipe.read_all() == shown + b"\n"


def test_standard_output_is_the_default(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a descriptor the lines go to the program's standard output."""
    writer = LineWriter(lambda error: None, sys.__stdout__.fileno() if sys.__stdout__ else 1)
    writer.write(b"one")
    writer.close(DEADLINE_S)
    default = LineWriter(lambda error: None)
    default.write(b"two")
    default.close(DEADLINE_S)
    assert capfd.readouterr().out == "one\ntwo\n"


def test_frames_replace_each_other_and_the_last_words_come_last(pipe: Pipe) -> None:
    """On a terminal that is stuck newer frames replace older ones; first and last words are put whatever happens."""
    filled = pipe.fill()
    frames = FrameWriter(functools.partial(put_all, pipe.write_end), b"<first>")
    for n in range(1_000):
        frames.show(b"[%d]" % n)
    assert not frames.close(b"<last>", 0.05)
    parts, reader = drained(pipe)
    assert frames.close(b"<last>", DEADLINE_S)
    os.close(pipe.write_end)
    pipe.write_end = -1
    reader.join(DEADLINE_S)
    assert b"".join(parts)[filled:] == b"<first>[999]<last>"


def test_frames_to_a_terminal_that_went_away_are_nobodys_trouble(pipe: Pipe) -> None:
    """A closed terminal ends the showing and raises nothing."""
    os.close(pipe.read_end)
    pipe.read_end = -1
    frames = FrameWriter(functools.partial(put_all, pipe.write_end), b"<first>")
    frames.show(b"frame")
    assert frames.close(b"<last>", DEADLINE_S)


@pytest.mark.parametrize(
    ("term", "draws"),
    [("xterm-256color", True), ("linux", True), ("vt100", True), ("dumb", False), ("unknown", False), ("", False)],
)
def test_a_terminal_without_cursor_movement_gets_lines(term: str, draws: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM names the terminal; ``dumb``, ``unknown`` and none mean that one frame cannot replace another."""
    monkeypatch.setenv("TERM", term)
    _, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        assert can_draw() is draws
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert not can_draw()
    os.close(read)
