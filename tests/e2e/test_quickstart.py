"""A newcomer's steps, word for word, in a copy of the repository; installs from the package index, so ``-m slow``."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import RedisServer
from tests.support.terminal import CTRL_C, Terminal
from tests.support.waiting import DEADLINE_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
NODE = (ROOT / "docs" / "howto" / "other-languages.md").read_text(encoding="utf-8")
# On a busy machine; the point is that it ends at the table.
INSTALLED_WITHIN_S, LIMIT_S = 600.0, 60.0
ROWS, COLUMNS = 40, 140

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A clone of the repository."""
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


def shows(terminal: Terminal, pattern: str, limit_s: float = DEADLINE_S) -> str:
    """Wait until the screen shows this; returns the screen."""
    return terminal.block_until(lambda screen: re.search(pattern, screen), limit_s)


Open = Callable[[str, Path], Terminal]


@pytest.fixture
def in_terminal() -> Iterator[Open]:
    """Run lines of shell in terminals that do not outlive the test."""
    opened: list[Terminal] = []

    def open_(text: str, place: Path) -> Terminal:
        opened.append(Terminal(["bash", "-c", text], newcomer(), cwd=place, columns=COLUMNS, lines=ROWS))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


def test_the_first_command_ends_at_a_live_table(copy: Path, in_terminal: Open) -> None:
    """Environment, installation, simulated Schwab, embedded Redis: one line later prices move, and are in Redis."""
    (first,) = re.findall(r"<!-- command: try -->\n```sh\n(.+?)\n```", PAGE)
    terminal = in_terminal(first, copy)
    screen = shows(terminal, r"/NQ:XCME +/NQ\w\d+ +[\d,]+\.\d\d", INSTALLED_WITHIN_S)
    assert "streaming" in screen
    shows(terminal, r"redis://127\.0\.0\.1:\d+")
    port = re.search(r"redis://127\.0\.0\.1:(\d+)", terminal.text)
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
    before = terminal.text
    shows(terminal, rf"^(?!{re.escape(before)})")
    terminal.type(CTRL_C)
    assert terminal.block_until_end() == 0


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine: apt-get install npm")
def test_node_reads_with_its_redis_package(tmp_path: Path, redis_server: RedisServer, in_terminal: Open) -> None:
    """The page's program prints the last value it finds, and what is published afterwards."""
    (program,) = re.findall(r"<!-- file: ticks.mjs -->\n```js\n(.+?)```", NODE, re.DOTALL)
    (command,) = re.findall(r"```sh\n(npm install .+?)```", NODE, re.DOTALL)
    place = tmp_path / "node"
    place.mkdir()
    (place / "ticks.mjs").write_text(program.replace("6379", str(redis_server.port)))
    tick = '{{"symbol":"AAPL","seq":{},"bid_price":1.5,"ask_price":2.5,"last_price":{}}}'
    redis_server.client.hset("market_data:last:ticks", "AAPL", tick.format(7, 201.25))
    terminal = in_terminal(command, place)
    shows(terminal, r"AAPL 1\.5 2\.5 201\.25", INSTALLED_WITHIN_S)
    redis_server.client.publish("market_data:ticks", tick.format(7, 0))
    redis_server.client.publish("market_data:ticks", tick.format(8, 202.75))
    assert " 0\n" not in shows(terminal, r"AAPL 1\.5 2\.5 202\.75")
