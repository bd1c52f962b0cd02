"""What the HTTP side leaves of the libraries it imports, and of a proxy that cannot be used."""

import subprocess
import sys

import pytest
import redis

from schwabstream.auth.http import SchwabHttp
from schwabstream.errors import ConfigurationError
from schwabstream.settings import load_settings

USERS_PROGRAM = """
import asyncio, logging
logging.basicConfig(level=logging.DEBUG)
from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import open_store
from schwabstream.auth.http import SchwabHttp
from schwabstream.consumer import subscribe
from schwabstream.errors import SchwabUnavailable
from schwabstream.settings import load_settings

async def use():
    settings = load_settings(
        schwab_client_id="key", schwab_client_secret="secret", schwab_api_base_url="http://127.0.0.1:9"
    )
    async with SchwabAuthClient(settings, open_store(settings)):
        http = SchwabHttp(settings, sleep=lambda _: asyncio.sleep(0))
        try:
            await http.call("I0.access@", lambda schwab: schwab.get_user_preferences())
        except SchwabUnavailable as error:
            print(error)
        await http.close()

asyncio.run(use())
import redis, schwab
print(schwab.auth.client_from_token_file.__name__, schwab.streaming.StreamClient.__name__, redis.__version__)
import schwab.auth, schwab.streaming
from authlib.integrations.httpx_client import AsyncOAuth1Client
loggers = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "schwab"]
print([name for name in loggers if logging.getLogger(name).isEnabledFor(logging.INFO)], "schwab.client.base" in loggers)
"""


def test_a_users_program_keeps_the_whole_of_every_library() -> None:
    """After one use of our client the libraries are whole, and schwab-py logs no answer, so no account number."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USERS_PROGRAM], capture_output=True, text=True, check=True
    )
    failed, names, loggers = run.stdout.splitlines()
    assert failed.startswith("cannot connect to Schwab (127.0.0.1:9)")
    assert names == f"client_from_token_file StreamClient {redis.__version__}"
    assert loggers == "[] True"
    assert "Req 1" not in run.stderr


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "nonsense://x", "http://[::1"])
async def test_a_proxy_that_cannot_be_used_is_a_setting_to_correct(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment that the HTTP library cannot use is one sentence, not a traceback."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    http = SchwabHttp(load_settings(schwab_client_id="key", schwab_client_secret="secret"))
    with pytest.raises(ConfigurationError, match="ALL_PROXY"):
        await http.refresh("R0.refresh@")
