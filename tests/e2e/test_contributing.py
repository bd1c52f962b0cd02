"""CONTRIBUTING leads through a first change: its steps work, in their order, in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as a contributor has it: a clone with its virtual environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    place = tmp_path / "copy"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    subprocess.run(["git", "init", "-q"], cwd=place, check=True)
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    (place / ".venv").symlink_to(sys.prefix)
    return place


@pytest.mark.timeout(300)
def test_the_first_change_can_be_followed(copy: Path) -> None:
    """The new test fails for the reason the page names, passes after the change, and the commit holds both files."""
    person = {f"GIT_{who}_{what}": "a.contributor" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    environment = {**kept, **person, "PYTHONPATH": str(copy)}

    def type_in(text: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-euo", "pipefail", "-c", text]
        return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)

    def succeed(text: str) -> str:
        done = type_in(text)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    succeed("git commit -q -m clone")
    branch, test, see, check, commit = re.findall(r"<!-- run -->\n```sh\n(.+?)```", PAGE, re.DOTALL)
    (change,) = re.findall(r"<!-- run -->\n```python\n(.+?)```", PAGE, re.DOTALL)
    succeed(branch)
    succeed(test)
    failed = type_in(see)
    assert (failed.returncode, "KeyError: 'MCD'" in failed.stdout) == (1, True), failed.stdout + failed.stderr
    source = copy / "schwabstream" / "protocol" / "futures.py"
    (line,) = re.findall(r'^ +"M6E": .+\n', source.read_text(), re.MULTILINE)
    source.write_text(source.read_text().replace(line, line + change))
    succeed(check)
    succeed(commit)
    changed = succeed("git show --name-only --format=").split()
    assert changed == ["schwabstream/protocol/futures.py", "tests/unit/protocol/test_futures.py"]
