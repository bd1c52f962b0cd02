"""The tests hold to their own rules: how they are run, where they are, and what a unit test may use."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARALLEL = "-n 4 --dist worksteal"


def test_only_nox_and_the_readme_run_tests_in_parallel() -> None:
    """A plain ``pytest`` runs in one process, for --pdb and -s; the README's command and nox run four."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert not {"-n", "--numprocesses", "--dist"} & set(options["addopts"])
    assert f".venv/bin/pytest {PARALLEL}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    words = ", ".join(f'"{word}"' for word in PARALLEL.split())
    assert f"PARALLEL = ({words})" in (ROOT / "noxfile.py").read_text(encoding="utf-8")
