"""The metrics port: its answers, its bounds, its end."""

import asyncio
import contextlib
import json
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.errors import ConfigurationError
from schwabstream.logs import configure_logging
from schwabstream.monitoring.metrics import Monitor
from schwabstream.monitoring.server import MOST_CONNECTIONS, serve_metrics
from schwabstream.publishing.lease import Lease
from schwabstream.settings import load_settings
from tests.support.waiting import DEADLINE_S, until


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    """A run that has not begun."""
    settings = load_settings(schwab_client_id="key", schwab_client_secret="secret")
    return Monitor(SchwabAuthClient(settings, TokenStore(tmp_path / "token.json")))


@pytest.fixture
async def port(monitor: Monitor) -> AsyncIterator[int]:
    """The port it is shown on."""
    async with serve_metrics(monitor, 0) as port:
        yield port


async def ask(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


async def test_metrics_are_in_prometheus_format(port: int) -> None:
    """``/metrics`` answers in the text format, with the length it announces."""
    status, headers, body = await ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert int(headers["Content-Length"]) == len(body)
    assert b'schwabstream_state{state="connecting"} 1.0' in body


async def test_prices_have_a_path_of_their_own(port: int) -> None:
    """``/metrics/market`` answers in the same format; ``/metrics`` has none of its gauges."""
    status, headers, body = await ask(port, "GET /metrics/market HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b"\nschwabstream_market_symbols 0\n" in body
    assert b"schwabstream_market" not in (await ask(port, "GET /metrics HTTP/1.1\r\n\r\n"))[2]


async def test_health_is_a_status_and_json(port: int, monitor: Monitor) -> None:
    """``/healthz`` answers 503 until the run streams, then 200; its JSON agrees."""
    status, headers, body = await ask(port, "GET /healthz HTTP/1.1\r\n\r\n")
    assert (status, headers["Content-Type"]) == (503, "application/json")
    assert json.loads(body)["healthy"] is False
    monitor.lease = Lease("redis://127.0.0.1:1/0", "market_data")
    monitor.lease.waiting_for = "7:tower:4711"
    status, _, body = await ask(port, "GET /healthz?verbose=1 HTTP/1.0\r\n\r\n")
    assert (status, json.loads(body)["v"], json.loads(body)["healthy"]) == (200, 1, True)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 404),
        ("GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        ("POST /metrics HTTP/1.1\r\n\r\n", 405),
        ("\x00\xff\r\n\r\n", 405),
    ],
)
async def test_everything_else_is_shown_the_door(port: int, request_: str, status: int) -> None:
    """Other paths, methods and nonsense get a plain refusal."""
    assert (await ask(port, request_))[0] == status


async def test_head_has_no_body(port: int) -> None:
    """HEAD answers with the headers of GET and nothing after them."""
    status, headers, body = await ask(port, "HEAD /metrics HTTP/1.1\r\n\r\n")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


async def test_too_large_a_request_is_cut_off(port: int) -> None:
    """A request without an end is not kept in memory: the connection ends at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x" * 100_000)
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_idle_connections_are_bounded_and_the_rest_is_answered(port: int) -> None:
    """Idle connections use few descriptors, however many there are; a new request is answered once they are gone."""
    before = descriptors()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * MOST_CONNECTIONS)]
    await until(lambda: descriptors() - before - len(idle) >= MOST_CONNECTIONS)
    assert descriptors() - before - len(idle) <= MOST_CONNECTIONS
    asked = asyncio.create_task(ask(port, "GET /healthz HTTP/1.1\r\n\r\n"))
    for each in idle:
        each.close()
    assert (await asked)[0] == 503


async def test_running_out_of_descriptors_is_one_line_in_the_log(
    monitor: Monitor, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a free descriptor nothing is answered and one warning is logged; afterwards everything works again."""
    configure_logging("json")
    async with serve_metrics(monitor, 0) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        clients = [socket.socket() for _ in range(5)]
        for client in clients:
            client.setblocking(False)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        try:
            for client in clients:
                client.connect_ex(("127.0.0.1", port))
            written = await until(lambda: capsys.readouterr().err)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert (await ask(port, "GET / HTTP/1.1\r\n\r\n"))[0] == 404
        for client in clients:
            client.close()
        writer.close()
        await writer.wait_closed()
    lines = [json.loads(line) for line in (written + capsys.readouterr().err).splitlines()]
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("metrics are unavailable at the moment", "Too many open files")
    ]
    structlog.reset_defaults()


async def test_leaving_ends_open_connections(monitor: Monitor) -> None:
    """An idle connection does not hold up the end."""
    async with asyncio.timeout(DEADLINE_S):
        async with serve_metrics(monitor, 0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await ask(port, "GET / HTTP/1.1\r\n\r\n"))[0] == 404
        assert await reader.read() == b""
    writer.close()


async def test_port_in_use_is_a_setting_to_correct(port: int, monitor: Monitor) -> None:
    """A taken port is a ConfigurationError that names the variable, before anything else is done."""
    with pytest.raises(ConfigurationError, match=rf"SCHWAB_METRICS_PORT: port {port} on 127.0.0.1 is in use"):
        async with serve_metrics(monitor, port):
            pass
