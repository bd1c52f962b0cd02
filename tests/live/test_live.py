"""What only a real account can show: read-only, each check leaves a scrubbed recording behind.

    SCHWAB_CLIENT_ID=… SCHWAB_CLIENT_SECRET=… SCHWAB_TOKEN_PATH=/absolute/path nox -s live

One at a time: an account has one streamer connection, and a second check would take it from the first.

A failure here is news: compare it with docs/protocol.md, section 10, and correct that page.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.tokens import fingerprint
from schwabstream.events import Channel
from schwabstream.protocol.symbols import parse_symbols
from schwabstream.recording.writer import recording_to
from schwabstream.streaming.state import StreamState
from schwabstream.streaming.supervisor import SchwabStreamClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

FUTURES = ("/MES:XCME", "/MNQ:XCME", "/NQ:XCME")
EQUITY = "AAPL"
SUBSCRIBED_WITHIN_S = 10.0
DATA_WITHIN_S = 60.0


class Catch:
    """Takes events as a publisher would, and keeps a copy of the last of each symbol and channel."""

    def __init__(self) -> None:
        self.last: dict[tuple[Channel, str], dict[str, Any]] = {}
        self.changed = asyncio.Event()

    def publish(self, channel: Channel, event: dict[str, Any]) -> None:
        self.last[channel, event["symbol"] or ""] = dict(event)
        self.changed.set()


async def stream_until(
    auth: SchwabAuthClient, texts: tuple[str, ...], file: Path, enough: Callable[[Catch, SchwabStreamClient], bool]
) -> tuple[Catch, SchwabStreamClient, float]:
    """Stream and record until ``enough``; returns what was caught, and the seconds until subscribed."""
    symbols, catch = parse_symbols(texts, datetime.now(UTC).date()), Catch()
    with recording_to(file, None, symbols, simulated=False) as recorder:
        client = SchwabStreamClient(auth, StreamState(symbols, catch.publish), keepalive_s=0, recorder=recorder)
        started = time.monotonic()
        run = asyncio.create_task(client.run())
        try:
            async with asyncio.timeout(SUBSCRIBED_WITHIN_S):
                await client.ready.wait()
            subscribed_after_s = time.monotonic() - started
            async with asyncio.timeout(DATA_WITHIN_S):
                while not enough(catch, client):
                    await catch.changed.wait()
                    catch.changed.clear()
        finally:
            client.stop()
            await run
    return catch, client, subscribed_after_s


async def test_a_refresh_gives_a_new_access_token(auth: SchwabAuthClient) -> None:
    """A refresh is accepted and answers with another access token and the same refresh token (protocol 1.3)."""
    before = await auth.token()
    after = await auth.refresh_tokens(force=True)
    assert fingerprint(after.access_token) != fingerprint(before.access_token)
    assert fingerprint(after.refresh_token) == fingerprint(before.refresh_token)


async def test_level_one_arrives_for_futures_and_an_equity(auth: SchwabAuthClient, recordings: Path) -> None:
    """Subscribed within ten seconds, the three futures and an equity have a last price soon after."""
    wanted = (*FUTURES, EQUITY)

    def all_have_ticks(catch: Catch, _client: SchwabStreamClient) -> bool:
        return all((Channel.TICKS, symbol) in catch.last for symbol in wanted)

    catch, _, subscribed_after_s = await stream_until(auth, wanted, recordings / "level-one.zst", all_have_ticks)
    assert subscribed_after_s < SUBSCRIBED_WITHIN_S
    for symbol in FUTURES:
        assert catch.last[Channel.TICKS, symbol]["contract"].startswith(symbol.partition(":")[0])


async def test_level_two_arrives_for_an_equity(auth: SchwabAuthClient, recordings: Path) -> None:
    """An equity's book comes from the service of its listing; outside market hours it may stay away."""

    def has_book(catch: Catch, _client: SchwabStreamClient) -> bool:
        return (Channel.LEVEL2, EQUITY) in catch.last

    catch, _, _ = await stream_until(auth, (EQUITY,), recordings / "level-two.zst", has_book)
    book = catch.last[Channel.LEVEL2, EQUITY]
    assert (book["service"], book["source"]) == ("NASDAQ_BOOK", "book")


async def test_futures_depth_is_not_offered(auth: SchwabAuthClient, recordings: Path) -> None:
    """FUTURES_BOOK is refused and the top of book takes its place (protocol 5)."""

    def has_book(catch: Catch, _client: SchwabStreamClient) -> bool:
        return (Channel.LEVEL2, FUTURES[1]) in catch.last

    catch, _, _ = await stream_until(auth, FUTURES, recordings / "futures-book.zst", has_book)
    assert catch.last[Channel.LEVEL2, FUTURES[1]]["source"] == "top_of_book"


async def test_what_the_quotes_endpoint_answers_for_a_root(
    auth: SchwabAuthClient, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """A futures root is answered under its own or its contract's key; which one is reported (protocol 2.2)."""
    quotes = await auth.fetch_quotes(["/MNQ", "/MNQ:XCME"])
    record_testsuite_property("keys that answer /MNQ and /MNQ:XCME", sorted(quotes))
    assert any(key.startswith("/MNQ") for key in quotes)
