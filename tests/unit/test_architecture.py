"""The layers of docs/architecture.md: that the contracts in pyproject.toml hold, and cover what they should."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted((REPOSITORY / "schwabstream").rglob("*.py"))
PRIVATE_ATTRIBUTES = {"_reader": "redis", "_writer": "redis"}
"""Each private attribute of a library that is in use, and the library (docs/adr/0003)."""
LIBRARIES_WITH_KNOWN_INSIDES = {*PRIVATE_ATTRIBUTES.values(), "authlib", "httpx", "schwab-py", "websockets"}
"""The libraries above, those that ``lean`` loads in parts, and the one whose connection is subclassed."""
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


def private_attributes(path: Path) -> Iterator[str]:
    """Names with one leading underscore that a module reads from anything but ``self`` and ``cls``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and re.match(r"_(?!_)", node.attr) and node.attr != "_replace":
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not own:
                yield node.attr


def test_private_attributes_of_libraries_are_few_and_listed() -> None:
    """No module reads a private attribute of another's object, but for the two of redis-py that ADR 3 names."""
    assert {name for path in SOURCES for name in private_attributes(path)} == set(PRIVATE_ATTRIBUTES)
    decision = (REPOSITORY / "docs" / "adr" / "0003-batches-are-transactions.md").read_text(encoding="utf-8")
    assert [name for name in PRIVATE_ATTRIBUTES if f"`connection.{name}`" not in decision] == []


@pytest.mark.parametrize("library", sorted(LIBRARIES_WITH_KNOWN_INSIDES))
def test_a_library_whose_insides_are_used_has_an_upper_bound(library: str) -> None:
    """Its next untested version is not installed, the one that the tests run with is."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bounds,) = [each.specifier for each in map(Requirement, project["dependencies"]) if each.name == library]
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.search(rf"^{re.escape(library)}==([\d.]+)", pins, re.MULTILINE)
    assert pinned is not None
    assert pinned[1] in bounds
    assert any(bound.operator == "<" for bound in bounds)
    next_major = f"{int(pinned[1].partition('.')[0]) + 1}.0"
    assert next_major not in bounds


def test_every_module_that_creates_tasks_is_listed() -> None:
    """The section on the ownership of tasks names the modules that create tasks, and no other."""
    creates = re.compile(r"\b(?:create_task|ensure_future|gather|start_beside)\(|\basyncio\.start_server\(")
    modules = {path.stem for path in SOURCES if creates.search(path.read_text(encoding="utf-8"))}
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Ownership of tasks")[2].partition("\n## ")[0]
    assert {
        name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    } == modules
