"""The simulator over HTTP: OAuth with every error body, REST, and the control path (protocol 1 and 2)."""

import asyncio
import datetime as dt
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import websockets.asyncio.client as ws

from schwabstream.simulator import Faults, SchwabSimulator
from schwabstream.simulator.statics import EASTERN

CALLBACK = "https://127.0.0.1:8182"
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 20, 10, 0, 5, tzinfo=EASTERN).timestamp()

    def __call__(self) -> float:
        return self.now


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


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A simulator at 10:00:05 Eastern on Friday, 2026-11-20, somebody logged in."""
    clock = Clock()
    async with (
        SchwabSimulator(clock=clock) as simulator,
        httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as client,
    ):
        yield Web(simulator, clock, client)


# -- the authorize page (protocol 1.1, 1.2)


async def test_the_page_leads_back_with_a_code(web: Web) -> None:
    """The Allow button's form carries the parameters on; allowing redirects with code, session and state."""
    page = await web.authorize()
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert re.search(r'<button id="allow" name="decision" value="allow">', page.text)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text))
    assert hidden["state"] == "s&amp;1"
    answer = await web.authorize(decision="allow")
    assert answer.status_code == 302
    location = answer.headers["location"]
    assert location.startswith(f"{CALLBACK}/?code=C0.b2F1dGgyLmJkYy5zY2h3YWIuY29t.")
    query = parse_qs(urlsplit(location).query)
    assert "%40&session=" in location
    assert re.fullmatch(r"C0\.b2F1dGgyLmJkYy5zY2h3YWIuY29t\.[\w-]{43}@", query["code"][0])
    assert query["state"] == ["s&1"]


async def test_denying_and_approving_at_once(web: Web) -> None:
    """Deny redirects with an error; with ``auto_approve`` no page is shown."""
    denied = await web.authorize(decision="deny")
    assert parse_qs(urlsplit(denied.headers["location"]).query)["error"] == ["access_denied"]
    web.faults.auto_approve = True
    assert (await web.authorize()).status_code == 302


async def test_client_and_callback_are_checked_byte_for_byte(web: Web) -> None:
    """A wrong app key, or a callback that differs by a slash, never leads to a code (protocol 1.1)."""
    wrong = await web.authorize(client_id="other", decision="allow")
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client", "error_description": "Unauthorized"})
    assert (await web.authorize(redirect_uri=f"{CALLBACK}/", decision="allow")).status_code == 400


async def test_a_registered_path_is_kept() -> None:
    """A callback with a path is redirected to as registered, with nothing added but the query."""
    callback = "https://127.0.0.1:8182/back"
    async with (
        SchwabSimulator(callback_url=callback, faults=Faults(auto_approve=True)) as simulator,
        httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as client,
    ):
        query = {"client_id": simulator.client_id, "redirect_uri": callback}
        answer = await client.get("/v1/oauth/authorize", params=query)
        assert answer.headers["location"].startswith(f"{callback}?code=")
        assert "state" not in answer.headers["location"]


# -- the token endpoint (protocol 1.3)


async def test_a_code_gives_tokens_once(web: Web) -> None:
    """The answer has the six recorded members and no clock of its own; a second use of the code is refused."""
    code = await web.code()
    answer = await web.exchange(code)
    assert answer.status_code == 200
    token = answer.json()
    assert set(token) == {"expires_in", "token_type", "scope", "refresh_token", "access_token", "id_token"}
    assert (token["expires_in"], token["token_type"], token["scope"]) == (1800, "Bearer", "api")
    assert token["access_token"].startswith("I0.b2F1dGgyLmNkYy5zY2h3YWIuY29t.")
    assert token["refresh_token"].endswith("@")
    again = await web.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_a_code_lives_30_seconds_and_knows_its_callback(web: Web) -> None:
    """Too late or with another redirect_uri a code is worthless, and stays so."""
    code = await web.code()
    web.clock.now += 31
    assert (await web.exchange(code)).status_code == 400
    code = await web.code()
    assert (await web.exchange(code, f"{CALLBACK}/")).status_code == 400
    assert (await web.exchange(code)).status_code == 400


async def test_refreshing_keeps_the_refresh_token(web: Web) -> None:
    """A refresh gives a new access token and the same refresh token; both access tokens work (protocol 1.3)."""
    answer = await web.refresh()
    token = answer.json()
    assert token["refresh_token"] == web.token["refresh_token"]
    assert token["access_token"] != web.token["access_token"]
    assert (await web.get("/trader/v1/userPreference")).status_code == 200
    assert web.simulator.received.refreshes == 1


async def test_refreshing_does_not_prolong_the_seven_days(web: Web) -> None:
    """Seven days after the browser login the refresh token is refused with the nested ``invalid_grant``."""
    web.clock.now += 7 * DAY - 1
    assert (await web.refresh()).status_code == 200
    web.clock.now += 1
    answer = await web.refresh()
    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_token_type"
    assert '"error":"invalid_grant"' in answer.json()["error_description"]


async def test_an_issued_token_has_the_age_asked_for(web: Web) -> None:
    """``issue_token(age_s)`` is a token file whose login lies that long back."""
    file = web.simulator.issue_token(age_s=6 * DAY)
    assert file["creation_timestamp"] == int(web.clock.now - 6 * DAY)
    assert file["token"]["expires_at"] == int(web.clock.now + 1800)
    assert (await web.refresh(file["token"]["refresh_token"])).status_code == 200
    web.clock.now += DAY
    assert (await web.refresh(file["token"]["refresh_token"])).status_code == 400


async def test_a_new_login_supersedes_the_old_refresh_token(web: Web) -> None:
    """The older refresh token gets the digest form of the error, the new one works."""
    token = (await web.exchange(await web.code())).json()
    answer = await web.refresh()
    assert answer.status_code == 400
    assert "refresh_token_authentication_error" in answer.json()["error_description"]
    assert (await web.refresh(token["refresh_token"])).status_code == 200


async def test_rotation_and_omission_are_switches(web: Web) -> None:
    """Rotating, a refresh gives a new token and the old one is dead; omitting, none; a login always gives one."""
    web.faults.rotate_refresh_token = True
    token = (await web.refresh()).json()
    assert token["refresh_token"] != web.token["refresh_token"]
    assert (await web.refresh()).status_code == 400
    web.faults.rotate_refresh_token, web.faults.omit_refresh_token = False, True
    answer = await web.refresh(token["refresh_token"])
    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()
    assert "refresh_token" in (await web.exchange(await web.code())).json()
    assert "refresh_token" in web.simulator.issue_token()["token"]


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


@pytest.mark.parametrize("auth", [("wrong", "wrong"), ("simulated-app-key-00000000000000", "wrong"), None])
async def test_app_key_and_secret_are_checked(web: Web, auth: tuple[str, str] | None) -> None:
    """Wrong or no credentials are ``invalid_client``."""
    answer = await web.refresh(auth=auth)
    assert (answer.status_code, answer.json()) == (
        401,
        {"error": "invalid_client", "error_description": "Unauthorized"},
    )


async def test_other_grants_are_refused(web: Web) -> None:
    """Only the two grants of protocol 1.3 exist."""
    auth = (web.simulator.client_id, web.simulator.client_secret)
    answer = await web.client.post("/v1/oauth/token", data={"grant_type": "password"}, auth=auth)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("error", "status", "part"),
    [
        ("refresh_expired", 400, r"\"invalid_grant\""),
        ("refresh_superseded", 400, "refresh_token_authentication_error"),
        ("bare_unsupported", 400, "unsupported_token_type"),
        ("invalid_client", 401, "invalid_client"),
        ("invalid_grant", 400, "invalid_grant"),
        ("forbidden_html", 403, "Access Denied"),
        ("empty_401", 401, ""),
        ("rate_limited", 429, "Rate limit"),
        ("server_error", 503, "Service Unavailable"),
        ("not_json", 200, "<html>"),
    ],
)
async def test_every_error_of_the_table_can_be_had(web: Web, error: str, status: int, part: str) -> None:
    """Each row of protocol 1.4, as often as asked; then the endpoint works again."""
    web.faults.apply({"token_error": error, "token_error_count": 1, "retry_after_s": 7})
    answer = await web.refresh()
    assert answer.status_code == status
    assert part in answer.text
    assert answer.headers.get("retry-after") == ("7" if status in (429, 503) else None)
    if error == "empty_401":
        assert answer.content == b""
    if error == "bare_unsupported":
        assert "invalid_grant" not in answer.text
    assert (await web.refresh()).status_code == 200
    assert web.simulator.received.refreshes == 2


async def test_the_endpoint_can_be_silent_dead_or_slow(web: Web) -> None:
    """No answer at all, a reset, or a late answer."""
    web.faults.token_error = "silence"
    with pytest.raises(httpx.ReadTimeout):
        await web.refresh(timeout=0.05)
    web.faults.token_error = "drop"
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await web.refresh()
    web.faults.token_error, web.faults.token_delay_s = None, 0.05
    start = asyncio.get_running_loop().time()
    assert (await web.refresh()).status_code == 200
    assert asyncio.get_running_loop().time() - start >= 0.049


async def test_the_date_header_is_the_simulators_clock(web: Web) -> None:
    """A client that measures its clock's skew finds the simulator's time."""
    assert (await web.refresh()).headers["date"] == "Fri, 20 Nov 2026 15:00:05 GMT"


# -- REST (protocol 2)


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


async def test_quotes_of_equities_and_futures_have_their_shapes(web: Web) -> None:
    """Equities and futures carry their own reference and quote members; unknown symbols stand beside them."""
    answer = (await web.get("/marketdata/v1/quotes", symbols="AAPL,BRK/B,/MES,/ESH27,XYZZY,$SPX,/NQ:XCME")).json()
    assert answer["errors"] == {"invalidSymbols": ["XYZZY", "/NQ:XCME"]}
    assert set(answer) == {"AAPL", "BRK/B", "/MESZ26", "/ESH27", "$SPX", "errors"}
    equity, future = answer["AAPL"], answer["/MESZ26"]
    assert (equity["assetMainType"], equity["assetSubType"], equity["quoteType"]) == ("EQUITY", "COE", "NBBO")
    assert (equity["reference"]["exchange"], equity["reference"]["exchangeName"]) == ("Q", "NASDAQ")
    assert answer["BRK/B"]["reference"]["exchangeName"] == "NYSE"
    assert equity["quote"]["bidPrice"] < equity["quote"]["askPrice"]
    assert set(equity) >= {"fundamental", "quote", "reference", "regular", "extended"}
    assert (future["symbol"], future["reference"]["product"]) == ("/MESZ26", "/MES")
    assert future["reference"]["futureActiveSymbol"] == "/MESZ26"
    assert future["reference"]["futureMultiplier"] == 5
    quote = future["quote"]
    assert (quote["tick"], quote["tickAmount"]) == (0.25, 1.25)
    # A percentage, as in the stream (trap T16).
    assert quote["futurePercentChange"] == pytest.approx(100 * quote["netChange"] / quote["closePrice"], abs=1e-6)
    assert answer["$SPX"]["assetMainType"] == "INDEX"


async def test_any_ticker_is_quoted_but_those_a_test_names(web: Web) -> None:
    """REST has a price for every valid ticker; the switch, and a few names by default, make Schwab not know one."""
    answer = (await web.get("/marketdata/v1/quotes", symbols="INTC,KO,XYZZY,USD/JPY,NOSUCH")).json()
    assert set(answer) == {"INTC", "KO", "USD/JPY", "errors"}
    assert answer["errors"] == {"invalidSymbols": ["XYZZY", "NOSUCH"]}
    web.faults.unknown_keys = {"INTC"}
    answer = (await web.get("/marketdata/v1/quotes", symbols="INTC,KO,XYZZY")).json()
    assert answer["errors"] == {"invalidSymbols": ["INTC"]}
    assert (await web.get("/marketdata/v1/INTC/quotes")).status_code == 404


async def test_an_option_is_quoted_with_its_terms(web: Web) -> None:
    """An option's quote has its value and its reference the terms of the contract, in Schwab's words (protocol 2.2)."""
    key = "AAPL  261218C00270000"
    entry = (await web.get("/marketdata/v1/quotes", symbols=key)).json()[key]
    quote, reference = entry["quote"], entry["reference"]
    assert quote["underlyingPrice"] - reference["strikePrice"] == pytest.approx(quote["moneyIntrinsicValue"])
    assert quote["timeValue"] == pytest.approx(quote["lastPrice"] - quote["moneyIntrinsicValue"])
    assert quote["markChange"] == pytest.approx(quote["mark"] - quote["closePrice"])
    assert reference["description"] == "APPLE INC 12/18/2026 $270 Call"
    assert (reference["contractType"], reference["underlying"], reference["exerciseType"]) == ("C", "AAPL", "A")
    assert (reference["expirationYear"], reference["expirationMonth"], reference["expirationDay"]) == (2026, 12, 18)
    assert (reference["daysToExpiration"], reference["deliverables"], reference["isPennyPilot"]) == (
        28,
        "100 AAPL",
        True,
    )
    assert (reference["settlementType"], reference["uvExpirationType"], reference["multiplier"]) == ("P", "S", 100)
    assert reference["lastTradingDay"] == int(dt.datetime(2026, 12, 19, tzinfo=dt.UTC).timestamp()) * 1000


async def test_a_future_option_is_quoted(web: Web) -> None:
    """An option on a future has its own members, and its future under ``reference.underlying`` (protocol 2.2)."""
    entry = (await web.get("/marketdata/v1/quotes", symbols="./ESZ26C6900")).json()["./ESZ26C6900"]
    assert (entry["assetMainType"], entry["symbol"]) == ("FUTURE_OPTION", "./ESZ26C6900")
    assert entry["quote"]["bidPrice"] < entry["quote"]["askPrice"]
    reference = entry["reference"]
    assert (reference["contractType"], reference["strikePrice"], reference["underlying"]) == ("C", 6900, "/ESZ26")
    assert (reference["exchange"], reference["exchangeName"], reference["multiplier"]) == ("@", "XCME", 50)


async def test_the_key_of_a_root_is_a_switch(web: Web) -> None:
    """A root answers under its contract, as TD Ameritrade did, or under itself (protocol 2.2)."""
    web.faults.root_quote_key = "root"
    answer = (await web.get("/marketdata/v1/quotes", symbols="/MES", fields="reference")).json()
    assert answer["/MES"]["symbol"] == "/MES"
    assert answer["/MES"]["reference"]["futureActiveSymbol"] == "/MESZ26"
    assert "quote" not in answer["/MES"]


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


async def test_requests_are_recorded_with_their_status(web: Web) -> None:
    """Method, path, query, status and time of each call, but not of the control path."""
    await web.get("/marketdata/v1/quotes", symbols="AAPL,/ES")
    await web.client.get("/simulator/state")
    (seen,) = web.simulator.received.requests
    assert (seen.method, seen.path, seen.status) == ("GET", "/marketdata/v1/quotes", 200)
    assert (seen.query, seen.at) == ({"symbols": "AAPL,/ES"}, web.clock.now)


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


# -- the control path


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
    """Drop, evict and stop work on a live session, and the state tells it."""
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
    """Whoever made the simulator refuse everything can still call it back over HTTP."""
    await web.client.put("/simulator/faults", json={"refuse": True})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await web.get("/trader/v1/userPreference")
    await web.client.put("/simulator/faults", json={"refuse": False})
    assert (await web.get("/trader/v1/userPreference")).status_code == 200


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
