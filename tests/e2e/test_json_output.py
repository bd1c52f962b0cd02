"""What each command writes with ``--json`` is what its schema in docs/schema describes, and nothing more."""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from schwabstream.report import StreamerReport, SymbolReport
from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = str(Path(sys.executable).with_name("schwabstream"))


def schema_names() -> dict[str, str]:
    """The schema of each command, from the generator of the documentation."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, str] = module.JSON_OUTPUT
    return found


SCHEMAS = schema_names()


def strict(node: Any) -> Any:
    """The schema, which then refuses unknown fields: readers must ignore them, but the writer must not add any."""
    if isinstance(node, dict):
        strict_node = {name: strict(part) for name, part in node.items()}
        return (
            strict_node | {"additionalProperties": False} if isinstance(node.get("properties"), dict) else strict_node
        )
    return [strict(part) for part in node] if isinstance(node, list) else node


def run(words: str, *options: str, stdin: str = "", **variables: str) -> list[Any]:
    """The objects that a command writes with ``--json``, each held to the schema of the command."""
    done = subprocess.run(
        [COMMAND, *words.split(), "--json", *options],
        env={**os.environ, **variables},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    validator = Draft7Validator(strict(json.loads((DOCS / "schema" / f"{SCHEMAS[words]}.json").read_text())))
    for line in lines:
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(line)]
        assert errors == [], line
        assert line["v"] == 1
    return lines


async def test_the_commands_of_a_login(simulator: SchwabSimulator) -> None:
    """``auth login``, ``status``, ``refresh`` and ``logout`` write what their schemas describe, logged in or not."""
    variables = {
        "SCHWAB_API_BASE_URL": simulator.base_url,
        "SCHWAB_CLIENT_ID": simulator.client_id,
        "SCHWAB_CLIENT_SECRET": simulator.client_secret,
    }
    token = simulator.issue_token()["token"]["refresh_token"]

    def commands() -> None:
        (login,) = run("auth login", "--with-refresh-token", stdin=token, **variables)
        assert not login["skipped"]
        (skipped,) = run("auth login", **variables)
        assert skipped["skipped"]
        assert run("auth status", **variables)[0]["logged_in"]
        assert run("auth refresh", **variables)[0]["refreshed"]
        assert not run("auth refresh", "--if-due", **variables)[0]["refreshed"]
        assert run("auth logout", **variables)[0]["snapshot"]
        assert run("auth status", **variables)[0]["login_needed"]

    await asyncio.to_thread(commands)


def test_the_commands_that_write_events(redis_server: RedisServer, tmp_path: Path) -> None:
    """``stream run`` and ``stream replay`` write events of several types, ``quote`` ticks and ``book`` books."""
    file = str(tmp_path / "day.jsonl.zst")
    live = run(
        "stream run",
        "--simulate",
        "--duration",
        "2",
        "--symbols",
        "AAPL",
        "--record",
        file,
        "--redis",
        redis_server.url,
    )
    assert {"tick", "level2", "status"} <= {event["type"] for event in live}
    replayed = run("stream replay", file, "--speed", "max")
    assert {"tick", "level2"} <= {event["type"] for event in replayed}
    assert run("quote", "AAPL", "--once", "--simulate")[0]["symbol"] == "AAPL"
    assert run("book", "AAPL", "--once", "--simulate", "--depth", "3")[0]["bids"]


def test_the_commands_that_examine(redis_server: RedisServer) -> None:
    """``doctor`` writes its checks, ``status`` the report, or that there is none, and ``stream list`` the symbols."""
    assert run("doctor", "--simulate")[0]["findings"]
    assert run("status", "--redis", redis_server.url) == [{"v": 1, "healthy": False}]
    report = StreamerReport(
        state="streaming",
        since=1,
        reported=1,
        started=1,
        pid=1,
        host="here",
        version="0",
        symbols=(SymbolReport(symbol="AAPL", key="AAPL", asset="EQUITY", fresh=True),),
    )
    redis_server.client.set("market_data:streamer", report.model_dump_json())
    assert run("status", "--redis", redis_server.url)[0]["healthy"]
    assert run("stream list", "--redis", redis_server.url)[0]["symbol"] == "AAPL"


def test_a_field_without_a_description_is_noticed() -> None:
    """A strict schema refuses a field it does not name, inside definitions too."""
    validator = Draft7Validator(strict(json.loads((DOCS / "schema" / "level2.json").read_text())))
    level = {"price": 1.0, "size": 1, "makers": 0, "venues": [], "new": 1}
    common = {"v": 1, "type": "level2", "symbol": "A", "key": "A", "seq": 1, "timestamp": 1, "received_us": 1}
    event = {**common, "service": "S", "source": "book", "bids": [level], "asks": []}
    with pytest.raises(Exception, match="'new' was unexpected"):
        validator.validate(event)
