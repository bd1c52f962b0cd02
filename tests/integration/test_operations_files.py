"""The files that operators copy: the systemd unit is valid, the example alert posts what it is given."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from schwabstream.monitoring.alerts import AlertHistory, Alerts
from schwabstream.settings import Settings, foreign_environment
from tests.support.waiting import DEADLINE_S

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"


def test_unit_is_valid(tmp_path: Path) -> None:
    """The systemd of this machine finds nothing wrong with the unit, and thinks it well shut off."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    unit = tmp_path / "schwabstream.service"
    text = (OPERATIONS / "schwabstream.service").read_text()
    unit.write_text(text.replace("/opt/schwabstream/bin/schwabstream", sys.executable))
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        [analyze, "security", "--offline=true", str(unit)], capture_output=True, text=True, check=False
    )
    if rating := re.search(r"Overall exposure level.*: ([\d.]+)", rated.stdout):
        assert float(rating[1]) < 2.0


def test_documentation_names_real_settings_and_files() -> None:
    """Every variable in these files is a setting of ours, and every link leads somewhere."""
    known = {name.upper() for name in Settings.model_fields}
    for path in OPERATIONS.iterdir():
        text = path.read_text()
        assert set(re.findall(r"\bSCHWAB_[A-Z_]+|\bREDIS_URL", text)) <= known, path
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#]+)", text):
                assert (OPERATIONS / target).exists(), f"{path}: {target}"


async def test_example_posts_to_a_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as the alert command, the example posts state and reason to the webhook."""
    posted: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index] # it has one
        posted.set_result(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("CHAT_WEBHOOK_URL", f"http://127.0.0.1:{port}/hook")
    script = OPERATIONS / "alert-to-chat"
    assert os.access(script, os.X_OK)
    alerts = Alerts(f"{sys.executable} {script}", AlertHistory(tmp_path / "sent"), environment=foreign_environment())
    async with alerts.running():
        alerts.take_status({"state": "login_required", "reason": "the login has ended"})
        async with asyncio.timeout(DEADLINE_S):
            body = await posted
    server.close()
    assert "login required: the login has ended" in json.loads(body)["text"]
