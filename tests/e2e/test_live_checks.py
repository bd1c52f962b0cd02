"""The live checks run against the simulator, so that they are proven before they meet a real account."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from schwabstream.simulator import SchwabSimulator

LIVE = Path(__file__).parents[1] / "live"


def run_live(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """The live checks as their own run, in this environment and no other."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(LIVE), *options]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=LIVE.parents[1], timeout=110, check=False
    )


@pytest.fixture
def plain_environment(tmp_path: Path) -> dict[str, str]:
    """An environment without an account, and a place for recordings."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SCHWABSTREAM_LIVE_RECORDINGS": str(tmp_path / "kept")}


async def test_the_live_checks_pass_on_the_simulator(tmp_path: Path, plain_environment: dict[str, str]) -> None:
    """Each live check passes against a faithful Schwab, and leaves recordings without the token."""
    async with SchwabSimulator() as simulator:
        token = simulator.issue_token()
        (tmp_path / "token.json").write_text(json.dumps(token))
        plain_environment |= {
            "SCHWAB_API_BASE_URL": simulator.base_url,
            "SCHWAB_CLIENT_ID": simulator.client_id,
            "SCHWAB_CLIENT_SECRET": simulator.client_secret,
            "SCHWAB_TOKEN_PATH": str(tmp_path / "token.json"),
        }
        run = await asyncio.to_thread(run_live, plain_environment, "--live")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "5 passed" in run.stdout
    recordings = list((tmp_path / "kept").iterdir())
    assert {file.name for file in recordings} >= {"level-one.zst", "level-two.zst", "futures-book.zst"}


def test_without_an_account_they_are_skipped_with_the_reason(plain_environment: dict[str, str]) -> None:
    """Without --live or without credentials every live check is skipped, with the reason."""
    assert "run with --live" in run_live(plain_environment).stdout
    assert "SCHWAB_CLIENT_ID, SCHWAB_CLIENT_SECRET, SCHWAB_TOKEN_PATH not set" in (
        run_live(plain_environment, "--live").stdout
    )
