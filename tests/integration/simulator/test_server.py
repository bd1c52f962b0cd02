"""The simulator as one program: its port, its record, its seed, and what a test does to its clients."""

import httpx
import pytest

from schwabstream.errors import ConfigurationError
from schwabstream.simulator import Faults, SchwabSimulator
from tests.support.simulator_clients import FUTURES, Clock, Lab, Web


async def test_a_frame_can_be_pushed_as_it_stands(lab: Lab) -> None:
    """A pushed text reaches every session unchanged."""
    client = await lab.connect()
    await client.receive()
    lab.simulator.push_frame("\x00 anything � {")
    assert await client.receive() == "\x00 anything � {"


async def test_stop_and_evict_on_demand(lab: Lab) -> None:
    """A test can stop or evict every session."""
    client = await lab.connect()
    lab.simulator.stop_all("Stop streaming due to administrator action")
    code, frames = await client.closed()
    assert code == 1000
    assert frames[-1]["notify"][0]["content"]["code"] == 30
    client = await lab.connect()
    lab.simulator.evict_all()
    code, frames = await client.closed()
    assert code is None
    assert frames[-1]["notify"][0]["content"]["code"] == 12


async def test_what_came_in_is_recorded(lab: Lab) -> None:
    """Commands are kept in order as sent; connections with their times."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ", "0,1")
    seen = [(each["service"], each["command"]) for each in lab.simulator.received.commands]
    assert seen == [("ADMIN", "LOGIN"), (FUTURES, "SUBS")]
    assert lab.simulator.received.commands[1]["parameters"] == {"keys": "/NQ", "fields": "0,1"}
    assert lab.simulator.received.connection_times == [lab.clock.now]


async def test_two_simulators_of_one_seed_are_alike() -> None:
    """Same seed, same clock, same steps: the same frames and tokens, bit for bit."""
    runs = []
    for _ in range(2):
        faults = Faults(changes_per_s=0, books_per_s=0, snapshot_delay_s=0)
        async with SchwabSimulator(seed=3, clock=Clock(), faults=faults) as simulator:
            it = Lab(simulator, Clock())
            client = await it.connect()
            await client.subscribe(FUTURES, "/NQ,/ES")
            await client.subscribe("NASDAQ_BOOK", "AAPL", "0,1,2,3")
            await client.entry("NASDAQ_BOOK")
            simulator.step(20)
            await client.command("ADMIN", "LOGOUT")
            runs.append((it.token, client.frames))
            await client.closed()
    assert runs[0] == runs[1]


async def test_only_loopback_is_listened_on(lab: Lab) -> None:
    """Another address or a taken port is a configuration error that names it."""
    with pytest.raises(ConfigurationError, match=r"0\.0\.0\.0"):
        SchwabSimulator(host="0.0.0.0")
    port = int(lab.simulator.base_url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}"):
        await SchwabSimulator(port=port).__aenter__()


async def test_port_is_free_after_the_block() -> None:
    """It answers HTTP within its block, and its port can be had again right after."""
    async with SchwabSimulator() as simulator, httpx.AsyncClient(trust_env=False) as client:
        port = int(simulator.base_url.rpartition(":")[2])
        assert (await client.get(f"{simulator.base_url}/simulator/state")).json()["sessions"] == 0
    async with SchwabSimulator(port=port):
        pass


async def test_the_date_header_is_the_simulators_clock(web: Web) -> None:
    """A client that measures its clock's skew finds the simulator's time."""
    assert (await web.refresh()).headers["date"] == "Fri, 20 Nov 2026 15:00:05 GMT"


async def test_requests_are_recorded_with_their_status(web: Web) -> None:
    """Method, path, query, status and time of each call, but not of the control path."""
    await web.get("/marketdata/v1/quotes", symbols="AAPL,/ES")
    await web.client.get("/simulator/state")
    (seen,) = web.simulator.received.requests
    assert (seen.method, seen.path, seen.status) == ("GET", "/marketdata/v1/quotes", 200)
    assert (seen.query, seen.at) == ({"symbols": "AAPL,/ES"}, web.clock.now)
