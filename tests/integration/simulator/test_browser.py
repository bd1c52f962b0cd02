"""The authorize page in a real browser: Debian's chromium, headless, driven over its own debugging socket."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import websockets.asyncio.client as ws

from schwabstream.simulator import SchwabSimulator

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


class Browser:
    """Just enough of the DevTools protocol to open a page and run a script in it."""

    def __init__(self, socket: ws.ClientConnection) -> None:
        self.socket, self.number = socket, 0

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        self.number += 1
        request: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        await self.socket.send(json.dumps(request | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(await self.socket.recv())
            if answer.get("id") == self.number:
                return dict(answer["result"])

    async def open(self, url: str) -> str:
        target = (await self.call("Target.createTarget", url=url))["targetId"]
        return str((await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"])

    async def evaluate(self, session: str, script: str) -> Any:
        return (await self.call("Runtime.evaluate", session, expression=script))["result"].get("value")


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A headless chromium with an empty profile."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--no-first-run"),
        *("--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={tmp_path}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"DevTools listening on (\S+)", await process.stderr.readline())):
                pass
        async with ws.connect(found[1].decode(), proxy=None, max_size=None) as socket:
            it = Browser(socket)
            yield it
            await it.call("Browser.close")
    except BaseException:
        process.kill()
        raise
    finally:
        await process.communicate()


async def test_a_click_on_allow_leads_back_with_a_working_code(browser: Browser) -> None:
    """The page shows, the button submits, the browser follows the redirect, and the code buys tokens."""
    async with asyncio.timeout(60), SchwabSimulator(seed=1) as home:
        callback = f"{home.base_url}/back"
        async with SchwabSimulator(callback_url=callback) as simulator:
            query = {"client_id": simulator.client_id, "redirect_uri": callback, "state": "a b&c"}
            page = await browser.open(f"{simulator.base_url}/v1/oauth/authorize?{urlencode(query)}")
            while not await browser.evaluate(page, "!!document.getElementById('allow')"):
                await simulator.until(lambda it: "/v1/oauth/authorize" in it.received.paths(), 30)
            assert "Allow access?" in await browser.evaluate(page, "document.body.innerText")
            await browser.evaluate(page, "document.getElementById('allow').click()")
            await home.until(lambda it: "/back" in it.received.paths(), 30)
            back = next(each for each in home.received.requests if each.path == "/back")
            assert back.query["state"] == "a b&c"
            form = {"grant_type": "authorization_code", "code": back.query["code"], "redirect_uri": callback}
            auth = (simulator.client_id, simulator.client_secret)
            async with httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as client:
                answer = await client.post("/v1/oauth/token", data=form, auth=auth)
            assert answer.json()["refresh_token"].endswith("@")
