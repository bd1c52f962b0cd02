"""What the HTTP side imports, and what it leaves alone."""

import subprocess
import sys

import pytest

from schwabstream.auth.http import SchwabHttp
from schwabstream.errors import ConfigurationError
from schwabstream.settings import load_settings

UNUSED = ("httpx._main", "schwab.auth", "schwab.streaming", "websockets.legacy", "flask", "multiprocess")
SCRIPT = f"""
import sys
from schwabstream.auth.http import _load_client_class, _load_libraries
_load_libraries(), _load_client_class()
print([name for name in {UNUSED!r} if name in sys.modules])
from schwab import auth
from schwab.streaming import StreamClient
print(auth.__name__, auth.client_from_token_file.__name__, StreamClient.__name__)
"""


def test_only_the_rest_client_is_loaded_and_the_rest_stays_importable() -> None:
    """Loading the HTTP side imports neither login server, streaming half nor command line; later imports get them."""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[]", "schwab.auth client_from_token_file StreamClient"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "nonsense://x", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_a_setting_to_correct(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment that the HTTP library cannot use is one sentence, not a traceback."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    http = SchwabHttp(load_settings(schwab_client_id="key", schwab_client_secret="secret"))
    with pytest.raises(ConfigurationError, match="ALL_PROXY"):
        http.open()
