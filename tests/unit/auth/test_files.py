"""A private file is replaced whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from schwabstream.auth import files


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_from_the_start(tmp_path: Path) -> None:
    """Whatever the umask, the file is 0600 and new directories are 0700."""
    before = os.umask(0)
    try:
        files.make_private_directory(tmp_path / "a" / "b")
        files.replace_file(tmp_path / "a" / "b" / "f", b"x")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b"), mode(tmp_path / "a" / "b" / "f")) == (0o700, 0o700, 0o600)


def test_a_failed_replacement_leaves_the_old_content_and_no_temporary(tmp_path: Path) -> None:
    """When the rename cannot happen, nothing has changed."""
    target = tmp_path / "f"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(OSError, match=r"directory|not empty"):
        files.replace_file(target, b"x")
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != ".env"] == ["f"]


def test_a_directory_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    """A directory for tokens loses other users' access, once."""
    directory = tmp_path / ".tokens"
    directory.mkdir(mode=0o755)
    assert files.close_directory(directory)
    assert mode(directory) == 0o700
    assert not files.close_directory(directory)


def test_the_working_directory_keeps_its_mode(tmp_path: Path) -> None:
    """A token file kept right where one works does not lock others out of that place."""
    before = mode(tmp_path)
    tmp_path.chmod(0o755)
    assert not files.close_directory(tmp_path)
    assert not files.close_directory(tmp_path.parent)
    assert mode(tmp_path) == 0o755
    tmp_path.chmod(before)


def test_reading_tightens_the_mode_and_reports_it(tmp_path: Path) -> None:
    """A file that others could read is tightened while it is read."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    path.chmod(0o644)
    assert files.read_private(path) == (b"x", True)
    assert mode(path) == 0o600
    assert files.read_private(path) == (b"x", False)
    assert files.read_private(tmp_path / "none") is None


def test_a_path_that_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    """A directory or a named pipe is an error, never a wait."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(IsADirectoryError):
            files.read_private(path)


def test_files_set_aside_never_overwrite_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file set aside gets a name of its own, with and without hard links."""
    path = tmp_path / "f"
    for content in (b"1", b"2", b"3", b"4"):
        if content == b"3":
            monkeypatch.setattr(os, "link", _no_links)
        files.replace_file(path, content)
        files.keep_aside(path, "old")
    assert sorted(aside.read_bytes() for aside in tmp_path.glob("f.old*")) == [b"1", b"2", b"3", b"4"]


def test_a_name_for_setting_aside_is_found_or_refused(tmp_path: Path) -> None:
    """When every name is taken nothing is overwritten."""
    files.replace_file(tmp_path / "f", b"x")
    files.keep_aside(tmp_path / "f", "old")
    with pytest.raises(FileExistsError):
        files.keep_aside(tmp_path / "f", "old", most_names=1)


def test_a_file_is_not_taken_for_a_directory(tmp_path: Path) -> None:
    """A file where a directory should be is refused, and its mode left alone."""
    (tmp_path / "f").touch(mode=0o644)
    with pytest.raises(NotADirectoryError):
        files.make_private_directory(tmp_path / "f")
    assert mode(tmp_path / "f") == 0o644


def _no_links(*_: object) -> None:
    raise PermissionError("no hard links here")
