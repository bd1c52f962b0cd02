"""An account, a Redis and a login with which a run would work."""

import json
from pathlib import Path
from typing import Any

import pytest

from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.diagnosis import Issue


@pytest.fixture
def issue(simulator: SchwabSimulator, clean: Path) -> Issue:
    """Store a login of some age."""

    def store(age_s: float = 0.0, mode: int = 0o600, **changes: Any) -> Path:
        path = clean / "tokens" / "schwab_token.json"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(json.dumps(simulator.issue_token(age_s) | changes))
        path.chmod(mode)
        return path

    return store


@pytest.fixture
def good(
    simulator: SchwabSimulator, redis_server: RedisServer, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> SchwabSimulator:
    """Everything as it should be."""
    monkeypatch.setenv("SCHWAB_API_BASE_URL", simulator.base_url)
    monkeypatch.setenv("SCHWAB_CLIENT_ID", simulator.client_id)
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", simulator.client_secret)
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", str(issue()))
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    return simulator


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
