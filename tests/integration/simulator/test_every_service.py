"""One program for schwab-py and schwaby, unmodified but for the address: all 13 services and the REST calls."""

import asyncio
import json
import subprocess
import sys
import time
import venv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from schwabstream.protocol.fields import Service
from schwabstream.simulator import Faults, SchwabSimulator
from tests.support import every_service

LIMIT_S = 60.0
UNSERVED = {Service.ADMIN, Service.FUTURES_BOOK}


@pytest.fixture
async def simulator() -> AsyncIterator[SchwabSimulator]:
    """A fast market in which a minute takes two seconds, so that the charts have bars."""
    began = time.time()
    faults = Faults(changes_per_s=20, books_per_s=20, access_token_life_s=86_400)
    async with SchwabSimulator(clock=lambda: began + 30 * (time.time() - began), faults=faults) as it:
        yield it


async def run(python: str, library: str, simulator: SchwabSimulator, folder: Path) -> dict[str, Any]:
    """What the program printed."""
    token_file = folder / "token.json"
    token_file.write_text(json.dumps(simulator.issue_token()))
    arguments = (library, simulator.base_url, str(token_file), simulator.client_id, simulator.client_secret)
    process = await asyncio.create_subprocess_exec(
        python,
        every_service.__file__,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        printed, problems = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, problems.decode()
    return dict(json.loads(printed))


def check(found: dict[str, Any]) -> None:
    """Every service delivered under the library's labels, and every call answered with what its users look for."""
    entries, answers = found["entries"], found["answers"]
    assert set(entries) == set(Service) - UNSERVED
    for service, (first, *_) in entries.items():
        assert not [name for name in first if name.isdigit()], service
    assert entries["LEVELONE_OPTIONS"][0]["DELTA"] > 0
    assert len(entries["SCREENER_EQUITY"][0]["ITEMS"]) == 10
    messages = [entry["MESSAGE_TYPE"] for entry in entries["ACCT_ACTIVITY"]]
    assert messages == ["SUBSCRIBED", "OrderCreated"]
    assert answers["numbers"][0]["accountNumber"] == answers["preferences"]["accounts"][0]["accountNumber"]
    assert answers["quote"]["AAPL"]["quote"]["lastPrice"] > 0
    assert len(answers["days"]["candles"]) > 5_000
    assert len(answers["minutes"]["candles"]) > 500
    assert (answers["chain"]["status"], answers["chain"]["underlying"]["symbol"]) == ("SUCCESS", "AAPL")
    assert answers["expirations"]["expirationList"][0]["optionRoots"] == "AAPL"
    assert len(answers["movers"]["screeners"]) == 10
    assert answers["instruments"]["instruments"][0]["fundamental"]["symbol"] == "AAPL"
    assert answers["cusip"]["symbol"] == "AAPL"


async def test_schwab_py(simulator: SchwabSimulator, tmp_path: Path) -> None:
    """schwab-py uses every service and every call."""
    pytest.importorskip("schwab")
    check(await run(sys.executable, "schwab", simulator, tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_schwaby(simulator: SchwabSimulator, tmp_path: Path) -> None:
    """Schwaby does the same; authlib changes with it, hence its own environment."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    installing = await asyncio.create_subprocess_exec(python, "-m", "pip", "install", "-q", "schwaby==5.2.0")
    assert await installing.wait() == 0
    check(await run(python, "schwaby", simulator, tmp_path))
