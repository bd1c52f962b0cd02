"""The ways onward from Redis that need programs of others: the bridge to Centrifugo, and Redpanda Connect's file."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from schwabstream.events import Channel, TickEvent
from tests.conftest import RedisServer
from tests.support.waiting import block_until

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
STREAM = "market_data:stream:ticks"
GROUP = "centrifugo"
INPUT_FIELDS = {
    *("url", "kind", "master", "client_name", "tls", "body_key", "streams", "auto_replay_nacks", "limit", "client_id"),
    *("consumer_group", "create_streams", "start_from_oldest", "commit_period", "timeout"),
}
OUTPUT_FIELDS = {
    *("driver", "dsn", "table", "columns", "args_mapping", "prefix", "suffix", "options", "max_in_flight"),
    *("init_files", "init_statement", "conn_max_idle_time", "conn_max_life_time", "conn_max_idle", "conn_max_open"),
    "batching",
}


def block(page: str, language: str) -> str:
    """The first block of that language on the page."""
    text = (HOWTO / page).read_text(encoding="utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


class Api(ThreadingHTTPServer):
    """Centrifugo's API as far as the bridge uses it: keeps what is posted, and answers as the test wants."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.posted: list[tuple[str, str | None, dict[str, Any]]] = []
        self.reply: dict[str, Any] = {"result": {}}


class Request(BaseHTTPRequestHandler):
    """One request to the API."""

    server: Api

    def do_POST(self) -> None:
        """Keep the request, and answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, self.headers["X-API-Key"], body))
        answer = json.dumps(self.server.reply).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    """The API, served in a thread."""
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def bridge(api: Api, redis_server: RedisServer, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The bridge of the page, as a program that runs until its end or the test's."""
    script = tmp_path / "bridge.py"
    script.write_text(block("browser.md", "python"))
    place = {"CENTRIFUGO_API": f"http://127.0.0.1:{api.server_port}/api", "CENTRIFUGO_KEY": "the-key"}
    environment = {**os.environ, **place, "REDIS_URL": redis_server.url}
    program = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.PIPE, text=True)
    with program:
        block_until(lambda: program.poll() is not None or has_group(redis_server))
        yield program
        program.kill()


def has_group(redis_server: RedisServer) -> bool:
    """Whether the bridge has created its group."""
    return bool(redis_server.client.exists(STREAM)) and bool(redis_server.client.xinfo_groups(STREAM))


def add(redis_server: RedisServer, symbol: str, seq: int) -> str:
    """Add a tick as the streamer does, and return its id."""
    text = json.dumps({"v": 1, "type": "tick", "symbol": symbol, "seq": seq, "last_price": 5.5})
    return str(redis_server.client.xadd(STREAM, {"symbol": symbol, "event": text}))


def test_the_bridge_posts_each_event_and_acknowledges_it(
    api: Api, redis_server: RedisServer, bridge: "subprocess.Popen[str]"
) -> None:
    """Each event is one POST with key, channel and JSON, then acknowledged; a refused one stays with the group."""
    ids = [add(redis_server, symbol, seq) for seq, symbol in enumerate(("/NQ:XCME", "AAPL"), 7)]
    block_until(lambda: len(api.posted) == 2)
    assert [(path, key) for path, key, _ in api.posted] == [("/api/publish", "the-key")] * 2
    bodies = [body for _, _, body in api.posted]
    assert [body["channel"] for body in bodies] == ["ticks:/NQ:XCME", "ticks:AAPL"]
    assert [body["data"]["seq"] for body in bodies] == [7, 8]
    assert [body["idempotency_key"] for body in bodies] == ids
    block_until(lambda: redis_server.client.xpending(STREAM, GROUP)["pending"] == 0)
    api.reply = {"error": {"code": 102, "message": "unknown channel"}}
    add(redis_server, "MSFT", 9)
    _, errors = bridge.communicate(timeout=30)
    assert (bridge.returncode, errors.splitlines()[-1]) == (1, "Centrifugo refuses ticks:MSFT: unknown channel")
    assert redis_server.client.xpending(STREAM, GROUP)["pending"] == 1


def test_the_file_for_redpanda_connect_has_the_documented_form() -> None:
    """The file has only fields of these components, names of ours that exist, and a value for each column."""
    content = yaml.safe_load(block("database.md", "yaml"))
    source, target = content["input"]["redis_streams"], content["output"]["sql_insert"]
    assert set(content) == {"input", "output"}
    assert set(source) <= INPUT_FIELDS
    assert set(target) <= OUTPUT_FIELDS
    assert source["streams"] == [f"market_data:stream:{Channel.TICKS}"]
    assert source["body_key"] == "event"
    names = re.findall(r"this\.(\w+)", target["args_mapping"])
    assert names == target["columns"]
    assert set(names) <= set(TickEvent.model_fields)
    assert set(target["batching"]) <= {"count", "byte_size", "period", "check", "processors"}
