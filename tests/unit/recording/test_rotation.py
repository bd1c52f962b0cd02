"""Files of a recording: private, locked, whole after every write, set aside by date, and never more than asked for."""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from schwabstream.errors import ConfigurationError
from schwabstream.recording.format import Header, encode_header
from schwabstream.recording.rotation import RecordingFile, Rotation, prune, set_aside

BEGAN_US = 1_795_228_666_976_396
ASIDE = "day-20261121T023746976Z.jsonl.zst"


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("texts", "every_s", "largest"),
    [
        ([], float("inf"), float("inf")),
        (["1h"], 3600, float("inf")),
        (["90s"], 90, float("inf")),
        (["1.5 d"], 129_600, float("inf")),
        (["500MB"], float("inf"), 500_000_000),
        (["2gb", "30m"], 1800, 2_000_000_000),
    ],
)
def test_rotation_is_a_time_a_size_or_both(texts: list[str], every_s: float, largest: float) -> None:
    """Units are forgiving of case; nothing given never rotates."""
    rotation = Rotation.parse(texts, 3)
    assert (rotation.every_s, rotation.largest_bytes, rotation.keep) == (every_s, largest, 3)
    assert rotation.splits == bool(texts)


@pytest.mark.parametrize("text", ["", "1", "h", "1 fortnight", "-1h", "0s", "1h30m", "500M B"])
def test_other_rotations_are_refused(text: str) -> None:
    """A text that is neither a time nor a size is exit 2, with an example."""
    with pytest.raises(ConfigurationError, match="neither a time such as 1h nor a size"):
        Rotation.parse([text])


def test_a_recording_is_the_users_alone(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask allows."""
    before = os.umask(0)
    try:
        RecordingFile(tmp_path / "day.zst", BEGAN_US).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "day.zst").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, small_disk: None) -> None:
    """Half a write is taken back, and a smaller one still fits."""
    file = RecordingFile(tmp_path / "day.zst", BEGAN_US)
    file.append(b"a" * 600)
    with pytest.raises(OSError, match="File too large"):
        file.append(b"b" * 600)
    assert (tmp_path / "day.zst").read_bytes() == b"a" * 600
    file.append(b"c" * 300)
    file.close()
    assert (tmp_path / "day.zst").read_bytes() == b"a" * 600 + b"c" * 300


def _record(path: Path) -> None:
    path.write_bytes(encode_header(Header("1", (), (), "UTC", BEGAN_US, part_us=BEGAN_US)))


def test_an_older_recording_is_set_aside_under_its_time(tmp_path: Path) -> None:
    """It is never overwritten; its new name sorts before the old one."""
    path = tmp_path / "day.jsonl.zst"
    _record(path)
    aside = set_aside(path)
    assert aside == tmp_path / ASIDE
    assert not path.exists()
    assert sorted([path.name, aside.name]) == [aside.name, path.name]
    _record(path)
    assert set_aside(path) == tmp_path / ASIDE.replace("976Z", "977Z")


def test_nothing_and_an_empty_file_are_no_obstacle(tmp_path: Path) -> None:
    """There is nothing to set aside."""
    path = tmp_path / "day.zst"
    assert set_aside(path) is None
    path.touch()
    assert set_aside(path) is None
    assert not path.exists()


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    """A file that is not a recording is neither renamed nor overwritten: exit 2."""
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="choose another file, this one is not touched"):
        set_aside(path)
    assert path.read_text() == "mine"


def test_a_recording_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """Two runs must not write one file."""
    path = tmp_path / "day.zst"
    file = RecordingFile(path, BEGAN_US)
    file.append(b"x")
    with pytest.raises(ConfigurationError, match="being recorded by another run"):
        set_aside(path)
    file.close()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """A recording is written to the given path, not where a foreign link leads."""
    (tmp_path / "day.zst").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="exists"):
        RecordingFile(tmp_path / "day.zst", BEGAN_US)
    assert not (tmp_path / "elsewhere").exists()


def test_moving_aside_and_back(tmp_path: Path) -> None:
    """Writing goes on under either name."""
    path = tmp_path / "day.jsonl.zst"
    file = RecordingFile(path, BEGAN_US)
    file.move_aside()
    file.append(b"x")
    assert (tmp_path / ASIDE).read_bytes() == b"x"
    file.move_back()
    file.append(b"y")
    assert path.read_bytes() == b"xy"
    file.discard()
    assert not path.exists()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """Keep counts the file being written; other files are left alone."""
    path = tmp_path / "day.jsonl.zst"
    mine = [f"day-2026112{day}T023746976Z.jsonl.zst" for day in range(5)]
    others = ["day-20261121T023746976Z.zst", "day-notes.jsonl.zst", "monday-20261121T023746976Z.jsonl.zst"]
    for name in (*mine, *others):
        (tmp_path / name).touch()
    prune(path, None)
    assert len(list(tmp_path.glob("*.zst"))) == 8
    prune(path, 3)
    assert sorted(entry.name for entry in tmp_path.glob("*.zst")) == sorted([*mine[-2:], *others])
    prune(path, 1)
    assert sorted(entry.name for entry in tmp_path.glob("*.zst")) == sorted(others)


def test_a_name_without_suffix_or_hidden(tmp_path: Path) -> None:
    """The time goes before the first dot that is not the leading one."""
    for name, aside in (("day", "day-20261121T023746976Z"), (".day.zst", ".day-20261121T023746976Z.zst")):
        _record(tmp_path / name)
        assert set_aside(tmp_path / name) == tmp_path / aside
