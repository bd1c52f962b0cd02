"""The users of docs/howto/redis-security.md, with the additions of docs/operations/topologies.md, in use."""

import asyncio
import re
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from schwabstream.consumer import GroupReader, fetch_last, read_stream, subscribe
from schwabstream.consumer.subscription import read_report
from schwabstream.events import Channel
from schwabstream.publishing.lease import Lease
from schwabstream.publishing.publisher import TradingEventPublisher
from schwabstream.publishing.wanted import WishPoll
from schwabstream.report import SymbolReport
from tests.support.diagnosis import report
from tests.support.topology import Kind, RedisCluster, SentinelSet, topology
from tests.support.waiting import DEADLINE_S

DOCS = Path(__file__).parents[2] / "docs"
PREFIX = "market_data"


def users(prefix: str) -> list[list[str]]:
    """The words that create each user of the page, under this prefix."""
    text = (DOCS / "howto" / "redis-security.md").read_text(encoding="utf-8")
    lines = re.findall(r"^user (\w+ on .+)$", text, re.MULTILINE)
    return [line.replace(PREFIX, prefix).split() for line in lines]


def additions() -> dict[str, list[str]]:
    """What each user needs in a Cluster as well."""
    text = (DOCS / "operations" / "topologies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (`\+.+`) \|$", text, re.MULTILINE)
    return {user: words.replace("\\", "").strip("`").split() for user, words in rows}


def create_users(servers: SentinelSet | RedisCluster) -> None:
    """Create every user on every server."""
    more = additions() if servers.mode == "cluster" else {}
    for node in servers.nodes:
        for name, *rules in users(servers.prefix):
            node.ask("ACL", "SETUSER", name, *rules, *more.get(name, ()))


def refused(servers: SentinelSet | RedisCluster) -> set[tuple[str, str]]:
    """Each user and what was refused to it, on any server."""
    found = [_facts(each) for node in servers.nodes for each in node.ask("ACL", "LOG")]
    return {(each["username"], each["object"]) for each in found if each["object"] != "client|setinfo"}


def _facts(entry: Any) -> dict[str, str]:
    return entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))


def tick() -> dict[str, Any]:
    """A tick as the market lends it."""
    return {
        "v": 1, "type": "tick", "symbol": "AAPL", "key": "AAPL", "seq": 0, "prev": 0, "timestamp": 1, "received_us": 1,
        "asset": "EQUITY", "last_price": 1.0, "is_trade": False,
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["sentinel", "cluster"])
async def test_the_documented_permissions_suffice(mode: Kind) -> None:
    """Streamer, reader, operator and worker do their work without one refused command, on any server."""
    with topology(mode) as servers:
        create_users(servers)

        def url(user: str) -> str:
            return servers.url.replace("://", f"://{user}:{user.upper()}-PASSWORD@")

        lease = Lease(url("streamer"), PREFIX)
        poll = WishPoll(url("streamer"), PREFIX, lambda _: None)
        async with asyncio.timeout(2 * DEADLINE_S):
            lease.of_account("customer")
            await lease.reach()
            fence = await lease.take(wait=False)
            publisher = TradingEventPublisher(url("streamer"), fence=fence, stream_maxage_s=60)
            await publisher.connect()
            line = SymbolReport(symbol="AAPL", key="AAPL", asset="EQUITY")
            publisher.publish_report(report(symbols=(line,), symbol_channels=True).encode())
            publisher.publish(Channel.TICKS, tick())
            publisher.stop()
            await publisher.run()
            await poll.poll(clean_up=True)
            assert await fetch_last("AAPL", redis_url=url("reader")) is not None
            assert await read_report(url("operator"), PREFIX) is not None
            async with aclosing(subscribe("AAPL", "NVDA", redis_url=url("reader"))) as events:
                await anext(events)
            async with aclosing(read_stream(Channel.TICKS, from_id="0", redis_url=url("reader"))) as entries:
                await anext(entries)
            async with GroupReader(Channel.TICKS, "group", "one", redis_url=url("worker")) as group:
                await group.acknowledge((await anext(group)).id)
            await publisher.close()
            await poll.close()
            await lease.close()
        assert refused(servers) == set()
