"""The token file: whole or not at all, locked, repaired, upgraded, never deleted."""

import asyncio
import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from schwabstream.auth.store import SNAPSHOTS_KEPT, TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import TokenFileError

NOW = 1_800_000_000.0
ISO = datetime.fromtimestamp(NOW, UTC).isoformat()


def login(number: int = 1, **changes: Any) -> TokenSet:
    """A login whose access token has a number."""
    return TokenSet(f"I0.access{number}@", "R0.refresh@", NOW + number, NOW, {"scope": "api", **changes})


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the token file goes."""
    return tmp_path / ".tokens" / "schwab_token.json"


@pytest.fixture
def store(path: Path) -> TokenStore:
    """The store under test."""
    return TokenStore(path)


def test_nothing_is_touched_before_there_is_a_login(store: TokenStore, path: Path) -> None:
    """Loading where nothing is stored returns None and creates nothing."""
    assert store.load() is None
    assert store.snapshots() == []
    assert store.forget() is None
    assert not path.parent.exists()


def test_a_login_comes_back_as_it_was_saved(store: TokenStore, path: Path) -> None:
    """The file has schwab-py's format, mode 0600, in a directory 0700, and reads back equal."""
    store.save(login(id_token="e.y.J"))
    assert store.load() == login(id_token="e.y.J")
    content = json.loads(path.read_bytes())
    assert content["creation_timestamp"] == NOW
    assert content["token"]["refresh_token"] == "R0.refresh@"
    assert (mode(path), mode(path.parent), mode(store.snapshots_directory)) == (0o600, 0o700, 0o700)
    assert [entry for entry in path.parent.iterdir() if entry.suffix == ".tmp"] == []


def test_each_rotation_leaves_a_snapshot_and_ten_are_kept(path: Path) -> None:
    """The newest ten snapshots stay, private, and the newest equals the file."""
    for number in range(14):
        TokenStore(path, clock=partial(float, NOW + number)).save(login(number))
    kept = TokenStore(path).snapshots()
    assert len(kept) == SNAPSHOTS_KEPT
    assert kept[0].read_bytes() == path.read_bytes()
    assert {mode(snapshot) for snapshot in kept} == {0o600}


def test_a_symlinked_path_is_followed_before_it_is_replaced(tmp_path: Path) -> None:
    """Writing through a link keeps the link and writes where it points to."""
    target = tmp_path / "elsewhere" / "token.json"
    target.parent.mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(target)
    TokenStore(link).save(login())
    assert link.is_symlink()
    assert TokenStore(target).load() == login()


def test_a_file_open_to_others_is_tightened_with_a_warning(store: TokenStore, path: Path) -> None:
    """A token file that others can read is made private, with a warning."""
    store.save(login())
    path.chmod(0o644)
    with capture_logs() as logs:
        store.load()
    assert mode(path) == 0o600
    assert [entry["log_level"] for entry in logs] == ["warning"]


DAMAGES = [b"", b"   ", b"\0" * 300, b'{"creation_ti', b"not json", b"\xff\xfe\x00", b"[1]", b"{}", b'{"token":5}']


@pytest.mark.parametrize("damage", [*DAMAGES, b"[" * 100_000, b"SQLite format 3\0garbage"])
def test_a_damaged_file_is_set_aside_and_the_newest_good_snapshot_takes_its_place(
    store: TokenStore, path: Path, damage: bytes
) -> None:
    """Whatever the damage, the login comes back from the snapshots, the damaged bytes stay, a warning is given."""
    store.save(login(1))
    store.save(login(2))
    path.write_bytes(damage)
    with capture_logs() as logs:
        assert store.load() == login(2)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert store.load() == login(2)
    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == damage
    assert mode(path) == 0o600


def test_a_damaged_snapshot_is_passed_over(store: TokenStore, path: Path) -> None:
    """Recovery takes the newest snapshot that is good."""
    store.save(login(1))
    store.save(login(2))
    store.snapshots()[0].write_bytes(b"{")
    path.write_bytes(b"{")
    assert store.load() == login(1)


def test_damage_without_a_snapshot_needs_a_login_and_deletes_nothing(store: TokenStore, path: Path) -> None:
    """With nothing to restore, the damaged file is kept aside and there is no login."""
    path.parent.mkdir()
    path.write_bytes(b"{")
    assert store.load() is None
    assert not path.exists()
    assert [aside.read_bytes() for aside in path.parent.glob("*.corrupt-*")] == [b"{"]


def test_a_forgotten_login_stays_as_a_snapshot_and_does_not_come_back(store: TokenStore, path: Path) -> None:
    """Forgetting removes the login and keeps its content as a snapshot."""
    store.save(login())
    content = path.read_bytes()
    kept = store.forget()
    assert kept is not None
    assert kept.read_bytes() == content
    assert store.load() is None


def schwabdev_database(path: Path, *, secret: str = "R0.refresh@", rows: int = 1) -> None:
    """Write a token database as Schwabdev does."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE schwabdev (access_token_issued TEXT NOT NULL, refresh_token_issued TEXT NOT NULL, "
            "access_token TEXT NOT NULL, refresh_token TEXT NOT NULL, id_token TEXT NOT NULL, expires_in INTEGER, "
            "token_type TEXT, scope TEXT)"
        )
        row = (ISO, ISO, "I0.access1@", secret, "e.y.J", 1800, "Bearer", "api")
        connection.executemany("INSERT INTO schwabdev VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [row] * rows)


BARE = {"access_token": "I0.access1@", "refresh_token": "R0.refresh@", "expires_at": NOW + 9, "scope": "api"}
OLD_FILES: dict[str, Any] = {
    "bare": BARE,
    "flat": {"access_token": "I0.access1@", "refresh_token": "R0.refresh@", "expires_at": NOW},
    "wrapped": {"token": BARE},
    "schwabdev": {"access_token_issued": ISO, "refresh_token_issued": ISO, "token_dictionary": BARE},
    "database": None,
}


def plant(path: Path, name: str) -> bytes:
    """Write a token file of an older format and return its bytes."""
    path.parent.mkdir(exist_ok=True)
    if OLD_FILES[name] is None:
        schwabdev_database(path)
    else:
        path.write_text(json.dumps(OLD_FILES[name]))
    return path.read_bytes()


@pytest.mark.parametrize("name", OLD_FILES)
def test_an_older_format_is_upgraded_in_place_and_kept(store: TokenStore, path: Path, name: str) -> None:
    """Each older format becomes ours; the original is kept beside it, unchanged; its age is kept or unknown."""
    original = plant(path, name)
    with capture_logs() as logs:
        tokens = store.load()
    assert tokens is not None
    assert tokens.refresh_token == "R0.refresh@"
    assert json.loads(path.read_bytes())["token"]["access_token"] == "I0.access1@"
    assert [aside.read_bytes() for aside in path.parent.glob("*.legacy-*")] == [original]
    logged = next(entry for entry in logs if "upgraded" in entry["event"])
    assert ("unknown" in logged["login_age"]) == (tokens.login_at is None) == (name in ("bare", "flat", "wrapped"))
    assert store.load() == tokens


@pytest.mark.parametrize("name", OLD_FILES)
def test_a_file_under_another_name_is_left_alone(store: TokenStore, path: Path, name: str) -> None:
    """Only the file that SCHWAB_TOKEN_PATH names is read: another one beside it is neither used nor renamed."""
    original = plant(path.with_name("schwab_tokens.json"), name)
    assert store.load() is None
    assert path.with_name("schwab_tokens.json").read_bytes() == original
    assert TokenStore(path.with_name("schwab_tokens.json")).load() is not None


@pytest.mark.parametrize(("secret", "rows"), [("enc:x", 1), ("R0.refresh@", 0)])
def test_a_database_without_a_readable_login_is_set_aside(
    store: TokenStore, path: Path, secret: str, rows: int
) -> None:
    """A database of Schwabdev that is encrypted or empty holds no login, and is kept unchanged."""
    path.parent.mkdir()
    schwabdev_database(path, secret=secret, rows=rows)
    original = path.read_bytes()
    assert store.load() is None
    assert [aside.read_bytes() for aside in path.parent.glob("*.corrupt-*")] == [original]


def test_a_killed_writers_whole_temporary_is_taken_over(store: TokenStore, path: Path) -> None:
    """What was written but not yet renamed may hold the only copy of a token: it is used, not swept."""
    store.save(login(1))
    TokenStore(path.with_name("scratch.json")).save(login(2))
    path.with_name("scratch.json").rename(path.with_name(f".{path.name}.99.abcd.tmp"))
    with store.lock():
        assert store.load() == login(2)
    assert store.load() == login(2)


@pytest.mark.parametrize("content", [b"", b'{"creation', None])
def test_a_killed_writers_other_temporaries_are_swept(store: TokenStore, path: Path, content: bytes | None) -> None:
    """Torn or outdated temporaries of ours are gone after the next write."""
    store.save(login(5))
    left = path.with_name(f".{path.name}.99.abcd.tmp")
    left.write_bytes(path.read_bytes() if content is None else content)
    snapshot = store.snapshots_directory / f".{path.stem}-x.json.99.abcd.tmp"
    snapshot.write_bytes(b"x")
    for temporary in (left, snapshot):
        temporary.chmod(0o600)
    store.save(login(6))
    assert not left.exists()
    assert list(path.parent.rglob("*.tmp")) == []
    assert store.load() == login(6)


def planted(path: Path, tokens: TokenSet) -> Path:
    """A whole temporary beside the token file, as a killed writer would have left it."""
    scratch = path.with_name("scratch.json")
    TokenStore(scratch).save(tokens)
    return scratch.rename(path.with_name(f".{path.name}.1.x.tmp"))


def make_readable(temporary: Path) -> None:
    """As a program with a usual umask would have written it."""
    temporary.chmod(0o644)


def give_away(temporary: Path) -> None:
    """Written as if by another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(temporary, 65534, 65534)


def make_a_link(temporary: Path) -> None:
    """A link to a file of ours: its maker chose the target."""
    temporary.symlink_to(temporary.rename(temporary.with_name("elsewhere.json")))


@pytest.mark.parametrize("change", [make_readable, give_away, make_a_link])
def test_a_planted_temporary_is_left_alone(store: TokenStore, path: Path, change: Callable[[Path], None]) -> None:
    """Only a regular file of our own user with mode 0600 is a temporary of ours: others are neither used nor swept."""
    store.save(login(1))
    temporary = planted(path, login(5))
    change(temporary)
    before = temporary.lstat()
    with store.lock():
        assert store.load() == login(1)
    store.save(login(2))
    assert store.load() == login(2)
    assert (mode(path), path.stat().st_uid) == (0o600, os.geteuid())
    assert (temporary.lstat().st_mode, temporary.lstat().st_ino) == (before.st_mode, before.st_ino)


def test_a_file_of_nobody_we_know_is_not_swept(store: TokenStore, path: Path) -> None:
    """Only temporaries of this very file are ours to sweep."""
    store.save(login())
    other = path.with_name(".other.json.99.abcd.tmp")
    other.touch(mode=0o600)
    store.save(login(2))
    assert other.exists()


async def _lock_async(store: TokenStore) -> None:
    async with store.lock_async():
        pass


def test_the_lock_is_private_and_can_be_taken_again(store: TokenStore, path: Path) -> None:
    """The lock file is as private as the token, and saving inside the lock works."""
    with store.lock():
        store.save(login())
    asyncio.run(_lock_async(store))
    assert mode(path.with_name(path.name + ".lock")) == 0o600


def test_a_path_that_is_a_directory_is_explained(tmp_path: Path) -> None:
    """A directory where the file should be is one clear error, for reading and writing."""
    store = TokenStore(tmp_path)
    with pytest.raises(TokenFileError, match="must name a file"):
        store.load()
    with pytest.raises(TokenFileError, match="must name a file"):
        store.save(login())
    with pytest.raises(TokenFileError, match="must name a file"):
        TokenStore(tmp_path / ".env" / "token.json").save(login())


def test_a_loop_of_links_is_explained(tmp_path: Path) -> None:
    """Links that form a loop are one clear error."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(TokenFileError, match="form a loop"):
        TokenStore(tmp_path / "a").load()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_explained_and_the_old_token_stays(
    store: TokenStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full the old login stays readable, no part of the new one stays, and the error gives advice."""
    store.save(login(1))
    real = os.open

    def open_on_a_full_disk(name: Any, flags: int, *rest: int, **more: Any) -> int:
        descriptor = real(name, flags, *rest, **more)
        if not str(name).endswith(".tmp"):
            return descriptor
        os.close(descriptor)
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", open_on_a_full_disk)
    with pytest.raises(TokenFileError, match="free some space"):
        store.save(login(2))
    monkeypatch.undo()
    assert store.load() == login(1)
    assert list(path.parent.glob("*.tmp")) == []


def test_a_failing_snapshot_does_not_fail_the_save(store: TokenStore) -> None:
    """The login counts as saved when only its snapshot could not be written; a warning is logged."""
    store.save(login(1))
    shutil.rmtree(store.snapshots_directory)
    store.snapshots_directory.write_text("in the way")
    with capture_logs() as logs:
        store.save(login(2))
    assert store.load() == login(2)
    assert any("no snapshot" in entry["event"] for entry in logs)


def test_an_encrypted_store_shows_no_token_on_disk(path: Path) -> None:
    """With a key, neither the file nor a snapshot holds a readable token, and it reads back with the same key."""
    key = Fernet.generate_key().decode()
    store = TokenStore(path, key=key)
    store.save(login())
    assert store.encrypted
    assert TokenStore(path, key=key).load() == login()
    for file in (path, *store.snapshots()):
        assert b"access1" not in file.read_bytes()


def test_a_wrong_or_missing_key_is_an_error_and_nothing_is_set_aside(path: Path) -> None:
    """A wrong key is an error about the key; the file is not taken for damaged."""
    TokenStore(path, key=Fernet.generate_key().decode()).save(login())
    content = path.read_bytes()
    with pytest.raises(TokenFileError, match="a key other than"):
        TokenStore(path, key=Fernet.generate_key().decode()).load()
    with pytest.raises(TokenFileError, match="set SCHWAB_TOKEN_KEY"):
        TokenStore(path).load()
    assert path.read_bytes() == content
    assert list(path.parent.glob("*.corrupt-*")) == []


def test_a_plain_file_is_read_with_a_key_and_encrypted_from_then_on(path: Path) -> None:
    """Switching encryption on needs no new login, and leaves no plain copy behind."""
    for number in (1, 2):
        TokenStore(path).save(login(number))
    store = TokenStore(path, key=Fernet.generate_key().decode())
    assert store.load() == login(2)
    for file in (path, *store.snapshots()):
        assert b"refresh@" not in file.read_bytes()
    assert store.load() == login(2)
