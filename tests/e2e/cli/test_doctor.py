"""``schwabstream doctor`` as people and scripts call it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = shutil.which("schwabstream", path=str(Path(sys.executable).parent)) or "schwabstream"


def doctor(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it and return what came out."""
    return subprocess.run(
        [COMMAND, "doctor", *options],
        env=os.environ
        | {"SCHWAB_API_BASE_URL": "http://127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_for_people() -> None:
    """In a pipe: one plain line for each finding, its fix below it, the code of the first failure, no traceback."""
    run = doctor()
    assert run.returncode == 2
    assert "\x1b" not in run.stdout
    lines = run.stdout.splitlines()
    assert any(line.startswith("failed    settings") and "SCHWAB_CLIENT_ID" in line for line in lines)
    assert any("-> run schwabstream auth login" in line for line in lines)
    assert any(line.startswith("unchecked account") for line in lines)
    assert "Traceback" not in run.stderr


def test_for_programs() -> None:
    """``--json`` is one line on stdout, with version 1, the same code as the exit, and nothing on stderr."""
    run = doctor("--json")
    (line,) = run.stdout.splitlines()
    found = json.loads(line)
    assert (found["v"], found["exit_code"]) == (1, run.returncode)
    assert found["settings"]["REDIS_URL"] == "environment"
    assert {"name", "verdict", "detail", "fix", "code"} == set(found["findings"][0])
    assert run.stderr == ""


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_simulated(options: tuple[str, ...]) -> None:
    """With a simulated Schwab and an embedded Redis there is nothing to complain about."""
    run = doctor("--simulate", "--redis", "embedded", *options)
    assert run.returncode == 0, run.stdout
    assert "failed" not in run.stdout
    assert run.stderr == ""
