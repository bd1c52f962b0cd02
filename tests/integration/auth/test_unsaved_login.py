"""A command that ends with a login it could not save reports the loss: Schwab may have ended the login in the file."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from schwabstream.auth.store import open_store
from schwabstream.auth.tokens import TokenSet
from schwabstream.commands.login import Prompt, log_in, refresh
from schwabstream.errors import TokenFileError
from schwabstream.settings import Settings, load_settings
from schwabstream.simulator import SchwabSimulator
from tests.support.full_disk import full_disk

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

LOST = "the new login could not be saved"


@pytest.fixture
async def schwab() -> AsyncIterator[SchwabSimulator]:
    """A Schwab that ends a refresh token with its first use and hands out another."""
    async with SchwabSimulator() as simulator:
        simulator.faults.rotate_refresh_token = True
        yield simulator


@pytest.fixture
def settings(schwab: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that point to the simulator, with a stored login whose access token has expired."""
    monkeypatch.setenv("SCHWAB_CLIENT_ID", schwab.client_id)
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", schwab.client_secret)
    monkeypatch.setenv("SCHWAB_API_BASE_URL", schwab.base_url)
    settings = load_settings()
    login = schwab.issue_token()
    open_store(settings).save(TokenSet.from_file({**login, "token": {**login["token"], "expires_at": 0}}))
    return settings


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start programs without coverage, which cannot write its file either, and would report that."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


async def quote_on_a_full_disk(redis_url: str) -> tuple[int, str, str]:
    """Run ``quote --once`` in a process that can write to no file: exit code, output, messages."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schwabstream", "quote", "AAPL", "--once", "--json", "--redis", redis_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    output, messages = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode(), messages.decode()


async def test_a_quote_is_printed_and_the_lost_login_reported(settings: Settings, redis_server: RedisServer) -> None:
    """``quote --once`` still prints its data, then names the token file and the next step, and exits 7."""
    code, output, messages = await quote_on_a_full_disk(redis_server.url)
    last = messages.splitlines()[-1]
    assert (code, '"symbol":"AAPL"' in output) == (TokenFileError.exit_code, True)
    assert last.startswith(f"schwabstream: {LOST}")
    assert last.endswith("log in: schwabstream auth login")
    assert str(settings.schwab_token_path.resolve()) in last
    assert messages.count("could not be saved") == 1


async def test_where_schwab_keeps_the_refresh_token_nothing_is_lost(
    schwab: SchwabSimulator, settings: Settings, redis_server: RedisServer
) -> None:
    """When the login in the file still works, a full disk costs the quote a warning, not its exit code."""
    schwab.faults.rotate_refresh_token = False
    code, output, messages = await quote_on_a_full_disk(redis_server.url)
    assert (code, '"symbol":"AAPL"' in output) == (0, True)
    assert "in memory" in messages
    assert LOST not in messages


async def test_a_disk_that_fills_up_during_a_refresh(schwab: SchwabSimulator, settings: Settings) -> None:
    """``auth refresh`` fails with the loss when the disk fills up after Schwab was asked."""
    schwab.faults.token_delay_s = 0.2
    running = asyncio.create_task(refresh(settings))
    await schwab.until(lambda simulator: simulator.received.refreshes == 1)
    with full_disk(), pytest.raises(TokenFileError, match=LOST) as lost:
        await running
    assert "free some space" in str(lost.value)
    assert "schwabstream auth login" in str(lost.value)


async def test_a_login_that_was_good_until_it_was_used(schwab: SchwabSimulator, settings: Settings) -> None:
    """``auth login`` never reports a good login when the refresh that proved it could not be saved."""
    prompt = Prompt(show=print, read_line=str, read_secret=str, open_browser=lambda _: False)
    with full_disk(), pytest.raises(TokenFileError, match=LOST):
        await log_in(settings, prompt)
