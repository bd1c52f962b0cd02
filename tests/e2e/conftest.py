"""What all end-to-end tests share."""

import json
from pathlib import Path

import pytest

from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the programs without coverage: measuring costs a third of their CPU, and the other tests cover the code."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def pointed(simulator: SchwabSimulator, redis_server: RedisServer, clean: Path) -> dict[str, str]:
    """The settings of a run that is logged in at the simulator and uses this test's Redis."""
    token = clean / "tokens" / "schwab_token.json"
    token.parent.mkdir(mode=0o700)
    token.write_text(json.dumps(simulator.issue_token()))
    token.chmod(0o600)
    return {
        "SCHWAB_API_BASE_URL": simulator.base_url,
        "SCHWAB_CLIENT_ID": simulator.client_id,
        "SCHWAB_CLIENT_SECRET": simulator.client_secret,
        "SCHWAB_TOKEN_PATH": str(token),
        "REDIS_URL": redis_server.url,
    }
