"""The simulator's authorize page and token endpoint, with every error body (protocol 1)."""

import asyncio
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from schwabstream.simulator import Faults, SchwabSimulator
from tests.support.simulator_clients import CALLBACK, Web

DAY = 86_400.0


# -- the authorize page (protocol 1.1, 1.2)


async def test_the_page_leads_back_with_a_code(web: Web) -> None:
    """The Allow button's form repeats the parameters; allowing redirects with code, session and state."""
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
    """The answer has the six recorded members and no time of its own; a second use of the code is refused."""
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
    """``issue_token(age_s)`` returns a token file whose login is that old."""
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
    """Each row of protocol 1.4 comes as often as asked; afterwards the endpoint works again."""
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
