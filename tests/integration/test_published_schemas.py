"""Everything the pipeline publishes conforms to docs/schema and docs/asyncapi.yaml."""

import asyncio
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import open_store
from schwabstream.auth.tokens import TokenSet
from schwabstream.events import SYMBOL_CHANNELS, Channel
from schwabstream.monitoring.reporter import Reporter
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.settings import load_settings
from schwabstream.simulator import SchwabSimulator
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient
from tests.conftest import RedisServer
from tests.support.waiting import until

DOCS = Path(__file__).parents[2] / "docs"
ASYNCAPI: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
SYMBOLS = ["/NQ:XCME", "/MES:XCME", "AAPL", "NVDA", "$SPX"]


def strict(definition: dict[str, Any]) -> dict[str, Any]:
    """The schema, refusing fields it does not name: readers must take them, the writer must not write them."""
    for part in (definition, *definition.get("definitions", {}).values()):
        part["additionalProperties"] = False
    return definition


def resolved(node: Any) -> Any:
    """An AsyncAPI reference followed, inside the document or to a file beside it."""
    if "$ref" not in node:
        return node
    target: str = node["$ref"]
    if not target.startswith("#/"):
        return strict(json.loads((DOCS / target).read_text(encoding="utf-8")))
    found: Any = ASYNCAPI
    for part in target.removeprefix("#/").split("/"):
        found = found[part]
    return resolved(found)


def validators() -> dict[str, Draft7Validator]:
    """The validator of each name in Redis, as the AsyncAPI document gives it."""
    found = {}
    for channel in ASYNCAPI["channels"].values():
        (message,) = map(resolved, channel["messages"].values())
        payload = message["payload"]
        found[channel["address"].format(prefix="market_data", symbol="SYMBOL")] = Draft7Validator(
            resolved(payload.get("schema", payload))
        )
    return found


VALIDATORS = validators()


def check(name: str, content: Any) -> None:
    """Hold one message to its schema."""
    errors = [f"{error.json_path}: {error.message}" for error in VALIDATORS[name].iter_errors(content)]
    assert errors == [], f"{name}: {json.dumps(content)}"


@pytest.fixture
def channels(redis_server: RedisServer) -> Iterator[Any]:
    """A subscription to everything that is published."""
    client: Any = redis_server.client
    with client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.psubscribe("market_data:*")
        subscription.get_message(timeout=1)
        yield subscription


async def test_everything_published_is_as_described(
    redis_server: RedisServer, simulator: SchwabSimulator, channels: Any
) -> None:
    """Pub/sub, hashes, streams and the report of a run with an outage have the documented fields and no others."""
    await run_with_an_outage(redis_server, simulator)
    seen = {}
    while message := channels.get_message(timeout=0.2):
        event = json.loads(message["data"])
        name = message["channel"].replace(f":{event['symbol']}", ":SYMBOL")
        check(name, event)
        seen[name] = event
    by_symbol = {f"market_data:{channel}:SYMBOL" for channel in SYMBOL_CHANNELS}
    assert set(seen) == {f"market_data:{channel}" for channel in Channel} | by_symbol

    client: Any = redis_server.client
    names = set(client.scan_iter("market_data:*"))
    for name in names:
        if ":stream:" in name:
            for _, entry in client.xrange(name):
                check(name, entry)
                check(name.replace(":stream", ""), json.loads(entry["event"]))
        elif client.type(name) == "hash":
            for text in client.hvals(name):
                check(name, json.loads(text))
        else:
            check(name, json.loads(client.get(name)))
    assert names | set(seen) == set(VALIDATORS)


async def run_with_an_outage(redis_server: RedisServer, simulator: SchwabSimulator) -> None:
    """Stream until every kind of event was published, with the connection lost in between."""
    redis: Any = redis_server.client
    settings = load_settings(
        schwab_api_base_url=simulator.base_url,
        schwab_client_id=simulator.client_id,
        schwab_client_secret=simulator.client_secret,
        schwab_token_path=Path("token.json"),
        schwab_screeners=["NYSE_VOLUME_5"],
        schwab_account_activity=True,
    )
    store = open_store(settings)
    store.save(TokenSet.from_file(simulator.issue_token()))
    publisher = TradingEventPublisher(redis_server.url)
    await publisher.connect()
    async with SchwabAuthClient(settings, store) as auth, asyncio.TaskGroup() as tasks:
        stream = StreamState(parse_symbols(SYMBOLS, date(2026, 11, 21)), publisher.publish)
        stream.also_subscribe(settings.services)
        client = SchwabStreamClient(auth, stream)
        writer = tasks.create_task(publisher.run())
        reporter = tasks.create_task(Reporter(client, publisher).run())
        run = tasks.create_task(client.run())
        await until(client.ready.is_set)
        minute = {"1": 1795225260000, "2": 1.0, "3": 2.0, "4": 0.5, "5": 1.5, "6": 7.0}
        simulator.push_data("CHART_FUTURES", {"key": "/NQ", **minute})
        others = [channel for channel in Channel if channel is not Channel.STATUS]
        await until(lambda: all(redis.xlen(f"market_data:stream:{name}") for name in others))
        await simulator.drop_all()
        await until(lambda: '"state":"gap"' in str(redis.xrange("market_data:stream:status")))
        await until(lambda: redis.exists("market_data:streamer") and redis.exists("market_data:instruments"))
        client.stop()
        await run
        reporter.cancel()
        publisher.stop()
        await writer
    await publisher.close()
