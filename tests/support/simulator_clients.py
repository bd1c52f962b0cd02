"""Clients of the simulator that speak its protocols directly: ``RawClient`` the streamer's, ``Web`` its HTTP."""

import asyncio
import datetime as dt
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import websockets.asyncio.client as ws
from websockets.exceptions import ConnectionClosed

from schwabstream.simulator import SchwabSimulator
from schwabstream.simulator.statics import EASTERN
from tests.support.waiting import DEADLINE_S

FUTURES, EQUITIES = "LEVELONE_FUTURES", "LEVELONE_EQUITIES"
ALL_FIELDS = ",".join(map(str, range(57)))


class Clock:
    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 20, 10, 0, 5, tzinfo=EASTERN).timestamp()

    def __call__(self) -> float:
        return self.now


class RawClient:
    """A client of the streamer without any library of ours; keeps every frame unchanged."""

    def __init__(self, simulator: SchwabSimulator, socket: ws.ClientConnection, token: str) -> None:
        self.simulator, self.socket, self.token = simulator, socket, token
        self.correl_id = "11111111-2222-4333-8444-555555555555"
        self.customer_id = simulator.customer_id
        self.frames: list[Any] = []
        self.number = 0

    async def send(self, service: str, command: str, requestid: object = None, **parameters: str) -> str:
        self.number += 1
        request = {
            "service": service,
            "command": command,
            "requestid": requestid if requestid is not None else self.number,
            "SchwabClientCustomerId": self.customer_id,
            "SchwabClientCorrelId": self.correl_id,
            "parameters": parameters,
        }
        await self.socket.send(json.dumps({"requests": [request]}))
        return str(request["requestid"])

    async def receive(self) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            text = await self.socket.recv()
        try:
            frame = json.loads(text)
        except ValueError:
            frame = text
        self.frames.append(frame)
        return frame

    async def until(self, kind: str, condition: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next message of a kind (response, notify, data) that fulfils a condition."""
        while True:
            frame = await self.receive()
            for message in frame.get(kind, []) if isinstance(frame, dict) else []:
                if condition(message):
                    return message

    async def command(self, service: str, command: str, **parameters: str) -> tuple[int, str]:
        """Send, wait for the answer, return its code and text."""
        number = await self.send(service, command, **parameters)
        answer = await self.until("response", lambda each: each["requestid"] == number)
        return answer["content"]["code"], answer["content"]["msg"]

    async def login(self, **parameters: str) -> tuple[int, str]:
        given = {"Authorization": self.token, "SchwabClientChannel": "N9", "SchwabClientFunctionId": "APIAPP"}
        return await self.command("ADMIN", "LOGIN", **{**given, **parameters})

    async def subscribe(self, service: str, keys: str, fields: str = ALL_FIELDS, command: str = "SUBS") -> int:
        code, _ = await self.command(service, command, keys=keys, fields=fields)
        return code

    async def entry(self, service: str) -> dict[str, Any]:
        """The first entry of the next data message of a service."""
        message = await self.until("data", lambda each: each["service"] == service)
        return dict(message["content"][0])

    async def closed(self) -> tuple[int | None, list[Any]]:
        """Read on to the end: the close code received (None without a close frame) and the frames before it."""
        start = len(self.frames)
        try:
            while True:
                await self.receive()
        except ConnectionClosed as end:
            return (end.rcvd.code if end.rcvd else None), self.frames[start:]

    def keys_with_data(self) -> set[str]:
        """The keys of every entry received so far."""
        messages = (message for frame in self.frames if isinstance(frame, dict) for message in frame.get("data", []))
        return {entry["key"] for message in messages for entry in message["content"]}


class Lab:
    """A simulator that moves only on request, its clock, and clients for it."""

    def __init__(self, simulator: SchwabSimulator, clock: Clock) -> None:
        self.simulator, self.clock, self.faults = simulator, clock, simulator.faults
        self.token = simulator.issue_token()["token"]["access_token"]
        self.clients: list[RawClient] = []

    async def connect(self, *, login: bool = True, **options: Any) -> RawClient:
        address = f"{self.simulator.base_url.replace('http', 'ws')}/ws"
        socket = await ws.connect(address, compression=None, ping_interval=None, max_size=None, proxy=None, **options)
        client = RawClient(self.simulator, socket, self.token)
        self.clients.append(client)
        if login:
            assert (await client.login())[0] == 0
        return client


CALLBACK = "https://127.0.0.1:8182"


class Web:
    """A simulator, its clock, and an HTTP client for it."""

    def __init__(self, simulator: SchwabSimulator, clock: Clock, client: httpx.AsyncClient) -> None:
        self.simulator, self.clock, self.client, self.faults = simulator, clock, client, simulator.faults
        self.token: dict[str, Any] = simulator.issue_token()["token"]

    async def refresh(self, token: str | None = None, **options: Any) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token or self.token["refresh_token"]}
        auth = (self.simulator.client_id, self.simulator.client_secret)
        return await self.client.post("/v1/oauth/token", data=form, **{"auth": auth, **options})

    async def exchange(self, code: str, redirect_uri: str = CALLBACK) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        auth = (self.simulator.client_id, self.simulator.client_secret)
        return await self.client.post("/v1/oauth/token", data=form, auth=auth)

    async def authorize(self, **parameters: str) -> httpx.Response:
        given = {
            "client_id": self.simulator.client_id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "state": "s&1",
        }
        return await self.client.get("/v1/oauth/authorize", params={**given, **parameters})

    async def code(self) -> str:
        answer = await self.authorize(decision="allow")
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    async def get(self, path: str, **parameters: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token['access_token']}"}
        return await self.client.get(path, params=parameters or None, headers=headers)
