"""The simulator's streamer as a raw client sees it: protocol 3 and 9, and every streamer fault."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.simulator_clients import EQUITIES, FUTURES, Lab

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
    """The token is checked at LOGIN only: the stream continues past its expiry (protocol 3.9)."""
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ")
    await client.entry(FUTURES)
    lab.clock.now += 3600
    lab.simulator.step()
    assert (await client.entry(FUTURES))["key"] == "/NQ"


@pytest.mark.parametrize("parameters", [None, [], "token", {"Authorization": None}, {"Authorization": 7}])
async def test_a_login_without_a_token_is_denied(lab: Lab, parameters: object) -> None:
    """Any other value in place of the token is answered with code 3."""
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
async def test_bad_format_is_answered_and_cut_off(lab: Lab, text: str) -> None:
    """A frame that is not JSON or lacks an id gets code 21, and the server closes; with the switch the socket stays."""
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
    """Code 0 and no data for that key; the good key beside it has data (protocol 3.6, 6)."""
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
    """Code 19 names the limit and the discarded count; the first keys have data (protocol 3.4)."""
    lab.faults.max_keys = 2
    client = await lab.connect()
    code, text = await client.command(FUTURES, "SUBS", keys="/NQ,/ES,/YM,/CL", fields="0,1")
    assert code == 19
    assert text.endswith("(LEVELONE_FUTURES=2, DISCARDED=2)")
    await client.entry(FUTURES)
    assert client.keys_with_data() == {"/NQ", "/ES"}


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
    """Code 30 for an empty subscription, after LOGIN and after the last UNSUBS; the server closes."""
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
    """Matching commands are neither answered nor executed; all others are."""
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
    """A command answered with 26 to 29 has succeeded as with 0 (protocol 3.4)."""
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


async def test_heartbeat_only(lab: Lab) -> None:
    """Without data heartbeats continue; books, quotes and bars stop."""
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


async def test_mic_suffixes_can_be_accepted(lab: Lab) -> None:
    """With ``accept_mic`` a suffixed key lives under its own name."""
    lab.faults.accept_mic = True
    client = await lab.connect()
    await client.subscribe(FUTURES, "/NQ:XCME", "0,34")
    entry = await client.entry(FUTURES)
    assert (entry["key"], entry["34"]) == ("/NQ:XCME", "/NQZ26")
