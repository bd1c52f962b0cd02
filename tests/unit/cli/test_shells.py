"""Completion is installed without a change of anything else in the user's files."""

from pathlib import Path

import pytest

from schwabstream.cli.shells import install


@pytest.mark.parametrize(("shell", "startup"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
@pytest.mark.parametrize("before", [b"", b"PS1='\xa3 '", b"alias l=ls\n", b"alias l=ls  \n\n\n"])
def test_the_startup_file_gets_one_line_more(tmp_path: Path, shell: str, startup: str, before: bytes) -> None:
    """Whatever its encoding and its blank lines, the file keeps every byte; the new line has a line of its own."""
    (tmp_path / startup).write_bytes(before)
    install(shell, tmp_path)
    install(shell, tmp_path)
    after = (tmp_path / startup).read_bytes()
    assert after.startswith(before)
    added = after.removeprefix(before)
    assert added.strip().count(b"\n") == 0
    assert added.startswith(b"\n") == bool(before and not before.endswith(b"\n"))
    assert added.endswith(b"\n")


def test_a_startup_file_that_typer_has_changed_stays_as_it_is(tmp_path: Path) -> None:
    """Typer loads the same file by its whole path."""
    before = f"source '{tmp_path}/.bash_completions/schwabstream.sh'\n"
    (tmp_path / ".bashrc").write_text(before)
    install("bash", tmp_path)
    assert (tmp_path / ".bashrc").read_text() == before
