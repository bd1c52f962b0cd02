"""The tests hold to their own rules: how they are run, where they are, and what a unit test may use."""

import socket
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARALLEL = "-n 4 --dist worksteal"


def test_only_nox_and_the_readme_run_tests_in_parallel() -> None:
    """A plain ``pytest`` runs in one process, for --pdb and -s; the README's command and nox run four."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert not {"-n", "--numprocesses", "--dist"} & set(options["addopts"])
    assert f".venv/bin/pytest {PARALLEL}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    words = ", ".join(f'"{word}"' for word in PARALLEL.split())
    assert f"PARALLEL = ({words})" in (ROOT / "noxfile.py").read_text(encoding="utf-8")


def bind() -> None:
    """Open a port."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))


@pytest.mark.parametrize("work", [bind, lambda: subprocess.run(["true"], check=False)], ids=["socket", "process"])
def test_a_unit_test_starts_no_process_and_uses_no_socket(work: Callable[[], object], refused: list[str]) -> None:
    """What needs a process or a socket is refused in tests/unit, with the rule and the place where it belongs."""
    with pytest.raises(AssertionError, match=r"tests/unit .* move it to tests/integration"):
        work()
    assert refused
    refused.clear()
