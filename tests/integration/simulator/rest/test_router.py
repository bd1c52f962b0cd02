"""The simulator over HTTP: OAuth with every error body, REST, and the control path (protocol 1 and 2)."""

import asyncio
import re

import httpx
import pytest

from tests.support.simulator_clients import Web


async def test_user_preference_leads_to_the_streamer(web: Web) -> None:
    """One streamerInfo whose socket is this port, a new correlation id each time, and the entitlements."""
    first = await web.get("/trader/v1/userPreference")
    second = await web.get("/trader/v1/userPreference")
    info = first.json()["streamerInfo"]
    assert len(info) == 1
    assert info[0]["streamerSocketUrl"] == web.simulator.base_url.replace("http", "ws") + "/ws"
    assert re.fullmatch("[0-9a-f]{64}", info[0]["schwabClientCustomerId"])
    assert (info[0]["schwabClientChannel"], info[0]["schwabClientFunctionId"]) == ("N9", "APIAPP")
    assert info[0]["schwabClientCorrelId"] != second.json()["streamerInfo"][0]["schwabClientCorrelId"]
    assert first.json()["offers"] == [{"level2Permissions": True, "mktDataPermission": "NP"}]
    assert first.headers["schwab-client-correlid"]
    web.faults.market_data_permission, web.faults.level2_permission = None, False
    assert (await web.get("/trader/v1/userPreference")).json()["offers"] == [{"level2Permissions": False}]


@pytest.mark.parametrize("path", ["/trader/v1/userPreference", "/marketdata/v1/quotes?symbols=AAPL"])
async def test_a_stale_token_is_unauthorized(web: Web, path: str) -> None:
    """401 with an int status after expiry or revocation; no header at all is a 400 (protocol 2.4)."""
    web.clock.now += 1800
    answer = await web.get(path)
    assert answer.status_code == 401
    error = answer.json()["errors"][0]
    assert (error["status"], error["title"], error["detail"]) == (401, "Unauthorized", "Client not authorized")
    web.token = (await web.refresh()).json()
    assert (await web.get(path)).status_code == 200
    web.simulator.oauth.revoke_access()
    assert (await web.get(path)).status_code == 401
    missing = (await web.client.get(path)).json()["errors"][0]
    assert (missing["status"], missing["source"]) == ("400", {"header": "Authorization"})


async def test_quotes_refuse_what_schwab_refuses(web: Web) -> None:
    """Wrong fields, no symbols, more than 500."""
    wrong = await web.get("/marketdata/v1/quotes", symbols="AAPL", fields="quote,nonsense")
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["source"] == {"parameter": "fields"}
    assert (await web.get("/marketdata/v1/quotes")).status_code == 400
    many = await web.get("/marketdata/v1/quotes", symbols=",".join(f"A{number}" for number in range(501)))
    assert many.json()["errors"][0]["detail"] == "Search combination should not exceed 500."


async def test_one_symbol_by_path(web: Web) -> None:
    """A share by its path, percent-encoded; a future's slash and unknown symbols are 404 with a string status."""
    assert set((await web.get("/marketdata/v1/BRK%2FB/quotes")).json()) == {"BRK/B"}
    assert (await web.get("/marketdata/v1/AAPL/quotes", fields="bad")).status_code == 400
    for path in ("/marketdata/v1/%2FES/quotes", "/marketdata/v1/XYZZY/quotes", "/marketdata/v1/nowhere"):
        answer = await web.get(path)
        assert (answer.status_code, answer.json()["errors"][0]["status"]) == (404, "404")


async def test_market_hours_know_weekends_and_switches(web: Web) -> None:
    """An open day has sessions with offsets; a closed one has none and another inner key (protocol 2.3)."""
    path = "/marketdata/v1/markets"
    answer = (await web.get(path, markets="equity,future")).json()
    hours = answer["equity"]["EQ"]["sessionHours"]
    assert hours["regularMarket"] == [{"start": "2026-11-20T09:30:00-05:00", "end": "2026-11-20T16:00:00-05:00"}]
    assert set(hours) == {"preMarket", "regularMarket", "postMarket"}
    future = answer["future"]["ES"]["sessionHours"]["regularMarket"]
    assert future == [{"start": "2026-11-19T18:00:00-05:00", "end": "2026-11-20T17:00:00-05:00"}]
    closed = (await web.get(f"{path}/equity", date="2026-11-21")).json()
    assert closed == {
        "equity": {"equity": {"date": "2026-11-21", "marketType": "EQUITY", "product": "equity", "isOpen": False}}
    }
    sunday = (await web.get(path, markets="future,forex", date="2026-11-22")).json()
    assert sunday["future"] == {
        "future": {"date": "2026-11-22", "marketType": "FUTURE", "product": "future", "isOpen": False}
    }
    assert not sunday["forex"]["forex"]["isOpen"]
    monday = (await web.get(path, markets="future", date="2026-11-23")).json()["future"]["ES"]
    assert monday["sessionHours"]["regularMarket"][0]["start"] == "2026-11-22T18:00:00-05:00"
    assert not (await web.get(path, markets="equity", date="2026-11-26")).json()["equity"]["equity"]["isOpen"]
    web.faults.apply({"holidays": ["2026-11-24"], "half_days": ["2026-11-25"]})
    assert not (await web.get(path, markets="equity", date="2026-11-24")).json()["equity"]["equity"]["isOpen"]
    half = (await web.get(path, markets="equity", date="2026-11-25")).json()["equity"]["EQ"]["sessionHours"]
    assert half["regularMarket"][0]["end"] == "2026-11-25T13:00:00-05:00"
    assert (await web.get(path, markets="moon")).status_code == 400
    assert (await web.get(path, markets="equity", date="tomorrow")).status_code == 400


async def test_120_requests_a_minute(web: Web) -> None:
    """The 121st call within a minute is a 429, and the count slides on."""
    web.faults.retry_after_s = 30
    for _ in range(120):
        assert (await web.get("/marketdata/v1/quotes", symbols="AAPL")).status_code == 200
    limited = await web.get("/marketdata/v1/quotes", symbols="AAPL")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "30")
    web.clock.now += 60
    assert (await web.get("/marketdata/v1/quotes", symbols="AAPL")).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "part"),
    [
        ("unauthorized", 401, "Client not authorized"),
        ("forbidden_html", 403, "Access Denied"),
        ("empty_401", 401, ""),
        ("rate_limited", 429, "faultstring"),
        ("server_error", 503, "Service Unavailable"),
        ("gateway_fault", 500, "Body buffer overflow"),
        ("service_error", 500, '"message"'),
        ("not_json", 200, "<html>"),
    ],
)
async def test_rest_errors_can_be_had(web: Web, error: str, status: int, part: str) -> None:
    """Each shape of protocol 2.4, on the paths named, as often as asked."""
    web.faults.apply({"rest_error": error, "rest_error_path": "quotes", "rest_error_count": 1})
    assert (await web.get("/trader/v1/userPreference")).status_code == 200
    answer = await web.get("/marketdata/v1/quotes", symbols="AAPL")
    assert answer.status_code == status
    assert part in answer.text
    assert (await web.get("/marketdata/v1/quotes", symbols="AAPL")).status_code == 200


async def test_rest_can_be_silent_dead_or_slow(web: Web) -> None:
    """No answer, a reset, or a late one."""
    web.faults.rest_error = "drop"
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await web.get("/trader/v1/userPreference")
    web.faults.rest_error, web.faults.rest_delay_s = None, 0.03
    assert (await web.get("/trader/v1/userPreference")).status_code == 200
    web.faults.rest_error = "silence"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(web.get("/trader/v1/userPreference"), 0.1)


async def test_methods_and_malformed_requests(web: Web) -> None:
    """Another method is a 405; what is not HTTP resets the connection."""
    assert (await web.client.delete("/trader/v1/userPreference")).status_code == 405
    reader, writer = await asyncio.open_connection("127.0.0.1", int(web.simulator.base_url.rpartition(":")[2]))
    writer.write(b"\x16\x03\x01 this is TLS, perhaps\r\n\r\n")
    try:
        with pytest.raises(ConnectionResetError):
            await reader.read()
    finally:
        writer.close()
