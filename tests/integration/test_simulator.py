"""The simulator's streamer as a raw client sees it: protocol 3 and 9, and every streamer fault."""

import asyncio
import datetime as dt
import json
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import websockets.asyncio.client as ws
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.protocol import State

from schwabstream.errors import ConfigurationError
from schwabstream.simulator import Faults, SchwabSimulator
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
    """Speaks the protocol by hand; keeps every frame as it came."""

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
    """A simulator that moves only when told, its clock, and clients for it."""

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


# -- LOGIN and LOGOUT (protocol 3.3)


async def test_login_answers_then_heartbeats(lab: Lab) -> None:
    """LOGIN gives code 0 with server and status, ids echoed, the request id as a string; a heartbeat follows."""
    client = await lab.connect(login=False)
    await client.send("ADMIN", "LOGIN", requestid=17, Authorization=lab.token)
    answer, beat = await client.receive(), await client.receive()
    response = answer["response"][0]
    assert response["content"] == {"code": 0, "msg": "server=sim0001-1;status=NP"}
    assert response["requestid"] == "17"
    assert response["SchwabClientCorrelId"] == client.correl_id
    assert response["timestamp"] == int(lab.clock.now * 1000)
    assert beat == {"notify": [{"heartbeat": str(int(lab.clock.now * 1000))}]}
    assert lab.simulator.sessions == 1


async def test_a_bad_token_is_denied_and_cut(lab: Lab) -> None:
    """Code 3 with Schwab's words, then the server closes; an expired token is a bad token."""
    client = await lab.connect(login=False)
    assert await client.login(Authorization="I0.wrong@") == (3, "Login Denied.: token is invalid or has expired.")
    assert (await client.closed())[0] == 1000
    lab.clock.now += 1801
    client = await lab.connect(login=False)
    assert (await client.login())[0] == 3


async def test_a_live_session_outlives_its_token(lab: Lab) -> None:
    """The token is checked at LOGIN only: the stream goes on past its expiry (protocol 3.9)."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.entry(FUTURES)
    lab.clock.now += 3600
    lab.simulator.step()
    assert (await client.entry(FUTURES))["key"] == "/NQ"


@pytest.mark.parametrize("parameters", [None, [], "token", {"Authorization": None}, {"Authorization": 7}])
async def test_a_login_without_a_token_is_denied(lab: Lab, parameters: object) -> None:
    """Whatever stands where the token belongs, the answer is code 3."""
    client = await lab.connect(login=False)
    request = {"service": "ADMIN", "command": "LOGIN", "requestid": 0, "parameters": parameters}
    ids = {"SchwabClientCustomerId": lab.simulator.customer_id, "SchwabClientCorrelId": "x"}
    await client.socket.send(json.dumps(request | ids))
    assert (await client.until("response"))["content"]["code"] == 3


async def test_logout_answers_then_closes(lab: Lab) -> None:
    """LOGOUT gives SUCCESS and close code 1000."""
    client = await lab.connect()
    assert await client.command("ADMIN", "LOGOUT") == (0, "SUCCESS")
    assert (await client.closed())[0] == 1000
    await lab.simulator.until(lambda simulator: simulator.sessions == 0)


async def test_commands_before_login_are_refused_and_the_socket_stays(lab: Lab) -> None:
    """Code 20 before LOGIN, and when the correlation id changed after it."""
    client = await lab.connect(login=False)
    assert await client.subscribe(FUTURES, "/NQ") == 20
    assert (await client.login())[0] == 0
    client.correl_id = "99999999-2222-4333-8444-555555555555"
    assert await client.subscribe(FUTURES, "/NQ") == 20


async def test_commands_of_another_customer_are_refused(lab: Lab) -> None:
    """Code 20 when the customer id is not the one of the LOGIN (protocol 3.4)."""
    client = await lab.connect()
    client.customer_id = "0" * 64
    assert await client.subscribe(FUTURES, "/NQ") == 20
    assert lab.simulator.subscribed(FUTURES) == []


@pytest.mark.parametrize(
    "text",
    ["not JSON", "[]", '{"requests":7}', '{"requests":[{"service":"ADMIN"}]}', '{"service":"X","command":"SUBS"}'],
)
async def test_bad_format_is_told_and_cut(lab: Lab, text: str) -> None:
    """What is not JSON or lacks an id gets code 21, and the server closes; with the switch the socket stays."""
    client = await lab.connect()
    await client.socket.send(text)
    code, frames = await client.closed()
    assert code == 1000
    assert frames[-1]["response"][0]["content"] == {"code": 21, "msg": "Bad command formatting"}
    lab.faults.bad_format_keeps_socket = True
    client = await lab.connect()
    await client.socket.send(text)
    assert (await client.until("response"))["content"]["code"] == 21
    assert await client.subscribe(FUTURES, "/NQ") == 0


async def test_a_bare_request_and_two_in_one_frame_are_understood(lab: Lab) -> None:
    """A request may come without the list, or several in one; each gets its own answer (protocol 3.2)."""
    client = await lab.connect()
    ids = {"SchwabClientCustomerId": lab.simulator.customer_id, "SchwabClientCorrelId": client.correl_id}
    one = {
        "service": FUTURES,
        "command": "SUBS",
        "requestid": "a",
        "parameters": {"keys": "/NQ", "fields": "0,1"},
        **ids,
    }
    await client.socket.send(json.dumps(one))
    assert (await client.until("response"))["requestid"] == "a"
    await client.socket.send(json.dumps({"requests": [{**one, "requestid": 1}, {**one, "requestid": 2}]}))
    assert (await client.until("response"))["requestid"] == "1"
    assert (await client.until("response"))["requestid"] == "2"


# -- one connection per user (protocol 3.8)


async def test_a_second_login_evicts_the_first(lab: Lab) -> None:
    """The new login wins; the old socket gets code 12 as ``Invalid Service`` and ends without a close frame."""
    first = await lab.connect()
    second = await lab.connect()
    code, frames = await first.closed()
    assert code is None
    notice = frames[-1]["notify"][0]
    assert (notice["service"], notice["content"]["code"]) == ("Invalid Service", 12)
    assert "Each user may only have one Streamer open at a time." in notice["content"]["msg"]
    assert await second.subscribe(FUTURES, "/NQ") == 0
    assert lab.simulator.sessions == 1


async def test_eviction_can_be_silent_or_polite(lab: Lab) -> None:
    """Switches drop the notice and choose a close code."""
    lab.faults.evict_notify, lab.faults.evict_close_code = False, 1000
    first = await lab.connect()
    await lab.connect()
    code, frames = await first.closed()
    assert code == 1000
    assert all("content" not in frame["notify"][0] for frame in frames)


# -- SUBS, ADD, UNSUBS, VIEW (protocol 3.6)


async def test_a_snapshot_comes_first_then_changes(lab: Lab) -> None:
    """The first entry has every wanted field and the asset; later ones only ``key`` and what changed; never field 0."""
    client = await lab.connect()
    assert await client.command(FUTURES, "SUBS", keys="/NQ", fields="0,1,2,3,34") == (0, "SUBS command succeeded")
    first = await client.entry(FUTURES)
    assert set(first) == {"key", "delayed", "assetMainType", "1", "2", "3", "34"}
    assert (first["key"], first["assetMainType"], first["34"]) == ("/NQ", "FUTURE", "/NQZ26")
    state = first
    for _ in range(50):
        lab.simulator.step()
    lab.simulator.push_data(FUTURES, {"key": "end"})
    changes = 0
    while (entry := await client.entry(FUTURES))["key"] != "end":
        assert set(entry) <= {"key", "1", "2", "3"}
        assert all(state[number] != value for number, value in entry.items() if number != "key")
        state = {**state, **entry}
        changes += 1
    assert 10 < changes <= 50


async def test_no_change_overtakes_a_snapshot(lab: Lab) -> None:
    """However fast the market moves, the first entry of a key is its snapshot."""
    lab.faults.changes_per_s, lab.faults.snapshot_delay_s = 500, 0.05
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ", "0,1,2,3,34")
    assert (await client.entry(FUTURES))["34"] == "/NQZ26"
    assert "34" not in await client.entry(FUTURES)


async def test_equity_snapshots_name_subtype_and_cusip(lab: Lab) -> None:
    """Equities carry assetSubType and cusip in the first entry, futures do not (protocol 3.5)."""
    client = await lab.connect()
    await client.subscribe(EQUITIES, "AAPL", "0,1,2,3")
    entry = await client.entry(EQUITIES)
    assert (entry["assetMainType"], entry["assetSubType"], entry["cusip"]) == ("EQUITY", "COE", "037833100")


async def test_subs_replaces_add_appends_unsubs_removes(lab: Lab) -> None:
    """SUBS wipes the service's list, ADD extends it, UNSUBS needs keys only; other services are untouched."""
    client = await lab.connect()
    subscribed = lab.simulator.subscribed
    await client.subscribe(EQUITIES, "AAPL")
    await client.subscribe(FUTURES, "/NQ,/ES")
    await client.subscribe(FUTURES, "/MES", command="ADD")
    assert subscribed(FUTURES) == ["/NQ", "/ES", "/MES"]
    assert await client.command(FUTURES, "UNSUBS", keys="/ES") == (0, "UNSUBS command succeeded")
    assert subscribed(FUTURES) == ["/NQ", "/MES"]
    await client.subscribe(FUTURES, "/YM")
    assert subscribed(FUTURES) == ["/YM"]
    assert subscribed(EQUITIES) == ["AAPL"]


async def test_view_changes_the_fields_of_all_keys(lab: Lab) -> None:
    """VIEW needs no keys and narrows every key of its service."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ,/ES", "0,1,2,3,4,5")
    await client.until("data")
    assert await client.command(FUTURES, "VIEW", fields="0,4") == (0, "VIEW command succeeded")
    lab.simulator.step(20)
    lab.simulator.push_data(FUTURES, {"key": "end"})
    while (entry := await client.entry(FUTURES))["key"] != "end":
        assert set(entry) == {"key", "4"}


async def test_adding_a_key_again_sends_its_snapshot_again(lab: Lab) -> None:
    """A repeated ADD is answered with a fresh full entry."""
    client = await lab.connect()
    for _ in range(2):
        await client.subscribe(FUTURES, "/NQ", "0,1,34", command="ADD")
        assert (await client.entry(FUTURES))["34"] == "/NQZ26"


@pytest.mark.parametrize("command", ["SUBS", "ADD"])
async def test_a_key_that_is_subscribed_already_may_get_no_second_snapshot(lab: Lab, command: str) -> None:
    """With the switch off a repeated SUBS or ADD is acknowledged and changes nothing; a new key has its snapshot."""
    lab.faults.snapshot_on_resubscribe = False
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ", command=command)
    assert (await client.entry(FUTURES))["key"] == "/NQ"
    await client.subscribe(FUTURES, "/NQ,/ES", command=command)
    assert (await client.entry(FUTURES))["key"] == "/ES"
    lab.simulator.step()
    changes = (await client.until("data"))["content"]
    assert {each["key"] for each in changes} == {"/NQ", "/ES"}
    assert not any("assetMainType" in each for each in changes)


@pytest.mark.parametrize("key", ["NOSUCH", "/NQ:XCME", "/ESZ25", "/GOOG", "AAPL"])
async def test_an_unknown_key_is_acknowledged_and_silent(lab: Lab, key: str) -> None:
    """Code 0, then nothing for that key; the good key beside it lives (protocol 3.6, 6)."""
    client = await lab.connect()
    assert await client.subscribe(FUTURES, f"{key},/NQ") == 0
    await client.entry(FUTURES)
    lab.simulator.step(3)
    await client.subscribe(FUTURES, "/ES", command="ADD")
    await client.until("data", lambda each: each["content"][0]["key"] == "/ES")
    assert client.keys_with_data() == {"/NQ", "/ES"}


async def test_a_test_names_what_schwab_does_not_know(lab: Lab) -> None:
    """Keys of the switch are acknowledged and silent, whatever they look like; without it a few names still are."""
    lab.faults.apply({"unknown_keys": ["/NQ", "INTC"]})
    client = await lab.connect()
    assert await client.subscribe("LEVELONE_EQUITIES", "INTC,KO,NOPE") == 0
    assert await client.subscribe(FUTURES, "/NQ,/ES") == 0
    await client.entry(FUTURES)
    lab.simulator.step(3)
    await client.entry(FUTURES)
    assert client.keys_with_data() == {"KO", "NOPE", "/ES"}
    lab.faults.reset()
    assert await client.subscribe("LEVELONE_EQUITIES", "INTC,XYZZY,NOPE,ZZZZ") == 0
    await client.entry("LEVELONE_EQUITIES")
    lab.simulator.step(3)
    await client.entry("LEVELONE_EQUITIES")
    assert client.keys_with_data() == {"KO", "NOPE", "/ES", "INTC"}


@pytest.mark.parametrize("service", ["FUTURES_BOOK", "TIMESALE_FUTURES", "TIMESALE_EQUITY", "CHART_OPTIONS", "WHAT"])
async def test_services_schwab_lacks_answer_11(lab: Lab, service: str) -> None:
    """Code 11 in Schwab's words, and the socket stays (protocol 5)."""
    client = await lab.connect()
    answer = await client.command(service, "SUBS", keys="/NQ", fields="0,1,2,3")
    assert answer == (11, "Service not available or temporary down.")
    assert await client.subscribe(FUTURES, "/NQ") == 0


@pytest.mark.parametrize(("command", "code"), [("SUBS", 22), ("ADD", 24), ("UNSUBS", 23)])
async def test_a_command_without_keys_fails(lab: Lab, command: str, code: int) -> None:
    """A parameter called ``symbol`` instead of ``keys`` is a failed command (protocol 3.4)."""
    client = await lab.connect()
    assert await client.command(FUTURES, command, symbol="/NQ", fields="0") == (code, f"{command} command failed")


async def test_keys_over_the_limit_are_discarded(lab: Lab) -> None:
    """Code 19 tells limit and discarded count; the first keys live (protocol 3.4)."""
    lab.faults.max_keys = 2
    client = await lab.connect()
    code, text = await client.command(FUTURES, "SUBS", keys="/NQ,/ES,/YM,/CL", fields="0,1")
    assert code == 19
    assert text.endswith("(LEVELONE_FUTURES=2, DISCARDED=2)")
    await client.entry(FUTURES)
    assert client.keys_with_data() == {"/NQ", "/ES"}


# -- books and charts (protocol 4.6 to 4.8)


@pytest.mark.parametrize(("service", "key", "stranger"), [("NASDAQ_BOOK", "AAPL", "F"), ("NYSE_BOOK", "F", "AAPL")])
async def test_books_come_whole_from_the_listing_venue(lab: Lab, service: str, key: str, stranger: str) -> None:
    """A book is sent whole each time, with no asset fields; a share listed elsewhere is silent."""
    client = await lab.connect()
    assert await client.subscribe(service, f"{stranger},{key}", "0,1,2,3") == 0
    for _ in range(3):
        entry = await client.entry(service)
        assert set(entry) == {"key", "1", "2", "3"}
        assert entry["key"] == key
        assert len(entry["2"]) == len(entry["3"]) == 10
        lab.simulator.step()


async def test_futures_depth_is_a_switch(lab: Lab) -> None:
    """With ``futures_depth`` FUTURES_BOOK answers 0 and serves ten levels from the future's own exchange."""
    lab.faults.futures_depth = True
    client = await lab.connect()
    assert await client.subscribe("FUTURES_BOOK", "/NQ", "0,1,2,3") == 0
    entry = await client.entry("FUTURES_BOOK")
    assert len(entry["2"]) == 10
    assert entry["2"][0]["3"][0]["0"] == "XCME"


async def test_charts_send_each_minute_in_wire_layout(lab: Lab) -> None:
    """A finished minute comes once: futures start with its time, equities with the sequence (protocol 4.7)."""
    client = await lab.connect()
    await client.subscribe("CHART_FUTURES", "/NQ", "0,1,2,3,4,5,6")
    await client.subscribe("CHART_EQUITY", "AAPL", "0,1,2,3,4,5,6,7,8")
    start = int(lab.clock.now // 60 * 60_000)
    lab.simulator.step(30)
    lab.clock.now += 60
    lab.simulator.step()
    equity, future = await client.entry("CHART_EQUITY"), await client.entry("CHART_FUTURES")
    assert set(future) == {"key", "seq", "1", "2", "3", "4", "5", "6"}
    assert (future["key"], future["seq"], future["1"]) == ("/NQ", 1, start)
    assert future["3"] >= max(future["2"], future["5"]) >= min(future["2"], future["5"]) >= future["4"] > 20_000
    # 10:00 Eastern is three hours after 07:00.
    assert (equity["1"], equity["7"], equity["8"]) == (180, start, start // 86_400_000)
    assert equity["3"] >= max(equity["2"], equity["5"]) >= min(equity["2"], equity["5"]) >= equity["4"]
    assert equity["6"] > 0
    lab.simulator.step(30)
    lab.clock.now += 60
    lab.simulator.step()
    assert (await client.entry("CHART_FUTURES"))["seq"] == 2


async def test_the_roll_reaches_the_client(lab: Lab) -> None:
    """On roll day field 34 of a root changes while its key stays (trap T18)."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/MNQ", "0,34")
    assert (await client.entry(FUTURES))["34"] == "/MNQZ26"
    lab.clock.now = dt.datetime(2026, 12, 10, 10, tzinfo=EASTERN).timestamp()
    assert await client.entry(FUTURES) == {"key": "/MNQ", "34": "/MNQH27"}


async def test_options_and_forex_have_level_one(lab: Lab) -> None:
    """Options are numbered by their own table (bid is field 2), forex by its own."""
    client = await lab.connect()
    await client.subscribe("LEVELONE_OPTIONS", "AAPL  261218C00270000")
    option = await client.entry("LEVELONE_OPTIONS")
    assert (option["assetMainType"], option["20"], option["21"], option["22"]) == ("OPTION", 270.0, "C", "AAPL")
    assert option["cusip"] == ""
    assert option["2"] < option["3"]
    await client.subscribe("LEVELONE_FUTURES_OPTIONS", "./ESZ26C6900")
    future_option = await client.entry("LEVELONE_FUTURES_OPTIONS")
    assert (future_option["assetMainType"], future_option["24"]) == ("FUTURE_OPTION", "/ESZ26")
    assert future_option["1"] < future_option["2"]
    await client.subscribe("LEVELONE_FOREX", "EUR/USD")
    assert (await client.entry("LEVELONE_FOREX"))["assetMainType"] == "FOREX"


# -- timing on the loop's clock


async def test_the_market_moves_by_itself(lab: Lab) -> None:
    """With a rate, changes and books flow without being told to."""
    lab.faults.changes_per_s = lab.faults.books_per_s = 50
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.subscribe("NASDAQ_BOOK", "AAPL", "0,1,2,3")
    for _ in range(5):
        await client.entry(FUTURES)
        await client.entry("NASDAQ_BOOK")


async def test_thousands_of_single_entries_flow(lab: Lab) -> None:
    """Ten keys at 200 a second, one entry a frame: every frame has its one entry, and each key has its share."""
    lab.faults.changes_per_s, lab.faults.entries_per_frame = 200, 1
    client = await lab.connect()
    await client.subscribe(FUTURES, "/ES,/MES,/NQ,/MNQ,/RTY,/M2K,/YM,/MYM,/CL,/GC", "0,1,2,3,4,5,8,9,10,11")
    seen: dict[str, int] = {}
    for _ in range(2000):
        (entry,) = (await client.until("data"))["content"]
        seen[entry["key"]] = seen.get(entry["key"], 0) + 1
    assert len(seen) == 10
    assert min(seen.values()) > 150


async def test_heartbeats_come_at_their_interval_and_can_stop(lab: Lab) -> None:
    """Heartbeats repeat; switched off, the stream is dead although the socket lives."""
    lab.faults.heartbeat_interval_s = 0.01
    client = await lab.connect()
    for _ in range(3):
        assert (await client.receive())["notify"][0]["heartbeat"]
    lab.faults.heartbeats = False
    # At most one more was on its way.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.closed(), 0.1)


async def test_a_session_without_subscriptions_is_stopped(lab: Lab) -> None:
    """Code 30 for an empty subscription, after LOGIN and after the last UNSUBS, then the server closes."""
    lab.faults.empty_subscription_s = 0.02
    code, frames = await (await lab.connect()).closed()
    assert code == 1000
    notice = frames[-1]["notify"][0]
    assert (notice["service"], notice["content"]["code"]) == ("ADMIN", 30)
    assert notice["content"]["msg"] == "Stop streaming due to empty subscription"
    lab.faults.empty_subscription_s = None
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    lab.faults.empty_subscription_s = 0.02
    await client.command(FUTURES, "UNSUBS", keys="/NQ")
    assert (await client.closed())[0] == 1000


# -- faults of LOGIN and commands


async def test_login_faults(lab: Lab) -> None:
    """LOGIN can be unanswered, late, refused with any code, or end the connection."""
    lab.faults.login_delay_s = 0.02
    client = await lab.connect(login=False)
    start = asyncio.get_running_loop().time()
    assert (await client.login())[0] == 0
    assert asyncio.get_running_loop().time() - start >= 0.019
    lab.faults.login_delay_s, lab.faults.login_code = 0, 9
    assert (await (await lab.connect(login=False)).login())[0] == 9
    lab.faults.login_code, lab.faults.login_drop = None, True
    client = await lab.connect(login=False)
    with pytest.raises(ConnectionClosed):
        await client.login()
    lab.faults.login_drop, lab.faults.login_unanswered = False, True
    client = await lab.connect(login=False)
    await client.send("ADMIN", "LOGIN", Authorization=lab.token)
    await lab.simulator.until(lambda simulator: len(simulator.received.sent("ADMIN", "LOGIN")) == 4)
    assert await client.subscribe(FUTURES, "/NQ") == 20


@pytest.mark.parametrize("match", ["SUBS", FUTURES, f"{FUTURES} SUBS"])
async def test_commands_can_stay_unanswered(lab: Lab, match: str) -> None:
    """What matches is neither answered nor done; everything else is."""
    lab.faults.unanswered = {match}
    client = await lab.connect()
    await client.send(FUTURES, "SUBS", keys="/NQ", fields="0,1")
    assert await client.subscribe(EQUITIES, "AAPL", command="ADD") == 0
    assert lab.simulator.subscribed(FUTURES) == []


@pytest.mark.parametrize("code", [9, 11, 19, 20, 22])
async def test_commands_can_be_refused_with_a_code(lab: Lab, code: int) -> None:
    """The code comes, nothing is subscribed, the socket stays."""
    lab.faults.command_codes = {f"{FUTURES} SUBS": code}
    client = await lab.connect()
    assert await client.subscribe(FUTURES, "/NQ") == code
    assert await client.subscribe(EQUITIES, "AAPL") == 0
    assert lab.simulator.subscribed(FUTURES) == []


@pytest.mark.parametrize(("command", "code"), [("SUBS", 26), ("UNSUBS", 27), ("ADD", 28), ("VIEW", 29)])
async def test_the_documented_codes_of_success_succeed(lab: Lab, command: str, code: int) -> None:
    """A command answered with 26 to 29 has been carried out as with 0 (protocol 3.4)."""
    client = await lab.connect()
    assert await client.subscribe(FUTURES, "/ES", "0,1,2,3") == 0
    lab.faults.command_codes = {f"{FUTURES} {command}": code}
    assert await client.command(FUTURES, command, keys="/ES", fields="0,1") == (code, f"{command} command succeeded")
    (session,) = lab.simulator.live_sessions()
    asked = frozenset({"0", "1"})
    assert session.subscriptions[FUTURES] == ({} if command == "UNSUBS" else {"/ES": asked})


@pytest.mark.parametrize(("code", "close"), [(12, None), (30, 1000), (21, 1000)])
async def test_some_codes_end_the_session(lab: Lab, code: int, close: int | None) -> None:
    """Codes 12, 21 and 30 are followed by the end of the connection."""
    lab.faults.command_codes = {"SUBS": code}
    client = await lab.connect()
    assert await client.subscribe(FUTURES, "/NQ") == code
    assert (await client.closed())[0] == close


async def test_parallel_commands_fail_when_serial(lab: Lab) -> None:
    """With ``serial_commands`` a command that overtakes another gets 22 to 25, one after the answer does not."""
    lab.faults.serial_commands, lab.faults.command_delay_s = True, 0.02
    client = await lab.connect()
    first = await client.send(FUTURES, "SUBS", keys="/NQ", fields="0,1")
    second = await client.send(EQUITIES, "ADD", keys="AAPL", fields="0,1")
    answers = [await client.until("response") for _ in range(2)]
    assert {each["requestid"]: each["content"]["code"] for each in answers} == {first: 0, second: 24}
    assert await client.subscribe(EQUITIES, "AAPL") == 0


# -- faults of the data


async def test_muted_services_and_silent_keys(lab: Lab) -> None:
    """Acknowledged but without data, while the rest flows; unmuted, it flows again (trap T7)."""
    lab.faults.muted_services, lab.faults.silent_keys = {EQUITIES}, {"/NQ"}
    client = await lab.connect()
    await client.subscribe(EQUITIES, "AAPL")
    await client.subscribe(FUTURES, "/NQ,/ES")
    await client.entry(FUTURES)
    lab.simulator.step(3)
    lab.simulator.push_data(FUTURES, {"key": "end"})
    await client.until("data", lambda each: each["content"][0]["key"] == "end")
    assert client.keys_with_data() == {"/ES", "end"}
    lab.faults.reset()
    lab.simulator.step()
    await client.entry(EQUITIES)


async def test_heartbeat_only(lab: Lab) -> None:
    """Without data heartbeats go on and books, quotes and bars do not."""
    lab.faults.data = False
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.subscribe("NASDAQ_BOOK", "AAPL", "0,1,2,3")
    lab.simulator.step(3)
    lab.simulator.heartbeat()
    await client.until("notify")
    assert client.keys_with_data() == set()


async def test_only_part_of_a_batch_comes_alive(lab: Lab) -> None:
    """All keys are acknowledged, the first N have data (protocol 3.6)."""
    lab.faults.batch_limit = 2
    client = await lab.connect()
    assert await client.subscribe(FUTURES, "/NQ,/ES,/YM,/CL") == 0
    await client.entry(FUTURES)
    assert client.keys_with_data() == {"/NQ", "/ES"}


async def test_the_frame_of_an_unknown_future_is_not_json(lab: Lab) -> None:
    """With the switch the U+FFFD frame of trap T5 comes instead of silence, for level-1 futures."""
    lab.faults.unknown_symbol_frame = True
    client = await lab.connect()
    await client.subscribe(FUTURES, "/GOOG")
    while isinstance(frame := client.frames[-1], dict):
        await client.receive()
    assert '"key":"/GOOG"' in frame
    assert '"1":�' in frame
    assert "Symbol not found" in frame


async def test_mic_suffixes_can_be_accepted(lab: Lab) -> None:
    """With ``accept_mic`` a suffixed key lives under its own name."""
    lab.faults.accept_mic = True
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ:XCME", "0,34")
    entry = await client.entry(FUTURES)
    assert (entry["key"], entry["34"]) == ("/NQ:XCME", "/NQZ26")


async def test_halted_and_closed_markets_stand_still(lab: Lab) -> None:
    """A halted key, then a closed market: the snapshot tells the status, nothing moves."""
    lab.faults.halted_keys = {"/NQ"}
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ,/ES", "0,1,3,10,22")
    message = await client.until("data")
    assert [entry["22"] for entry in message["content"]] == ["Halted", "Normal"]
    lab.simulator.step()
    assert [entry["key"] for entry in (await client.until("data"))["content"]] == ["/ES"]
    lab.faults.market_status = "Closed"
    lab.simulator.step()
    lab.simulator.push_data(FUTURES, {"key": "end"})
    assert (await client.entry(FUTURES))["key"] == "end"


async def test_delayed_data_says_so(lab: Lab) -> None:
    """Without entitlement the snapshot is marked delayed."""
    lab.faults.delayed = True
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    assert (await client.entry(FUTURES))["delayed"] is True


async def test_frames_can_hold_several_services_or_single_entries(lab: Lab) -> None:
    """One data array with two services, or one entry a frame."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ,/ES")
    await client.subscribe(EQUITIES, "AAPL")
    await client.entry(EQUITIES)
    lab.faults.merge_services = True
    lab.simulator.step()
    frame = await client.receive()
    assert {each["service"] for each in frame["data"]} == {FUTURES, EQUITIES}
    lab.faults.merge_services, lab.faults.entries_per_frame = False, 1
    lab.simulator.step()
    for _ in range(3):
        frame = await client.receive()
        assert [len(each["content"]) for each in frame["data"]] == [1]


async def test_frames_can_be_spoiled(lab: Lab) -> None:
    """Garbage between frames, frames cut short, bare NaN, frames of half a megabyte: all on one socket that stays."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.entry(FUTURES)
    lab.faults.garbage_share = 1
    lab.simulator.step()
    good, garbage = await client.receive(), await client.receive()
    assert good["data"][0]["service"] == FUTURES
    assert not isinstance(garbage, dict) or not garbage or garbage == {"data": [{"content": 7}]}
    lab.faults.garbage_share, lab.faults.truncate_share = 0, 1
    lab.simulator.step()
    assert isinstance(await client.receive(), str)
    lab.faults.truncate_share, lab.faults.nan_share = 0, 1
    await client.subscribe(FUTURES, "/ES", "0,1")
    entry = await client.entry(FUTURES)
    assert math.isnan(entry["1"])
    lab.faults.nan_share, lab.faults.padding_bytes = 0, 500_000
    lab.simulator.step()
    entry = await client.entry(FUTURES)
    assert len(entry["99"]) == 500_000


async def test_a_frame_can_be_pushed_as_it_stands(lab: Lab) -> None:
    """Whatever text a test wants reaches every session unchanged."""
    client = await lab.connect()
    await client.receive()
    lab.simulator.push_frame("\x00 anything � {")
    assert await client.receive() == "\x00 anything � {"


# -- faults of the connection


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
    """A ping is answered unless switched off; data goes on either way (trap T8)."""
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


# -- the simulator itself


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
