"""A run that is watched: metrics and health on loopback, a person called when one is needed."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from schwabstream.simulator import SchwabSimulator
from tests.support.dashboards import panels, series_of, unmatched, variables
from tests.support.waiting import until

COMMAND = shutil.which("schwabstream", path=str(Path(sys.executable).parent)) or "schwabstream"
LIMIT_S = 60.0


def free_port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def fetch(port: int, path: str) -> tuple[int, str]:
    """Status and body; status 0 when nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.fixture
def environment(pointed: dict[str, str], clean: Path) -> dict[str, str]:
    """A login at the simulator, and an alert command that keeps its input."""
    command = f"sh -c 'cat >> {clean}/alerts; echo >> {clean}/alerts'"
    return os.environ | pointed | {"SCHWAB_ALERT_COMMAND": command}


def empty_panels(port: int) -> list[str]:
    """What the two dashboards ask for and the run does not expose."""
    series = series_of(fetch(port, "/metrics")[1], "schwabstream")
    series += series_of(fetch(port, "/metrics/market")[1], "schwabstream-market")
    boards = ("grafana.json", "grafana-market.json")
    return [each for board in boards for each in unmatched([*panels(board), *variables(board)], series)]


def alerts(clean: Path) -> list[Any]:
    """The alerts sent so far."""
    path = clean / "alerts"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_eviction_shows_and_calls_a_person(
    simulator: SchwabSimulator, environment: dict[str, str], clean: Path
) -> None:
    """While it streams it is healthy and every panel has data; once evicted it is not, and one alert is sent."""
    port = free_port()
    environment["SCHWAB_METRICS_PORT"] = str(port)
    run = await asyncio.create_subprocess_exec(
        COMMAND, "stream", "run", "--symbols", "/MES:XCME", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: fetch(port, "/healthz")[0] == 200)
        status, text = fetch(port, "/metrics")
        assert status == 200
        assert 'schwabstream_received_frames_total{service="LEVELONE_FUTURES"}' in text
        assert simulator.customer_id not in text
        await until(lambda: not empty_panels(port), show=lambda: empty_panels(port))
        simulator.evict_all()
        await until(lambda: 'schwabstream_state{state="evicted"} 1.0' in fetch(port, "/metrics")[1])
        assert fetch(port, "/healthz")[0] == 503
        await until(lambda: alerts(clean))
    finally:
        run.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(run.wait(), 20) == 0
    (event,) = alerts(clean)
    assert (event["state"], event["detail"]) == ("evicted", "evicted")
    assert "--take-over" in event["reason"]


async def test_giving_up_calls_a_person(environment: dict[str, str], clean: Path) -> None:
    """A run that ends for lack of a login sends an alert before it exits with 3."""
    environment["SCHWAB_TOKEN_PATH"] += ".missing"
    run = await asyncio.create_subprocess_exec(COMMAND, "stream", "run", env=environment, stderr=subprocess.PIPE)
    _, stderr = await asyncio.wait_for(run.communicate(), LIMIT_S)
    assert run.returncode == 3, stderr.decode()
    (event,) = alerts(clean)
    assert (event["state"], event["detail"]) == ("stopped", "gave_up")
    assert "schwabstream auth login" in event["reason"]


def test_taken_port_ends_the_run_with_one_sentence(clean: Path) -> None:
    """A metrics port in use is exit code 2 and a sentence that names the variable."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = subprocess.run(
            [COMMAND, "stream", "run", "--simulate", "--duration", "1"],
            env=os.environ | {"SCHWAB_METRICS_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert run.returncode == 2
    assert f"SCHWAB_METRICS_PORT: port {port} on 127.0.0.1 is in use" in run.stderr
