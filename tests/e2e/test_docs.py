"""Every command in README, CONTRIBUTING and docs runs, or states why it cannot. CONTRIBUTING explains the marks."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from schwabstream.simulator import Faults, SchwabSimulator
from tests.conftest import RedisServer
from tests.support.cases import only
from tests.support.redis_program import redis_program
from tests.support.waiting import block_until

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
    if re.search(r"^ *```(sh|bash|shell|console|python|js)$", path.read_text(encoding="utf-8"), re.MULTILINE)
)
BLOCK = re.compile(
    r"^ *<!-- (?P<stop>stop) -->$"
    r"|(?:^ *<!-- (?P<how>until|background|file|not run|run|command)(?:: (?P<what>.+?))? -->\n)?"
    r"^(?P<indent> *)```(?P<language>sh|bash|shell|console|python|js)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
ELSEWHERE = ("not run", "run", "command")
LIMIT_S = 60.0
BROWSER = f"""#!{sys.executable}
import ssl, sys, urllib.request
urllib.request.urlopen(sys.argv[1], context=ssl._create_unverified_context()).read()
"""


class Block(NamedTuple):
    """One thing to type, how it is marked, and with what."""

    how: str
    what: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order; a block of the language "" stops the background block."""
    found = []
    for match in BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")):
        if match["stop"]:
            found.append(Block("stop", "", "", ""))
        else:
            text = textwrap.dedent(match["text"])
            found.append(Block(match["how"] or "", match["what"] or "", match["language"], text))
    return found


def free_port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Schwab:
    """A simulated Schwab that approves every login, in a thread of its own."""

    def __init__(self) -> None:
        self.callback_url = f"https://127.0.0.1:{free_port()}"
        self.simulator = SchwabSimulator(callback_url=self.callback_url, faults=Faults(auto_approve=True))
        self._loop = asyncio.new_event_loop()
        self._open, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        async with self.simulator:
            self._open.set()
            await self._over.wait()

    def __enter__(self) -> SchwabSimulator:
        self._thread.start()
        assert self._open.wait(LIMIT_S)
        return self.simulator

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(LIMIT_S)
        self._loop.close()


class Running:
    """A command that runs until it gets Ctrl-C."""

    def __init__(self, command: list[str], text: str, place: Path, environment: dict[str, str]) -> None:
        self.text = text
        self._said = place / f"said-{time.monotonic_ns()}"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                command, cwd=place, env=environment, stdout=said, stderr=said, start_new_session=True
            )

    def says(self, words: str) -> None:
        """Wait until the output contains a text."""

        def show() -> str:
            return f"{self.text}\n{self.said()}"

        def said() -> bool:
            found = words in self.said()
            assert found or self._process.poll() is None, show()
            return found

        block_until(said, show=show, within_s=LIMIT_S)

    def said(self) -> str:
        """The output so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Press Ctrl-C; our commands must end well."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        try:
            code = self._process.wait(LIMIT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        assert code == 0 or "schwabstream" not in self.text, f"{self.text}\n{code}\n{self.said()}"


@dataclass
class Reader:
    """A reader who follows a page in an empty directory and types each block."""

    place: Path
    environment: dict[str, str]
    replaced: dict[str, str]
    beside: list[Running] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    def type(self, block: Block) -> None:
        """Carry out one block."""
        text = block.text
        for written, meant in self.replaced.items():
            text = text.replace(written, meant)
        if block.how == "stop":
            self.stop()
        elif block.how == "file":
            (self.place / block.what).write_text(text)
        elif block.how in ("until", "background"):
            self._start(text, block)
        elif needed := self._without(text):
            self.missing.add(needed)
        else:
            self._run(block.language, text)

    def _without(self, text: str) -> str | None:
        """A program that this block needs and the machine does not have."""
        needed = (name for name in ("node", "openssl", "redis-cli") if re.search(rf"\b{name}\b", text))
        return next((name for name in needed if shutil.which(name) is None), None)

    def _start(self, text: str, block: Block) -> None:
        if needed := self._without(text):
            self.missing.add(needed)
            return
        running = Running(["bash", "-euo", "pipefail", "-c", text], text, self.place, self.environment)
        self.beside.append(running)
        running.says(block.what)
        if block.how == "until":
            self.beside.remove(running)
            running.stop()

    def _run(self, language: str, text: str) -> None:
        command = [sys.executable, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            command, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"

    def stop(self) -> None:
        """End what runs beside, the newest first."""
        with contextlib.ExitStack() as stack:
            for running in self.beside:
                stack.callback(running.stop)
            self.beside = []


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all pages."""
    server = RedisServer(redis_program(), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()
    server.client.close()


@pytest.fixture
def reader(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader with an account at a simulated Schwab, not logged in, with schwabstream on the PATH."""
    shared_redis.client.flushall()
    place = tmp_path_factory.mktemp("reader")
    (place / ".venv").symlink_to(sys.prefix)
    browser = place / "browser"
    browser.write_text(BROWSER)
    browser.chmod(0o755)
    schwab = Schwab()
    with schwab as simulator:
        token = place / "token.json"
        token.write_text(json.dumps(simulator.issue_token()))
        token.chmod(0o600)
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(place),
            "BROWSER": f"{browser} %s",
            "REDIS_URL": shared_redis.url,
            "SCHWAB_API_BASE_URL": simulator.base_url,
            "SCHWAB_CALLBACK_URL": schwab.callback_url,
            "SCHWAB_CLIENT_ID": simulator.client_id,
            "SCHWAB_CLIENT_SECRET": simulator.client_secret,
        }
        replaced = {
            "YOUR-APP-KEY": simulator.client_id,
            "YOUR-SECRET": simulator.client_secret,
            "6379": str(shared_redis.port),
            "6380": str(free_port()),
            "8183": str(free_port()),
        }
        found = Reader(place, environment, replaced)
        try:
            yield found
        finally:
            found.stop()


@pytest.mark.parametrize("page", only({*PAGES} - {"docs/howto/archive.md", "docs/howto/parallel.md"}, PAGES))
def test_the_page_can_be_followed(page: str, reader: Reader) -> None:
    """Each block of the page, typed in its order, ends well; who comes without a login has one already."""
    typed = [block for block in blocks(page) if block.how not in ELSEWHERE]
    text = "".join(block.text for block in typed)
    if "YOUR-APP-KEY" in text:  # then the page says where key and secret go
        del reader.environment["SCHWAB_CLIENT_ID"], reader.environment["SCHWAB_CLIENT_SECRET"]
    if "auth login" not in text:
        tokens = reader.place / ".tokens"
        tokens.mkdir(mode=0o700)
        shutil.copy(reader.place / "token.json", tokens / "schwab_token.json")
    for block in typed:
        reader.type(block)
    if reader.missing:
        pytest.skip(f"the rest of the page ran; not installed: {', '.join(sorted(reader.missing))}")


def test_a_block_that_does_not_run_states_why() -> None:
    """No block is left out without a reason of some words, and what is run elsewhere is."""
    own_tests = {
        "CONTRIBUTING.md": "tests/e2e/test_contributing.py",
        "docs/recording.md": "tests/e2e/test_recording_docs.py",
        "docs/howto/migrate.md": "tests/e2e/test_migration_docs.py",
        "README.md": "tests/e2e/test_quickstart.py",
        "docs/quickstart.md": "tests/e2e/test_quickstart.py",
    }
    for page in PAGES:
        for block in blocks(page):
            if block.how == "not run":
                assert len(block.what.split()) > 2, f"{page}: {block.text}"
            if block.how in ("run", "command"):
                assert (ROOT / own_tests[page]).exists(), f"{page}: {block.text}"
