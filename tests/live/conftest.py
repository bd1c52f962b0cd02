"""Live checks run with a real account's environment, only with ``--live``, and write nothing but recordings."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import open_store
from schwabstream.settings import Settings, load_settings

# Read once, before any fixture cleans the environment; the developer's .env is never looked at.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name.startswith("SCHWAB_")}
_NEEDED = ("SCHWAB_CLIENT_ID", "SCHWAB_CLIENT_SECRET", "SCHWAB_TOKEN_PATH")
_RECORDINGS = Path(os.environ.get("SCHWABSTREAM_LIVE_RECORDINGS", "live-recordings")).resolve()


@pytest.fixture(autouse=True)
def needs_an_account(request: pytest.FixtureRequest) -> None:
    """Skip without ``--live`` or without credentials, with the reason."""
    if not request.config.getoption("--live"):
        pytest.skip("live check: run with --live and a real account's environment")
    if absent := [name for name in _NEEDED if not _ENVIRONMENT.get(name)]:
        pytest.skip(f"live check: {', '.join(absent)} not set in the environment")


@pytest.fixture
def live_settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The account's settings, from the environment alone."""
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
async def auth(live_settings: Settings) -> AsyncIterator[SchwabAuthClient]:
    """The account's login."""
    async with SchwabAuthClient(live_settings, open_store(live_settings)) as client:
        yield client


@pytest.fixture
def recordings() -> Path:
    """Where the scrubbed recordings go: facts for docs/protocol.md."""
    _RECORDINGS.mkdir(parents=True, exist_ok=True)
    return _RECORDINGS
