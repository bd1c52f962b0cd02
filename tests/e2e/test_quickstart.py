"""What a newcomer does, word for word, in a copy of the repository; installs from the package index, so ``-m slow``."""

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from tests.conftest import RedisServer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
NODE = (ROOT / "docs" / "howto" / "other-languages.md").read_text(encoding="utf-8")
# On a busy machine; the point is that it ends at the table.
INSTALLED_WITHIN_S, LIMIT_S = 600.0, 60.0
ROWS, COLUMNS = 40, 140

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as somebody gets it who clones it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


def newcomer() -> dict[str, str]:
    """A reader's environment: their PATH, without the environment that this test runs in."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "VIRTUAL", "PIP"))
    }
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != own)
    return {**kept, "PATH": path, "TERM": "xterm-256color"}


class Terminal:
    """A terminal with one command in it."""

    def __init__(self, text: str, place: Path) -> None:
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.set_blocking(self._master, False)
        self.process = subprocess.Popen(
            ["bash", "-c", text],
            cwd=place,
            env=newcomer(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def shows(self, pattern: str, limit_s: float) -> str:
        """Wait until the screen shows this; returns the screen."""
        deadline = time.monotonic() + limit_s
        while not re.search(pattern, self.text()):
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            self.read()
            time.sleep(0.05)
        return self.text()

    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def read(self) -> None:
        """Take in what was drawn."""
        try:
            while part := os.read(self._master, 65_536):
                self._stream.feed(part)
        except (BlockingIOError, OSError):
            return

    def stop(self) -> int:
        """Press Ctrl-C and keep reading until it ends."""
        os.killpg(self.process.pid, signal.SIGINT)
        deadline = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text()
            self.read()
            time.sleep(0.05)
        return int(self.process.returncode)

    def close(self) -> None:
        """End it, however it is."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals that do not outlive the test."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_the_first_command_ends_at_a_live_table(copy: Path, terminals: list[Terminal]) -> None:
    """Environment, installation, simulated Schwab, embedded Redis: one line later prices move, and are in Redis."""
    (first,) = re.findall(r"<!-- command: try -->\n```sh\n(.+?)\n```", PAGE)
    terminals.append(Terminal(first, copy))
    screen = terminals[0].shows(r"/NQ:XCME +/NQ\w\d+ +[\d,]+\.\d\d", INSTALLED_WITHIN_S)
    assert "streaming" in screen
    terminals[0].shows(r"redis://127\.0\.0\.1:\d+", LIMIT_S)
    port = re.search(r"redis://127\.0\.0\.1:(\d+)", terminals[0].text())
    assert port
    (beside,) = re.findall(r"```sh\n(schwabstream quote .+?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        ["bash", "-euc", f". .venv/bin/activate\n{beside}"],
        cwd=copy,
        env={**newcomer(), "REDIS_URL": f"redis://127.0.0.1:{port[1]}/0"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/MES:XCME" in done.stdout
    before = terminals[0].text()
    terminals[0].shows(rf"^(?!{re.escape(before)})", LIMIT_S)
    assert terminals[0].stop() == 0


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine: apt-get install npm")
def test_node_reads_with_its_redis_package(
    tmp_path: Path, redis_server: RedisServer, terminals: list[Terminal]
) -> None:
    """The page's program prints the last value it finds, and what is published afterwards."""
    (program,) = re.findall(r"<!-- file: ticks.mjs -->\n```js\n(.+?)```", NODE, re.DOTALL)
    (command,) = re.findall(r"```sh\n(npm install .+?)```", NODE, re.DOTALL)
    place = tmp_path / "node"
    place.mkdir()
    (place / "ticks.mjs").write_text(program.replace("6379", str(redis_server.port)))
    tick = '{{"symbol":"AAPL","seq":{},"bid_price":1.5,"ask_price":2.5,"last_price":{}}}'
    redis_server.client.hset("market_data:last:ticks", "AAPL", tick.format(7, 201.25))
    terminals.append(Terminal(command, place))
    terminals[0].shows(r"AAPL 1\.5 2\.5 201\.25", INSTALLED_WITHIN_S)
    redis_server.client.publish("market_data:ticks", tick.format(7, 0))
    redis_server.client.publish("market_data:ticks", tick.format(8, 202.75))
    assert " 0\n" not in terminals[0].shows(r"AAPL 1\.5 2\.5 202\.75", LIMIT_S)
