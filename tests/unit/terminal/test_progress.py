"""A bar for people at a terminal, nothing for a pipe."""

import io
import sys

import pytest

from schwabstream.terminal.progress import progress


class Terminal(io.StringIO):
    """A standard error that claims to be a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The title and the share done."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress("exporting", 200) as show:
        show(100)
        show(200)
    assert "exporting" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_a_pipe_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one byte."""
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    with progress("exporting", 200) as show:
        show(100)
    assert pipe.getvalue() == ""
