"""How a connection to the simulator fails, stalls and ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.protocol import State

from tests.support.simulator_clients import FUTURES, Lab, Web
from tests.support.waiting import DEADLINE_S


async def test_refusals_of_new_connections(lab: Lab) -> None:
    """Reset at once, reset in the handshake, an HTTP status instead of it, or a closed port."""
    lab.faults.refuse = True
    with pytest.raises((InvalidMessage, OSError)):
        await lab.connect()
    lab.faults.refuse, lab.faults.drop_in_handshake = False, True
    with pytest.raises((InvalidMessage, OSError)):
        await lab.connect()
    lab.faults.drop_in_handshake, lab.faults.handshake_status = False, 503
    with pytest.raises(InvalidStatus) as refused:
        await lab.connect()
    assert refused.value.response.status_code == 503
    lab.faults.handshake_status, lab.faults.handshake_delay_s = None, 30
    with pytest.raises(TimeoutError):
        await lab.connect(open_timeout=0.05)
    lab.faults.handshake_delay_s = 0
    await lab.simulator.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        await lab.connect()
    await lab.simulator.start_listening()
    await lab.connect()


@pytest.mark.parametrize("code", [None, 1000, 1001, 1011, 1012])
async def test_drop_all_ends_sessions_as_asked(lab: Lab, code: int | None) -> None:
    """A close code reaches the client; None is the common death without a close frame (1006)."""
    client = await lab.connect()
    dropping = asyncio.ensure_future(lab.simulator.drop_all(code))
    assert (await client.closed())[0] == code
    await dropping
    assert lab.simulator.streamer_connections == 0
    await lab.connect()
    assert lab.simulator.connections_total == 2


async def test_sessions_can_die_at_random(lab: Lab) -> None:
    """Each session ends within the span, with or without a close frame."""
    lab.faults.drop_every_s = (0.01, 0.02)
    assert (await (await lab.connect()).closed())[0] is None
    lab.faults.drop_close_code = 1012
    assert (await (await lab.connect()).closed())[0] == 1012


async def test_a_black_hole_swallows_everything(lab: Lab) -> None:
    """The connection stays open, but neither data nor answers nor pongs come."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.entry(FUTURES)
    lab.faults.black_hole = True
    lab.simulator.step()
    pong = await client.socket.ping()
    await client.send(FUTURES, "SUBS", keys="/ES", fields="0,1")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.receive(), 0.1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pong, 0.01)
    assert client.socket.state is State.OPEN


async def test_pongs_can_stop_while_data_flows(lab: Lab) -> None:
    """A ping is answered unless switched off; data flows either way (trap T8)."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.entry(FUTURES)
    async with asyncio.timeout(DEADLINE_S):
        await (await client.socket.ping())
    lab.faults.pongs = False
    pong = await client.socket.ping()
    assert await client.subscribe(FUTURES, "/ES", command="ADD") == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pong, 0.01)


async def test_a_slow_reader_is_stopped(lab: Lab) -> None:
    """A client that does not read gets code 30 for slowness in the end (protocol 3.4)."""
    lab.faults.slow_consumer_bytes = 200_000
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    client.socket.transport.pause_reading()
    lab.faults.padding_bytes = 500_000
    lab.simulator.step(20)
    assert lab.simulator.sessions == 0
    client.socket.transport.resume_reading()
    _, frames = await client.closed()
    assert frames[-1]["notify"][0]["content"] == {"code": 30, "msg": "Stop streaming due to slowness"}


@pytest.mark.parametrize(
    ("path", "status", "phrase"),
    [
        ("/v1/oauth/authorize", 401, "Unauthorized"),
        ("/simulator/faults", 200, "OK"),
        ("/simulator/x", 404, "Not Found"),
    ],
)
async def test_answers_have_a_reason_phrase(web: Web, path: str, status: int, phrase: str) -> None:
    """The status line is complete, for clients that show it."""
    answer = await web.client.get(path)
    assert (answer.status_code, answer.extensions["reason_phrase"]) == (status, phrase.encode())


async def test_a_bad_upgrade_is_refused_in_http(web: Web) -> None:
    """An upgrade without the key of a WebSocket handshake gets a 400 and no session."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    answer = await web.client.get("/ws", headers=headers)
    assert answer.status_code == 400
    assert web.simulator.connections_total == 0


async def test_a_client_may_leave_while_an_answer_is_due(web: Web) -> None:
    """A late answer to a client that is gone is dropped without a trace."""
    web.faults.rest_delay_s = 0.02
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(web.get("/trader/v1/userPreference"), 0.01)
    web.faults.rest_delay_s = 0
    assert (await web.get("/trader/v1/userPreference")).status_code == 200


async def test_bodies_and_connections_are_reused(web: Web) -> None:
    """A chunked body is read whole; a client that asks for it gets its connection closed."""

    async def chunks() -> AsyncIterator[bytes]:
        for part in (b"grant_type=refresh", b"_token&refresh_token=", web.token["refresh_token"].encode()):
            yield part

    auth = (web.simulator.client_id, web.simulator.client_secret)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
    answer = await web.client.post("/v1/oauth/token", content=chunks(), headers=headers, auth=auth)
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
