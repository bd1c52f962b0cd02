"""A simulator whose clock stands still, with a client of its streamer or of its HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from schwabstream.simulator import Faults, SchwabSimulator
from tests.support.simulator_clients import Clock, Lab, Web


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A simulator at 10:00:05 Eastern on Friday, 2026-11-20; nothing moves by itself."""
    clock = Clock()
    faults = Faults(changes_per_s=0, books_per_s=0, snapshot_delay_s=0)
    async with SchwabSimulator(clock=clock, faults=faults) as simulator:
        it = Lab(simulator, clock)
        yield it
        for client in it.clients:
            client.socket.transport.abort()
            await client.socket.wait_closed()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A simulator at 10:00:05 Eastern on Friday, 2026-11-20, with a login."""
    clock = Clock()
    async with (
        SchwabSimulator(clock=clock) as simulator,
        httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as client,
    ):
        yield Web(simulator, clock, client)
