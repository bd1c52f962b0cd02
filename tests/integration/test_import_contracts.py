"""The import contracts in pyproject.toml, checked by import-linter in a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROGRAM = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """The output of import-linter for the package in that directory."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to be broken."""
    pytest.importorskip("importlinter")
    shutil.copytree(
        REPOSITORY / "schwabstream", tmp_path / "schwabstream", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold() -> None:
    """Imports follow the rooms, and rules do no I/O."""
    pytest.importorskip("importlinter")
    found = lint(REPOSITORY)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-1000:]


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("protocol/codec.py", "import redis", "No I/O, no clock and no asyncio"),
        ("consumer/conflation.py", "import redis", "No I/O, no clock and no asyncio"),
        ("market/last_values.py", "import schwabstream.publishing.publisher", "Imports follow the rooms"),
        ("recording/reader.py", "import schwabstream.streaming.supervisor", "Imports follow the rooms"),
        ("streaming/supervisor.py", "import redis", "Sessions, recordings and the simulator know no Redis"),
        ("unnamed/__init__.py", "", "Imports follow the rooms"),
        ("unnamed.py", "", "Imports follow the rooms"),
    ],
)
def test_what_breaks_a_contract_is_found(copy: Path, module: str, line: str, broken: str) -> None:
    """A planted import, and a room or module that no contract names, fail the check."""
    path = copy / "schwabstream" / module
    path.parent.mkdir(exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else '"""Planted."""\n'
    path.write_text(f"{text}\n{line}\n", encoding="utf-8")
    found = lint(copy)
    assert found.returncode != 0
    missing_layer = "unnamed" in found.stdout + found.stderr
    assert broken in found.stdout.partition("Broken contracts")[2] or (not line and missing_layer)
