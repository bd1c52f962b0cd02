"""``doctor`` on Schwab: DNS, TLS, the clock, the account, its entitlements and quotes."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from schwabstream.commands.doctor import schwab
from schwabstream.commands.doctor.examine import examine
from schwabstream.commands.doctor.findings import Verdict
from schwabstream.simulator import SchwabSimulator
from tests.support.diagnosis import of


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "code"), [(10, Verdict.WARNING, 0), (-3600, Verdict.FAILED, 2), (3600, Verdict.FAILED, 2)]
)
async def test_clock(good: SchwabSimulator, ahead_s: float, verdict: Verdict, code: int) -> None:
    """A clock that is off by some seconds is a warning, by half a minute a failure; the direction is named."""
    (clock,) = [
        each
        for each in await schwab.examine_network(good.base_url, wall=lambda: time.time() + ahead_s)
        if each.name == "clock"
    ]
    assert (clock.verdict, clock.code) == (verdict, code)
    assert ("ahead of" if ahead_s > 0 else "behind") in clock.detail


async def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown host fails by name, and what depends on it is not checked."""
    dns, tls, clock = await schwab.examine_network("https://schwab.invalid")
    assert (dns.verdict, dns.code) == (Verdict.FAILED, 4)
    assert "schwab.invalid" in dns.detail
    assert tls.verdict is clock.verdict is Verdict.UNCHECKED


async def test_nobody_listens(unused_port: int) -> None:
    """A refused port is a failure with the system's words."""
    _, tls, clock = await schwab.examine_network(f"http://127.0.0.1:{unused_port}")
    assert (tls.verdict, tls.code) == (Verdict.FAILED, 4)
    assert "Connection refused" in tls.detail or "Connect call failed" in tls.detail
    assert clock.verdict is Verdict.UNCHECKED


async def test_certificate_that_nobody_signed(tmp_path: Path) -> None:
    """An untrusted certificate is a failure with its fix."""
    from schwabstream.auth.callback import _server_context

    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=_server_context("127.0.0.1"))
    port = server.sockets[0].getsockname()[1]
    _, tls, _ = await schwab.examine_network(f"https://127.0.0.1:{port}")
    server.close()
    assert (tls.verdict, tls.code) == (Verdict.FAILED, 4)
    assert "not trusted" in tls.detail
    assert "certificates" in str(tls.fix)


async def test_no_tls_where_there_should_be() -> None:
    """Plain text where TLS is expected is a failure."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, tls, _ = await schwab.examine_network(f"https://127.0.0.1:{port}")
    server.close()
    assert tls.verdict is Verdict.FAILED
    assert "no TLS" in tls.detail


async def test_server_that_never_answers() -> None:
    """Each look is bounded: a server that accepts the connection and stays silent is a failure after the limit."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: connections.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    *_, clock = await schwab.examine_network(f"http://127.0.0.1:{port}", limit_s=0.3)
    for writer in connections:
        writer.close()
        await writer.wait_closed()
    server.close()
    assert (clock.verdict, clock.code, clock.detail) == (Verdict.FAILED, 4, "no answer within 0.3 s")


@pytest.mark.parametrize(
    ("fault", "code"), [("server_error", 4), ("rate_limited", 4), ("unauthorized", 3), ("not_json", 4)]
)
async def test_schwab_that_refuses(good: SchwabSimulator, fault: Any, code: int) -> None:
    """Schwab's answer decides the code; what depends on the answer is not checked."""
    good.faults.rest_error = fault
    diagnosis = await examine()
    assert of(diagnosis, "account").verdict is Verdict.FAILED
    assert diagnosis.exit_code == code
    assert of(diagnosis, "lease").verdict is Verdict.UNCHECKED
    assert of(diagnosis, "report").verdict is Verdict.OK


async def test_login_that_schwab_refuses(good: SchwabSimulator) -> None:
    """A refused refresh is code 3 with the way to log in."""
    good.faults.rest_error, good.faults.token_error = "unauthorized", "refresh_expired"
    diagnosis = await examine()
    assert diagnosis.exit_code == 3
    assert of(diagnosis, "account").fix == "run schwabstream auth login"


@pytest.mark.parametrize(
    ("level2", "permission", "words"),
    [(False, "NP", "no level 2"), (True, None, "not reported"), (True, "12345678", "not reported")],
)
async def test_entitlements(good: SchwabSimulator, level2: bool, permission: str | None, words: str) -> None:
    """A missing entitlement is a warning; unknown values from Schwab are not repeated."""
    good.faults.level2_permission, good.faults.market_data_permission = level2, permission
    found = of(await examine(), "entitlements")
    assert (found.verdict, words in found.detail) == (Verdict.WARNING, True)
    assert "12345678" not in found.detail


async def test_delayed_quotes(good: SchwabSimulator) -> None:
    """Delayed quotes are a warning."""
    good.faults.delayed = True
    quotes = of(await examine(), "quotes")
    assert (quotes.verdict, "symbols delayed" in quotes.detail) == (Verdict.WARNING, True)


async def test_unknown_symbols(good: SchwabSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols that Schwab does not quote are named."""
    monkeypatch.setenv("SCHWAB_SYMBOLS", "ZZZZQ")
    quotes = of(await examine(), "quotes")
    assert (quotes.verdict, "ZZZZQ" in quotes.detail) == (Verdict.WARNING, True)


@pytest.mark.parametrize("url", ["wss://h:abc/", "wss://[::1/", f"wss://{'x' * 64}.invalid/", "wss://h:1\x1b]0;x\x07/"])
async def test_a_streamer_address_that_cannot_be_used(good: SchwabSimulator, url: str) -> None:
    """An address that cannot be parsed is code 5, in words, without control characters."""
    good.rest.socket_url = url
    found = of(await examine(), "streamer")
    assert (found.verdict, found.code) == (Verdict.FAILED, 5)
    assert "address cannot be used" in found.detail
    assert found.detail.isprintable()
