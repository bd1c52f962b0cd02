"""schwab-py's own client and StreamClient against the simulator, unmodified but for the address."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from schwabstream.simulator import Faults, SchwabSimulator
from tests.support.waiting import DEADLINE_S

schwab_auth = pytest.importorskip("schwab.auth")
streaming = pytest.importorskip("schwab.streaming")


class Peer:
    """A real schwab-py client whose requests to api.schwabapi.com go to the simulator."""

    def __init__(self, simulator: SchwabSimulator) -> None:
        self.simulator = simulator
        self.file = simulator.issue_token()
        self.client: Any = schwab_auth.client_from_access_functions(
            simulator.client_id, simulator.client_secret, lambda: self.file, self.save, asyncio=True
        )
        self.client.session.event_hooks = {"request": [self.redirect]}
        self.stream: Any = streaming.StreamClient(self.client)
        self.messages: dict[str, list[dict[str, Any]]] = {}

    def save(self, file: dict[str, Any], *_: object, **__: object) -> None:
        self.file = file

    async def redirect(self, request: Any) -> None:
        port = int(self.simulator.base_url.rpartition(":")[2])
        assert request.url.host == "api.schwabapi.com"
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=port)

    def keep(self, message: dict[str, Any]) -> None:
        self.messages.setdefault(message["service"], []).append(message)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await self.stream.handle_message()

    def entries(self, service: str) -> list[dict[str, Any]]:
        return [entry for message in self.messages.get(service, []) for entry in message["content"]]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A client with a fresh token; the market moves 20 times a second."""
    async with SchwabSimulator(faults=Faults(changes_per_s=20, books_per_s=20)) as simulator:
        it = Peer(simulator)
        yield it
        if it.stream._socket is not None:
            await it.stream._socket.close()
        await it.client.close_async_session()


async def subscribe(peer: Peer, name: str, service: str, symbols: list[str]) -> None:
    """Register the handler and subscribe by schwab-py's own names."""
    getattr(peer.stream, f"add_{name}_handler")(peer.keep)
    subs: Callable[[list[str]], Awaitable[None]] = getattr(peer.stream, f"{name}_subs")
    await subs(symbols)
    assert peer.simulator.subscribed(service) == symbols


async def test_level_one_arrives_relabelled(peer: Peer) -> None:
    """Futures and equities log in, subscribe, and deliver a snapshot then changes under schwab-py's field names."""
    await peer.stream.login()
    await subscribe(peer, "level_one_futures", "LEVELONE_FUTURES", ["/NQ", "/MES"])
    await subscribe(peer, "level_one_equity", "LEVELONE_EQUITIES", ["AAPL", "BRK/B"])
    await peer.until(lambda: len(peer.entries("LEVELONE_FUTURES")) > 4 and len(peer.entries("LEVELONE_EQUITIES")) > 4)
    future, equity = peer.entries("LEVELONE_FUTURES")[0], peer.entries("LEVELONE_EQUITIES")[0]
    assert (future["key"], future["PRODUCT"], future["TICK"]) == ("/NQ", "/NQ", 0.25)
    assert future["FUTURE_ACTIVE_SYMBOL"].startswith("/NQ")
    assert future["BID_PRICE"] < future["ASK_PRICE"]
    assert (equity["key"], equity["DESCRIPTION"], equity["EXCHANGE_NAME"]) == ("AAPL", "APPLE INC", "NASDAQ")
    assert equity["BID_PRICE"] < equity["ASK_PRICE"]
    change = peer.entries("LEVELONE_FUTURES")[-1]
    assert "DESCRIPTION" not in change


async def test_options_and_forex_arrive_relabelled(peer: Peer) -> None:
    """Options on shares and on futures and a pair of currencies deliver snapshots with every field under its label."""
    await peer.stream.login()
    await subscribe(peer, "level_one_option", "LEVELONE_OPTIONS", ["INTC  271217C00030000"])
    await subscribe(peer, "level_one_futures_options", "LEVELONE_FUTURES_OPTIONS", ["./ESZ27C6900"])
    await subscribe(peer, "level_one_forex", "LEVELONE_FOREX", ["USD/JPY"])
    services = ("LEVELONE_OPTIONS", "LEVELONE_FUTURES_OPTIONS", "LEVELONE_FOREX")
    await peer.until(lambda: all(len(peer.entries(service)) > 1 for service in services))
    option, future_option, forex = (peer.entries(service)[0] for service in services)
    assert (option["UNDERLYING"], option["CONTRACT_TYPE"], option["EXCHANGE_ID"]) == ("INTC", "C", "O")
    assert (future_option["UNDERLYING_SYMBOL"], future_option["BID_ID"]) == ("/ESZ27", 63)
    assert (forex["SECURITY_STATUS"], forex["IS_TRADABLE"]) == ("Unknown", False)
    assert not [name for entry in (option, future_option, forex) for name in entry if name.isdigit()]


async def test_books_arrive_relabelled(peer: Peer) -> None:
    """Both books deliver whole books with prices, sizes and makers under schwab-py's names."""
    await peer.stream.login()
    await subscribe(peer, "nasdaq_book", "NASDAQ_BOOK", ["AAPL"])
    await subscribe(peer, "nyse_book", "NYSE_BOOK", ["F"])
    await peer.until(lambda: len(peer.entries("NASDAQ_BOOK")) > 2 and len(peer.entries("NYSE_BOOK")) > 2)
    book = peer.entries("NASDAQ_BOOK")[-1]
    assert len(book["BIDS"]) == len(book["ASKS"]) == 10
    level = book["BIDS"][0]
    assert level["TOTAL_VOLUME"] == sum(maker["BID_VOLUME"] for maker in level["BIDS"])
    assert level["NUM_BIDS"] == len(level["BIDS"])
    assert level["BID_PRICE"] < book["ASKS"][0]["ASK_PRICE"]


async def test_charts_arrive_relabelled() -> None:
    """Bars of both chart services have open, high, low and close where schwab-py looks for them (protocol 4.7)."""
    clock = [1_795_100_000.0]
    async with SchwabSimulator(clock=lambda: clock[0], faults=Faults(changes_per_s=0, books_per_s=0)) as simulator:
        other = Peer(simulator)
        await other.stream.login()
        await subscribe(other, "chart_futures", "CHART_FUTURES", ["/NQ"])
        await subscribe(other, "chart_equity", "CHART_EQUITY", ["AAPL"])
        simulator.step(20)
        clock[0] += 60
        simulator.step()
        await other.until(lambda: bool(other.entries("CHART_FUTURES") and other.entries("CHART_EQUITY")))
        future, equity = other.entries("CHART_FUTURES")[0], other.entries("CHART_EQUITY")[0]
        assert future["HIGH_PRICE"] >= future["OPEN_PRICE"] >= future["LOW_PRICE"] > 20_000
        assert equity["HIGH_PRICE"] >= equity["CLOSE_PRICE"] >= equity["LOW_PRICE"] > 200
        assert future["CHART_TIME_MILLIS"] == equity["CHART_TIME_MILLIS"] == int(clock[0] // 60 - 1) * 60_000
        await other.stream.logout()
        await other.client.close_async_session()


async def test_add_unsubs_and_logout_are_answered(peer: Peer) -> None:
    """Every command schwab-py sends gets the answer it insists on, LOGOUT included."""
    await peer.stream.login()
    await peer.stream.level_one_futures_subs(["/NQ"])
    await peer.stream.level_one_futures_add(["/ES"])
    assert peer.simulator.subscribed("LEVELONE_FUTURES") == ["/NQ", "/ES"]
    await peer.stream.level_one_futures_unsubs(["/NQ"])
    assert peer.simulator.subscribed("LEVELONE_FUTURES") == ["/ES"]
    await peer.stream.logout()
    await peer.simulator.until(lambda simulator: simulator.sessions == 0)


async def test_a_denied_login_is_seen_as_one(peer: Peer) -> None:
    """schwab-py reads code 3 and Schwab's text out of a denied LOGIN."""
    peer.simulator.faults.login_code = 3
    with pytest.raises(streaming.UnexpectedResponseCode, match="Login Denied"):
        await peer.stream.login()


async def test_rest_and_refresh_work(peer: Peer) -> None:
    """Quotes and hours answer; an expired access token is refreshed by authlib and written back with its age kept."""
    answer = await peer.client.get_quotes(["AAPL", "/ES"])
    assert answer.status_code == 200
    assert answer.json()["AAPL"]["quote"]["bidPrice"] > 0
    hours = await peer.client.get_market_hours([peer.client.MarketHours.Market.EQUITY])
    assert "equity" in hours.json()
    born = peer.file["creation_timestamp"]
    old = dict(peer.file["token"])
    peer.client.session.token["expires_at"] = 1
    assert (await peer.client.get_quotes(["AAPL"])).status_code == 200
    assert peer.simulator.received.refreshes == 1
    assert peer.file["creation_timestamp"] == born
    assert peer.file["token"]["access_token"] != old["access_token"]
    assert peer.file["token"]["refresh_token"] == old["refresh_token"]
