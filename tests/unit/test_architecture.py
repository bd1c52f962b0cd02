"""The layers of docs/architecture.md: that the contracts in pyproject.toml hold, and cover what they should."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CORE = {
    "errors",
    "symbols",
    "fields",
    "events",
    "tokens",
    "backoff",
    "books",
    "codec",
    "subscriptions",
    "session",
    "market",
}


def test_the_import_contracts_hold() -> None:
    """Imports point inward, the core does no I/O, the simulator uses the core only; import-linter looks."""
    pytest.importorskip("importlinter")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    found = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-1000:]


def test_the_core_is_under_the_contract_of_the_core() -> None:
    """Every module of the core stands under the contract that forbids I/O."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (sources,) = [c["source_modules"] for c in contracts["contracts"] if c["name"] == "The core does no I/O"]
    assert {f"schwabstream.{name}" for name in CORE} <= set(sources)


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_has_no_clock(name: str) -> None:
    """No module of the core asks for the time or for chance: both come in as arguments."""
    text = (REPOSITORY / "schwabstream" / f"{name}.py").read_text(encoding="utf-8")
    assert not re.search(
        r"\b(?:datetime\.now|date\.today|utcnow|time\.time|monotonic)\(|^import random", text, re.MULTILINE
    )
