"""The HTTP session: calls to Schwab go to the base URL, and every failure of httpx becomes one of our errors."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from schwabstream.auth.session import Session, open_session
from schwabstream.errors import ConfigurationError, LoginRequired, SchwabUnavailable
from schwabstream.simulator import SchwabSimulator

APP = ("key", "secret")


@pytest.fixture
async def session(simulator: SchwabSimulator) -> AsyncIterator[Session]:
    """A session with the simulator that waits 0.1 s for an answer."""
    async with Session(*APP, simulator.base_url, time.time, answer_timeout_s=0.1) as opened:
        yield opened


async def test_a_call_to_schwab_goes_to_the_base_url(simulator: SchwabSimulator, session: Session) -> None:
    """Calls of authlib and of schwab-py, which address Schwab, reach the configured host."""
    simulator.faults.token_error = "refresh_expired"
    with pytest.raises(LoginRequired):
        await session.ask_refresh("R0.refresh@")
    schwab = session.rest_client()
    assert not (await session.ask_rest("I0.unknown@", schwab.get_user_preferences)).accepted
    assert simulator.received.paths() == ["/v1/oauth/token", "/trader/v1/userPreference"]


async def test_a_server_that_does_not_answer_is_unavailable(simulator: SchwabSimulator, session: Session) -> None:
    """A call without an answer within the timeout is SchwabUnavailable."""
    simulator.faults.token_error = "silence"
    with pytest.raises(SchwabUnavailable, match="did not answer in time"):
        await session.ask_refresh("R0.refresh@")


async def test_a_connection_that_breaks_is_unavailable(simulator: SchwabSimulator, session: Session) -> None:
    """A reset in place of an answer is SchwabUnavailable."""
    simulator.faults.token_error = "drop"
    with pytest.raises(SchwabUnavailable, match=r"127\.0\.0\.1.*broke"):
        await session.ask_refresh("R0.refresh@")


async def test_a_closed_port_is_unavailable(simulator: SchwabSimulator, session: Session) -> None:
    """A refused connection is SchwabUnavailable and names the host."""
    await simulator.stop_listening()
    with pytest.raises(SchwabUnavailable, match=r"cannot connect to Schwab .127\.0\.0\.1"):
        await session.ask_exchange("C0.code@", "https://127.0.0.1:8182")


async def test_no_error_shows_a_header(session: Session) -> None:
    """An error of httpx that quotes a header, and with it a token, is neither quoted nor chained."""

    async def request() -> httpx.Response:
        raise httpx.LocalProtocolError("Illegal header value b'Bearer I0.PLANTED@'")

    with pytest.raises(SchwabUnavailable) as caught:
        await session.ask_rest("I0.PLANTED@", request)
    assert "PLANTED" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(("proxy", "usable"), [(None, True), ("http://127.0.0.1:3128", True), ("socks9://h:1", False)])
async def test_only_http_proxies_can_be_used(proxy: str | None, usable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of another kind in the environment is a ConfigurationError that names the variables."""
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    if proxy is not None:
        monkeypatch.setenv("ALL_PROXY", proxy)
    if usable:
        await open_session(APP, "http://127.0.0.1:9", time.time).aclose()
        return
    with pytest.raises(ConfigurationError, match="ALL_PROXY, HTTPS_PROXY"):
        open_session(APP, "http://127.0.0.1:9", time.time)
