"""What docs/howto/migrate.md gives to users of other libraries: with its lines their clients reach the simulator."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "migrate.md").read_text(encoding="utf-8")
LIMIT_S = 60.0


def blocks(language: str) -> list[str]:
    """The blocks of the page that this file runs."""
    return re.findall(rf"<!-- run -->\n```{language}\n(.+?)```", PAGE, re.DOTALL)


def environment() -> dict[str, str]:
    """The program on the PATH, and no settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCHWAB", "REDIS"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory in which the page's simulator runs and has written what it prints."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (command,) = blocks("sh")
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command.replace('8183', str(port)).strip()}"],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        settings = tmp_path / "simulator.env"
        ends = time.monotonic() + LIMIT_S
        while not settings.exists() or "SCHWAB_TOKEN_PATH" not in settings.read_text():
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.05)
        yield tmp_path
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()


def follow(python: str, program: str, place: Path) -> str:
    """Run one of the page's programs to its end; returns what it printed."""
    command = [python, "-c", program]
    done = subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_schwab_py_reaches_the_simulator(place: Path) -> None:
    """schwab-py logs in, subscribes and prints a future's quote under its own labels."""
    pytest.importorskip("schwab")
    program = blocks("python")[0]
    assert "BID_PRICE" in follow(sys.executable, program, place)


def test_schwabdev_reaches_the_simulator(place: Path) -> None:
    """Schwabdev logs in by its own OAuth, subscribes and prints the frames."""
    pytest.importorskip("schwabdev")
    program = blocks("python")[1]
    assert "LEVELONE_FUTURES" in follow(sys.executable, program, place)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_schwaby_reaches_the_simulator(place: Path, tmp_path: Path) -> None:
    """Schwaby takes schwab-py's lines under its own name; authlib changes with it, hence its own environment."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "schwaby==5.2.0", "python-dotenv"], check=True)
    program = blocks("python")[0].replace("from schwab.", "from schwaby.")
    assert "BID_PRICE" in follow(python, program, place)
