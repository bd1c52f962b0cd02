"""The long programs, which nox starts as scripts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cases import only

PROGRAMS = sorted((Path(__file__).parents[1] / "long").glob("*.py"))


@pytest.mark.parametrize("program", only([PROGRAMS[0]], PROGRAMS), ids=lambda path: path.stem)
def test_a_long_program_starts(program: Path) -> None:
    """Each can be started from anywhere by its path, and finds what it shares with the tests."""
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {program.name}")
