"""What the HTTP side imports, and what it leaves alone."""

import subprocess
import sys

UNUSED = ("httpx._main", "schwab.auth", "schwab.streaming", "websockets.legacy", "flask", "multiprocess")
SCRIPT = f"""
import sys
from schwabstream.schwab_http import _load_client_class, _load_libraries
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
