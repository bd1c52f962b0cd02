"""What holds for all tests: each module has its file, and nothing of ours is patched."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "schwabstream"
KINDS = ("unit", "integration", "e2e")
LINES = 100
"""From this length on a module must have its test file."""
PATCHES = {f"monkeypatch.{name}" for name in ("setattr", "delattr", "setitem", "delitem")}


def test_every_module_has_its_test_file() -> None:
    """A module of 100 lines or more has ``test_<module>.py`` in the same room of unit, integration or e2e.

    The test file of a folder's ``__init__`` has the folder's name.
    """
    without = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE)
        if path.stem == "__init__" and path.parent != PACKAGE:
            module = module.parent.with_suffix(".py")
        files = (TESTS / kind / module.parent / f"test_{module.name}" for kind in KINDS)
        if len(path.read_text(encoding="utf-8").splitlines()) >= LINES and not any(file.exists() for file in files):
            without.append(str(module))
    assert without == []


def patched(tree: ast.Module) -> Iterator[str]:
    """What a test file changes with ``monkeypatch`` and is not a foreign module, or named in a string as one."""
    foreign = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            foreign |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            foreign |= {alias.asname or alias.name for alias in node.names if not is_ours(str(node.module))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PATCHES:
            target = ast.unparse(node.args[0])
            quoted = target.strip("'")
            if is_ours(quoted) if quoted != target else target.partition(".")[0] not in foreign:
                yield f"line {node.lineno}: {target}"


def is_ours(name: str) -> bool:
    """Whether a dotted name begins with a package of this repository."""
    return name.partition(".")[0] in {"schwabstream", "tests"}


def test_nothing_of_ours_is_patched() -> None:
    """``monkeypatch`` changes foreign modules only; a test passes ours what it needs as arguments."""
    found = {}
    for path in sorted(TESTS.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = list(patched(ast.parse(text)))
        if path != Path(__file__) and "unittest.mock" in text:
            lines.append("unittest.mock")
        if lines:
            found[str(path.relative_to(TESTS))] = lines
    assert found == {}
