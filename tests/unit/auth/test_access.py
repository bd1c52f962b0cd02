"""A login that cannot be written is kept in memory, and written when there is space."""

import dataclasses
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from schwabstream.auth.access import TokenKeeper
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from tests.support.full_disk import full_disk

NOW = 1_800_000_000.0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")


def login(number: int, *, login_at: float = NOW) -> TokenSet:
    """A login after so many refreshes; each refresh brought a new refresh token."""
    return TokenSet(f"I0.access{number}@", f"R0.refresh{number}@", NOW + number, login_at, {"scope": "api"})


@pytest.fixture
def store() -> TokenStore:
    """A token file that holds login 1."""
    store = TokenStore(Path("tokens/token.json"))
    store.save(login(1))
    return store


@pytest.fixture
def keeper(store: TokenStore) -> TokenKeeper:
    """A keeper that has seen what the file holds."""
    keeper = TokenKeeper(store)
    assert keeper.load() == login(1)
    return keeper


def test_without_trouble_the_file_has_the_login(keeper: TokenKeeper, store: TokenStore) -> None:
    """A kept login is in the file at once, and nothing is logged."""
    with capture_logs() as logs:
        keeper.keep(login(2))
    assert (store.load(), keeper.load(), keeper.unsaved) == (login(2), login(2), None)
    assert logs == []


def test_a_login_that_cannot_be_written_is_used_from_memory(keeper: TokenKeeper, store: TokenStore) -> None:
    """On a full disk the newest login is the one in memory, however often it changes; that is logged once."""
    with capture_logs() as logs, full_disk():
        for number in (2, 3, 4):
            keeper.keep(login(number))
            assert keeper.load() == login(number)
    assert store.load() == login(1)
    assert "free some space" in str(keeper.unsaved)
    assert [(line["log_level"], "memory" in line["event"]) for line in logs] == [("warning", True)]
    assert "free some space" in logs[0]["reason"]


def test_it_is_written_as_soon_as_there_is_space(keeper: TokenKeeper, store: TokenStore) -> None:
    """The next look at the file writes what could not be written, and that is logged once."""
    with full_disk():
        keeper.keep(login(2))
    with capture_logs() as logs:
        assert keeper.load() == login(2)
        assert keeper.load() == login(2)
    assert (store.load(), keeper.unsaved) == (login(2), None)
    assert [line["log_level"] for line in logs] == ["info"]


@pytest.mark.parametrize("theirs", [login(9), login(0, login_at=NOW + 5), login(0, login_at=0)])
def test_what_somebody_else_wrote_since_is_newer(keeper: TokenKeeper, store: TokenStore, theirs: TokenSet) -> None:
    """A login or a refresh of another process that did get written counts, and is not overwritten."""
    with full_disk():
        keeper.keep(login(2))
    TokenStore(store.path).save(theirs)
    assert (keeper.load(), keeper.unsaved) == (store.load(), None)
    assert store.load() == (theirs if theirs.login_at else dataclasses.replace(theirs, login_at=None))


def test_a_logout_elsewhere_is_not_undone(keeper: TokenKeeper, store: TokenStore) -> None:
    """When the file was taken away the login in memory goes, too."""
    with full_disk():
        keeper.keep(login(2))
    store.forget()
    assert (keeper.load(), keeper.unsaved) == (None, None)
    assert store.load() is None


def test_a_first_login_survives_a_full_disk_too() -> None:
    """A login that began with SCHWAB_REFRESH_TOKEN has no file yet, and is kept all the same."""
    store = TokenStore(Path("tokens/token.json"))
    keeper = TokenKeeper(store)
    assert keeper.load() is None
    with full_disk():
        keeper.keep(login(1))
        assert keeper.load() == login(1)
    assert keeper.load() == login(1)
    assert store.load() == login(1)
