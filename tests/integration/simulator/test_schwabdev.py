"""Schwabdev's own client and stream against the simulator, unmodified but for the address."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from schwabstream.protocol.fields import Service
from schwabstream.simulator import Faults, SchwabSimulator
from tests.support.waiting import until

schwabdev = pytest.importorskip("schwabdev")


class Peer:
    """A real Schwabdev client, logged in through the simulator's authorize page, and its stream in its own thread."""

    def __init__(self, simulator: SchwabSimulator, client: Any) -> None:
        self.simulator, self.client = simulator, client
        self.stream: Any = schwabdev.Stream(client)
        self.frames: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def receive(self, text: str) -> None:
        """Runs in the stream's thread."""
        self.loop.call_soon_threadsafe(self.keep, json.loads(text))

    def keep(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        self.arrived.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, show=lambda: self.frames)

    def entries(self, service: str) -> list[dict[str, Any]]:
        messages = [message for frame in self.frames for message in frame.get("data", [])]
        return [entry for message in messages if message["service"] == service for entry in message["content"]]

    async def start(self, **subscriptions: tuple[str, int]) -> None:
        """Queue subscriptions (Schwabdev's method: keys, last field), start, and wait until the simulator has them."""

        def run() -> list[dict[str, Any]]:
            # In a thread: Schwabdev asks for userPreference, blocking, when it builds its first request.
            requests = [
                getattr(self.stream, method)(keys, list(range(last + 1)))
                for method, (keys, last) in subscriptions.items()
            ]
            for request in requests:
                self.stream.send(request)
            self.stream.start(self.receive)
            return requests

        wanted = {request["service"] for request in await asyncio.to_thread(run)}
        await self.simulator.until(lambda simulator: all(simulator.subscribed(service) for service in wanted), 10)


@pytest.fixture
async def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Peer]:
    """A client that logged in by Schwabdev's own OAuth; the market moves 20 times a second, a minute takes two."""
    began = time.time()
    faults = Faults(
        auto_approve=True,
        changes_per_s=20,
        books_per_s=20,
        heartbeat_interval_s=0.2,
        code_life_s=3_600,
        access_token_life_s=86_400,
    )
    async with SchwabSimulator(clock=lambda: began + 30 * (time.time() - began), faults=faults) as simulator:
        address = urlsplit(simulator.base_url)
        send = requests.adapters.HTTPAdapter.send

        def redirect(self: Any, request: requests.PreparedRequest, *rest: Any, **options: Any) -> requests.Response:
            assert request.url is not None
            request.url = request.url.replace("https://api.schwabapi.com", simulator.base_url)
            assert urlsplit(request.url).netloc == address.netloc
            return send(self, request, *rest, **options)

        def approve(url: str) -> str:
            return requests.get(url, allow_redirects=False, timeout=5).headers["Location"]

        def log_in() -> Any:
            return schwabdev.Client(
                simulator.client_id,
                simulator.client_secret,
                simulator.callback_url,
                tokens_db=str(tmp_path / "tokens.db"),
                call_on_auth=approve,
            )

        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", redirect)
        it = Peer(simulator, await asyncio.to_thread(log_in))
        yield it
        await asyncio.to_thread(it.stream.stop)
        it.client.tokens._close()
        it.client.close()


async def test_it_logs_in_by_the_authorize_page(peer: Peer) -> None:
    """Schwabdev's code exchange works, its refresh keeps the refresh token, and REST answers."""
    tokens = peer.client.tokens
    access, refresh = tokens.access_token, tokens.refresh_token
    assert await asyncio.to_thread(peer.client.update_tokens, force_access_token=True)
    assert tokens.access_token != access
    assert tokens.refresh_token == refresh
    answer = await asyncio.to_thread(peer.client.quotes, ["AAPL", "/ES", "XYZZY"])
    assert set(answer.json()) >= {"AAPL", "errors"}
    one = await asyncio.to_thread(peer.client.quote, "BRK/B")
    assert one.json()["BRK/B"]["reference"]["description"].startswith("BERKSHIRE")
    hours = await asyncio.to_thread(peer.client.market_hours, ["equity", "future"])
    assert set(hours.json()) == {"equity", "future"}


async def test_its_other_calls_are_answered(peer: Peer) -> None:
    """History, chains, expirations, movers, instruments and account numbers, with Schwabdev's own parameters."""

    def ask(method: str, *arguments: Any, **options: Any) -> Any:
        answer = getattr(peer.client, method)(*arguments, **options)
        answer.raise_for_status()
        return answer.json()

    def run() -> dict[str, Any]:
        return {
            "accounts": ask("linked_accounts"),
            "preferences": ask("preferences"),
            "year": ask("price_history", "AAPL", "year", needPreviousClose=True),
            "chain": ask("option_chains", "AAPL", contractType="CALL", range="OTM"),
            "expirations": ask("option_expiration_chain", "AAPL"),
            "movers": ask("movers", "$DJI", sort="TRADES", frequency=5),
            "hour": ask("market_hour", "equity"),
            "instruments": ask("instruments", "AAPL", "fundamental"),
            "cusip": ask("instrument_cusip", "037833100"),
        }

    found = await asyncio.to_thread(run)
    assert [each["accountNumber"] for each in found["accounts"]] == peer.simulator.faults.accounts
    assert len(found["year"]["candles"]) in (12, 13)
    assert found["year"]["previousClose"] > 0
    assert found["chain"]["putExpDateMap"] == {}
    assert found["chain"]["numberOfContracts"] > 0
    assert len(found["expirations"]["expirationList"]) > 5
    assert len(found["movers"]["screeners"]) == 10
    assert found["instruments"]["instruments"][0]["symbol"] == found["cusip"]["symbol"] == "AAPL"


async def test_its_stream_receives_every_service(peer: Peer) -> None:
    """All 13 services: subscribed, acknowledged, delivered."""
    await peer.start(
        level_one_futures=("/NQ,/MES", 40),
        level_one_equities=("AAPL,F", 51),
        nasdaq_book=("AAPL", 3),
        nyse_book=("F", 3),
        level_one_futures_options=("./ESZ27C6900", 31),
        level_one_options=("AAPL  271217C00270000", 55),
        level_one_forex=("EUR/USD", 29),
        options_book=("AAPL  271217C00270000", 3),
        chart_futures=("/NQ", 6),
        chart_equity=("AAPL", 8),
        screener_equity=("NASDAQ_VOLUME_30", 4),
        screener_options=("OPTION_CALL_TRADES_30", 4),
    )
    services = set(Service) - {Service.ADMIN, Service.FUTURES_BOOK}
    queued = services - {Service.ACCT_ACTIVITY}
    # Schwabdev loses its connection if another thread subscribes while it sends what was queued before the start. It
    # sends that as ADD, which account activity refuses (protocol 4.10).
    await peer.until(lambda: all(peer.entries(service) for service in queued))
    await asyncio.to_thread(lambda: peer.stream.send(peer.stream.account_activity()))
    await peer.until(lambda: all(len(peer.entries(service)) > 1 for service in services))
    assert peer.frames[0]["response"][0]["content"]["code"] == 0
    future = next(entry for entry in peer.entries("LEVELONE_FUTURES") if entry["key"] == "/NQ")
    named = dict(zip(schwabdev.stream_fields["LEVELONE_FUTURES"], map(str, range(41)), strict=False))
    assert future[named["Bid Price"]] < future[named["Ask Price"]]
    assert future[named["Exchange Name"]] == "XCME"
    assert len(peer.entries("NASDAQ_BOOK")[0]["2"]) == 10
    assert len(peer.entries("SCREENER_OPTION")[0]["4"]) == 10
    assert [entry["2"] for entry in peer.entries("ACCT_ACTIVITY")[:2]] == ["SUBSCRIBED", "OrderCreated"]
    await peer.until(lambda: any("notify" in frame for frame in peer.frames))


async def test_it_comes_back_after_a_drop(peer: Peer) -> None:
    """When the socket dies without a close frame Schwabdev reconnects and sends its subscriptions again."""
    peer.stream._backoff_time = 0.01
    await peer.start(level_one_futures=("/NQ", 3))
    await peer.until(lambda: bool(peer.entries("LEVELONE_FUTURES")))
    await peer.simulator.drop_all()
    await peer.simulator.until(
        lambda simulator: simulator.connections_total == 2 and simulator.subscribed("LEVELONE_FUTURES") == ["/NQ"], 10
    )
