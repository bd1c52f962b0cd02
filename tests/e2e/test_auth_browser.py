"""A whole login in a real browser: the installed command, the simulator's page, Debian's chromium, headless."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.client as ws

from schwabstream.auth.store import TokenStore
from schwabstream.simulator import SchwabSimulator
from tests.support.waiting import until

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")


class Page:
    """One page of a browser, by its debugging socket."""

    def __init__(self, socket: ws.ClientConnection) -> None:
        self._socket, self._numbers, self._session = socket, itertools.count(1), ""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters} | session))
        while (answer := json.loads(await self._socket.recv())).get("id") != number:
            pass
        return dict(answer.get("result", {}))

    async def open(self, url: str) -> None:
        target = (await self.call("Target.createTarget", url=url))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(attached["sessionId"])

    async def until(self, script: str) -> Any:
        """Wait until a script in the page gives something, and return it."""

        async def found() -> Any:
            return (await self.call("Runtime.evaluate", expression=script)).get("result", {}).get("value")

        return await until(found, show=lambda: script)


@pytest.fixture
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A headless chromium that accepts the certificate, as the person in front of it would."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--no-first-run"),
        *("--disable-dev-shm-usage", "--ignore-certificate-errors", "--remote-debugging-port=0"),
        *(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"DevTools listening on (\S+)", await process.stderr.readline())):
                pass
        async with ws.connect(found[1].decode(), proxy=None, max_size=None) as socket:
            yield Page(socket)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_login_in_a_real_browser_ends_with_the_token_on_disk(page: Page, tmp_path: Path) -> None:
    """The command prints the address, the user clicks Allow, the browser shows the last page, the token is stored."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        callback_url = f"https://127.0.0.1:{probe.getsockname()[1]}"
    async with asyncio.timeout(100), SchwabSimulator(callback_url=callback_url) as schwab:
        variables = {
            **os.environ,
            "SCHWAB_CLIENT_ID": schwab.client_id,
            "SCHWAB_CLIENT_SECRET": schwab.client_secret,
            "SCHWAB_API_BASE_URL": schwab.base_url,
            "SCHWAB_CALLBACK_URL": callback_url,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schwabstream", "auth", "login", "--no-browser", "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=variables,
        )
        assert command.stderr is not None
        while not (url := re.search(rb"http://\S+", await command.stderr.readline())):
            pass
        await page.open(url[0].decode())
        await page.until("document.getElementById('allow') && (document.getElementById('allow').click(), true)")
        text = await page.until("document.body.innerText.includes('close this window') && document.body.innerText")
        output, rest = await command.communicate()
        assert command.returncode == 0, rest.decode()
        stored = TokenStore(tmp_path / ".tokens" / "schwab_token.json").load()
        assert stored is not None
        assert schwab.oauth.access_is_valid(stored.access_token)
        assert json.loads(output)["access_fingerprint"] == stored.fingerprint
        assert "You can close this window." in text
        for secret in (stored.access_token, stored.refresh_token):
            assert secret not in (output + rest).decode()
