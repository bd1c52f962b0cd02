"""The control path over HTTP: switches, tokens and actions for tests in another process."""

import asyncio

import httpx
import pytest
import websockets.asyncio.client as ws

from schwabstream.simulator import Faults
from tests.support.simulator_clients import Web


async def test_faults_are_switched_over_http(web: Web) -> None:
    """GET shows, PUT and PATCH set what they name, DELETE resets, nonsense is a 400 that names it."""
    client = web.client
    answer = await client.put("/simulator/faults", json={"silent_keys": ["/NQ"], "max_keys": 9})
    assert answer.status_code == 200
    assert (web.faults.silent_keys, web.faults.max_keys) == ({"/NQ"}, 9)
    await client.patch("/simulator/faults", json={"max_keys": 10})
    assert (await client.get("/simulator/faults")).json() == web.faults.as_json()
    assert (web.faults.silent_keys, web.faults.max_keys) == ({"/NQ"}, 10)
    wrong = await client.put("/simulator/faults", json={"no_such": 1})
    assert (wrong.status_code, wrong.json()) == (400, {"error": "no such fault: no_such"})
    assert (await client.put("/simulator/faults", content=b"[]")).status_code == 400
    assert (await client.put("/simulator/faults", content=b"{")).status_code == 400
    await client.delete("/simulator/faults")
    assert web.faults == Faults()
    assert (await client.get("/simulator/nothing")).status_code == 404


async def test_a_token_can_be_fetched(web: Web) -> None:
    """Another process gets a token file's content without a login."""
    file = (await web.client.post("/simulator/token", json={"age_s": 60})).json()
    assert file["creation_timestamp"] == int(web.clock.now - 60)
    web.token = file["token"]
    assert (await web.get("/trader/v1/userPreference")).status_code == 200


@pytest.mark.parametrize(
    ("action", "close"),
    [
        ({"action": "drop"}, None),
        ({"action": "drop", "code": 1012}, 1012),
        ({"action": "evict"}, None),
        ({"action": "stop"}, 1000),
    ],
)
async def test_sessions_can_be_ended_over_http(web: Web, action: dict[str, object], close: int | None) -> None:
    """Drop, evict and stop act on a live session, and the state shows it."""
    info = (await web.get("/trader/v1/userPreference")).json()["streamerInfo"][0]
    async with ws.connect(info["streamerSocketUrl"], proxy=None) as socket:
        request = {
            "service": "ADMIN",
            "command": "LOGIN",
            "requestid": 1,
            "SchwabClientCustomerId": info["schwabClientCustomerId"],
            "SchwabClientCorrelId": info["schwabClientCorrelId"],
            "parameters": {"Authorization": web.token["access_token"]},
        }
        await socket.send(httpx.Request("POST", "http://x", json=request).content.decode())
        await socket.recv()
        state = (await web.client.get("/simulator/state")).json()
        assert (state["sessions"], state["connections_total"], state["commands"]) == (1, 1, 1)
        assert (await web.client.post("/simulator/actions", json=action)).status_code == 200
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert (socket.protocol.close_rcvd.code if socket.protocol.close_rcvd else None) == close


async def test_other_actions(web: Web) -> None:
    """Steps, frames, heartbeats and revocations; unknown actions are a 400."""
    for action in (
        {"action": "step", "count": 3},
        {"action": "push", "text": "x"},
        {"action": "heartbeat"},
        {"action": "revoke_access"},
        {"action": "revoke_refresh"},
    ):
        assert (await web.client.post("/simulator/actions", json=action)).status_code == 200
    assert (await web.get("/trader/v1/userPreference")).status_code == 401
    assert (await web.refresh()).status_code == 400
    wrong = await web.client.post("/simulator/actions", json={"action": "drop", "code": 1005})
    assert (wrong.status_code, wrong.json()) == (400, {"error": "no such close code: 1005"})
    unknown = await web.client.post("/simulator/actions", json={"action": "explode"})
    assert (unknown.status_code, unknown.json()) == (400, {"error": "no such action: explode"})


async def test_refusing_spares_the_control_path(web: Web) -> None:
    """A simulator that refuses everything still answers its control path."""
    await web.client.put("/simulator/faults", json={"refuse": True})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await web.get("/trader/v1/userPreference")
    await web.client.put("/simulator/faults", json={"refuse": False})
    assert (await web.get("/trader/v1/userPreference")).status_code == 200
