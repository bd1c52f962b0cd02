"""Logs of a program whose stderr is closed, full, abandoned or a terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

# Neither coverage, which would itself write to the stderr that takes nothing, nor an unbuffered Python.
_UNMEASURED = {"PATH": os.environ["PATH"]}
_GONE = """
import logging, structlog, sys
from schwabstream.logs import configure_logging
configure_logging("json")
for i in range(3):
    structlog.get_logger("x").info("line", i=i)
    logging.getLogger("library").warning("line")
print("went on")
"""


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_a_stderr_that_takes_nothing_costs_only_the_lines(redirect: str, tmp_path: Path) -> None:
    """A closed or full stderr does not end the program that logs."""
    script = tmp_path / "gone.py"
    script.write_text(_GONE)
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "{sys.executable}" "{script}" {redirect}'],
        stdout=subprocess.PIPE,
        env=_UNMEASURED,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"went on\n")


def test_a_stderr_whose_reader_left_costs_only_the_lines(tmp_path: Path) -> None:
    """``2>&1 | head -1`` does not end the program that logs."""
    script = tmp_path / "gone.py"
    script.write_text(_GONE)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        done = subprocess.run(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=gone, env=_UNMEASURED, check=False
        )
    assert (done.returncode, done.stdout) == (0, b"went on\n")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_no_color_is_set(no_color: str, coloured: bool, tmp_path: Path) -> None:
    """People's lines are coloured on a terminal, and NO_COLOR is obeyed."""
    script = tmp_path / "colour.py"
    script.write_text(_GONE)
    terminal, end = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm-256color"}
    script.write_text(
        "import structlog\nfrom schwabstream.logs import configure_logging\nconfigure_logging('rich')\n"
        "structlog.get_logger('x').warning('waiting', reason='no network')\n"
    )
    try:
        subprocess.run([sys.executable, script], stderr=end, env=environment, check=True)
        written = os.read(terminal, 65_536).decode()
    finally:
        os.close(terminal)
        os.close(end)
    assert "no network" in written
    assert ("\x1b[" in written) is coloured
