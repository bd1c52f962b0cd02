"""The house as docs/architecture.md describes it; what imports what is tested in tests/integration."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted((REPOSITORY / "schwabstream").rglob("*.py"))
PRIVATE_ATTRIBUTES = {"_reader": "consumer/subscribed_connection", "_writer": "publishing/reply_protocol"}
"""Each private attribute of a library that is in use, and the one module that uses it (docs/adr/0003)."""
LIBRARIES_WITH_KNOWN_INSIDES = {"redis", "authlib", "httpx", "schwab-py", "websockets"}
"""The libraries above, those whose classes are subclassed or hooked into, and the one whose answers are replaced."""
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
CLOCKS = re.compile(r"\b(?:datetime\.now|date\.today|utcnow|time\.time|monotonic)\(|^import random", re.MULTILINE)
MOST_AT_THE_TOP, MOST_IN_A_ROOM = 12, 14


def pure_modules() -> set[Path]:
    """The files under the contract that forbids I/O, clocks and asyncio."""
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (named,) = [each["source_modules"] for each in contracts if each["name"].startswith("No I/O")]
    found = set()
    for name in named:
        path = REPOSITORY / name.replace(".", "/")
        found |= set(path.rglob("*.py")) if path.is_dir() else {path.with_suffix(".py")}
    return found


def test_rules_stay_pure() -> None:
    """The rooms of rules, and those that decide in other rooms, are under the contract that forbids I/O."""
    named = {str(path.relative_to(REPOSITORY / "schwabstream").with_suffix("")) for path in pure_modules()}
    assert {"protocol/codec", "protocol/session", "market/last_values", "market/trading_hours"} <= named
    assert {"streaming/liveness", "streaming/gaps", "consumer/conflation", "auth/tokens", "recording/scrub"} <= named


@pytest.mark.parametrize("path", sorted(pure_modules()), ids=lambda path: path.stem)
def test_rules_read_no_clock(path: Path) -> None:
    """No pure module asks for the time or for chance: both come in as arguments."""
    assert not CLOCKS.search(path.read_text(encoding="utf-8"))


def test_no_folder_is_crowded() -> None:
    """The top level and every room can be read at a glance; the simulator is a program of its own."""
    package = REPOSITORY / "schwabstream"
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in package.rglob("*") if folder.is_dir()}
    assert len(list(package.glob("*.py"))) <= MOST_AT_THE_TOP
    assert {folder.name for folder, size in sizes.items() if size > MOST_IN_A_ROOM} <= {"simulator"}


def test_auth_reads_top_down() -> None:
    """The first lines of ``auth`` name all its modules in an order in which each imports only later ones."""
    room = REPOSITORY / "schwabstream" / "auth"
    order = re.findall(
        r"``(\w+)``", ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    )
    assert sorted(order) == sorted(path.stem for path in room.glob("*.py") if path.stem != "__init__")
    for place, name in enumerate(order):
        text = (room / f"{name}.py").read_text(encoding="utf-8")
        imported = re.findall(r"from schwabstream\.auth(?:\.(\w+) import| import (\w+))", text)
        assert {module or name for module, name in imported} <= set(order[place + 1 :])


def private_attributes(path: Path) -> Iterator[str]:
    """Names with one leading underscore that a module reads from anything but ``self`` and ``cls``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and re.match(r"_(?!_)", node.attr) and node.attr != "_replace":
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not own:
                yield node.attr


def test_private_attributes_of_libraries_are_few_and_listed() -> None:
    """No module reads a private attribute of another's object, except for two of redis-py that ADR 3 lists."""
    package = REPOSITORY / "schwabstream"
    used = {
        (name, str(path.relative_to(package).with_suffix(""))) for path in SOURCES for name in private_attributes(path)
    }
    assert used == set(PRIVATE_ATTRIBUTES.items())
    decision = (REPOSITORY / "docs" / "adr" / "0003-batches-are-transactions.md").read_text(encoding="utf-8")
    rows = [f"| `connection.{name}` | `{module}` |" for name, module in PRIVATE_ATTRIBUTES.items()]
    assert [row for row in rows if row not in decision] == []
    inside = (REPOSITORY / "tests" / "integration" / "test_redis_py_insides.py").read_text(encoding="utf-8")
    assert [name for name in PRIVATE_ATTRIBUTES if f"connection.{name}" not in inside] == []


@pytest.mark.parametrize("library", sorted(LIBRARIES_WITH_KNOWN_INSIDES))
def test_a_library_whose_insides_are_used_has_an_upper_bound(library: str) -> None:
    """Its next untested version is not installed, the one that the tests run with is."""
    requirements = map(Requirement, PROJECT["project"]["dependencies"])
    (bounds,) = [each.specifier for each in requirements if each.name == library]
    pins = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.search(rf"^{re.escape(library)}==([\d.]+)", pins, re.MULTILINE)
    assert pinned is not None
    assert pinned[1] in bounds
    assert any(bound.operator == "<" for bound in bounds)
    next_major = f"{int(pinned[1].partition('.')[0]) + 1}.0"
    assert next_major not in bounds


def test_every_module_that_creates_tasks_is_listed() -> None:
    """The section on the ownership of tasks names the modules that create tasks, and no other."""
    creates = re.compile(
        r"\b(?:create_task|ensure_future|run_coroutine_threadsafe|gather|start_beside)\(|\basyncio\.start_server\("
    )
    package = REPOSITORY / "schwabstream"
    creators = (path for path in SOURCES if creates.search(path.read_text(encoding="utf-8")))
    modules = {str(path.relative_to(package).with_suffix("")) for path in creators}
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Ownership of tasks")[2].partition("\n## ")[0]
    assert {
        name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`([\w/]+)`", row)
    } == modules
