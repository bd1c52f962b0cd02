"""What the commands load before they answer: whoever asks for help does not wait for what streaming needs."""

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

HEAVY = {"redis", "httpx", "schwab", "websockets", "pydantic"}
NETWORK = {"httpx", "schwab", "websockets", "authlib", "fakeredis"}
UNUSED = {"sqlite3", "prometheus_client", "schwabstream.terminal.live", "schwabstream.terminal.stream_table"}
# Told on the last line of stderr, whatever the command itself says or however it ends. What is there before it starts
# is not its own: where coverage is measured that is a database.
_TELL = """
import atexit, json, sys
before = set(sys.modules)
def tell():
    print("\\n" + json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)

atexit.register(tell)
sys.argv = ["schwabstream", *sys.argv[1:]]
from schwabstream.cli import main
main()
"""
TICK = {
    "v": 1, "type": "tick", "symbol": "/MES:XCME", "key": "/MES", "seq": 1, "timestamp": 1_765_083_430_002,
    "received_us": 1_765_083_430_071_234, "asset": "FUTURE", "last_price": 6879.5, "is_trade": False,
}  # fmt: skip
REPORT = {"state": "streaming", "since": 1, "reported": 1, "started": 1, "pid": 1, "host": "here", "version": "0"}


def run(*arguments: str) -> tuple[str, set[str]]:
    """What the command writes, and the modules it has loaded by its end."""
    command = [sys.executable, "-c", _TELL, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_help_and_version_load_nothing_heavy(option: str) -> None:
    """Help and version need neither Redis, nor HTTP, nor Schwab's library, nor WebSockets, nor pydantic, nor a loop."""
    written, loaded = run(option)
    assert written
    assert not (HEAVY | {"asyncio", "ssl"}) & loaded


def test_a_quote_from_redis_loads_nothing_of_schwab(redis_server: RedisServer) -> None:
    """A quote that a running streamer left in Redis is shown without anything that speaks to Schwab."""
    client = redis.Redis(port=redis_server.port)
    client.hset("market_data:last:ticks", "/MES:XCME", json.dumps(TICK))
    client.set("market_data:streamer", json.dumps(REPORT))
    client.close()
    written, loaded = run("quote", "/MES:XCME", "--once", "--redis", redis_server.url)
    assert "6,879.50" in written or "6879.50" in written
    assert not NETWORK & loaded


def test_streaming_without_a_screen_loads_only_what_it_uses() -> None:
    """A stream that nobody looks at carries no screen, no database and no metrics server for months."""
    _, loaded = run("stream", "run", "--simulate", "--no-live", "--duration", "0.1", "--symbols", "AAPL")
    assert {"schwab", "redis", "websockets"} <= loaded
    assert not UNUSED & loaded
