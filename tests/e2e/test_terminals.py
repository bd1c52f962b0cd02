"""Commands on terminals that misbehave: stuck, gone, dumb, suspended, or sent what should steer them."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from schwabstream.simulator import SchwabSimulator
from tests.support.cases import only, pairs
from tests.support.terminal import (
    COMMAND,
    CTRL_C,
    CTRL_S,
    LEAVE_SCREEN,
    OWN_SCREEN,
    SHOW_CURSOR,
    Terminal,
    terminal,
)

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

LIVE = {
    "stream run": ("stream", "run", "--simulate", "--symbols", "NVDA"),
    "quote": ("quote", "NVDA", "--simulate"),
    "book": ("book", "NVDA", "--simulate"),
}
ENDS: dict[str, Callable[[Terminal], object]] = {
    "SIGTERM": lambda shown: shown.process.send_signal(signal.SIGTERM),
    "SIGINT": lambda shown: shown.process.send_signal(signal.SIGINT),
    "SIGHUP": lambda shown: shown.process.send_signal(signal.SIGHUP),
    "typed Ctrl-C": lambda shown: shown.type(CTRL_C),
}


def moving(text: str) -> bool:
    """Whether a screen shows prices, and that all is well."""
    return "streaming" in text and "NVDA" in text and ("▲" in text or "▼" in text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory for temporary files, empty before and after."""
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.mark.parametrize(("command", "end"), pairs(LIVE, list(ENDS)))
def test_a_terminal_that_nobody_reads_does_not_hold_up_the_end(command: str, end: str, folder: Path) -> None:
    """With the terminal full every signal ends the command, exit 0, and nothing of it stays."""
    with terminal(*LIVE[command], TMPDIR=str(folder)) as shown:
        shown.block_until(moving)
        shown.fill()
        ENDS[end](shown)
        assert shown.block_until_end() == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", only(["quote"], LIVE))
def test_output_stopped_with_ctrl_s_does_not_hold_up_the_end(command: str, folder: Path) -> None:
    """Ctrl-S stops the display and nothing else: SIGTERM ends the command, exit 0."""
    with terminal(*LIVE[command], TMPDIR=str(folder)) as shown:
        shown.block_until(moving)
        shown.type(CTRL_S)
        shown.process.terminate()
        assert shown.block_until_end() == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", only(["stream run"], LIVE))
def test_closing_the_window_ends_in_order(command: str, folder: Path) -> None:
    """When the terminal goes away the command ends as after SIGTERM, though a shell sends SIGHUP a second time."""
    with terminal(*LIVE[command], TMPDIR=str(folder)) as shown:
        shown.block_until(moving)
        shown.hang_up()
        shown.process.send_signal(signal.SIGHUP)
        assert shown.block_until_end() == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("command", only(["quote"], LIVE))
def test_under_nohup_a_closed_window_ends_nothing(command: str, folder: Path) -> None:
    """A SIGHUP that was ignored when the command started stays ignored."""
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    with terminal(*LIVE[command], TMPDIR=str(folder), before=ignore) as shown:
        shown.block_until(moving)
        shown.process.send_signal(signal.SIGHUP)
        still = shown.text
        shown.block_until(lambda text: moving(text) and text != still)
        shown.process.terminate()
        assert shown.block_until_end() == 0


@pytest.mark.parametrize(("command", "term"), pairs(LIVE, ["dumb", ""], ["stream run", "quote"]))
def test_a_terminal_that_cannot_draw_gets_lines(command: str, term: str, folder: Path) -> None:
    """With TERM=dumb or an empty TERM there are plain lines, one below the other, and not one escape code."""
    with terminal(*LIVE[command], TMPDIR=str(folder), TERM=term) as shown:
        shown.block_until(
            lambda text: text.count("NVDA") > 2 if command != "stream run" else "ready: streaming" in text
        )
        shown.process.terminate()
        assert shown.block_until_end() == 0
    assert b"\x1b" not in shown.raw


@pytest.mark.parametrize("command", only(["stream run"], LIVE))
def test_ctrl_z_leaves_the_screen_and_fg_returns_to_it(command: str, folder: Path) -> None:
    """A suspended command leaves the shell its screen and a cursor; after `fg` the table is shown until the end."""
    with terminal(*LIVE[command], TMPDIR=str(folder), job=True) as shown:
        shown.block_until(moving)
        shown.process.send_signal(signal.SIGTSTP)
        shown.block_until_stopped()
        shown.block_until(lambda _text: left(shown.raw))  # a terminal hands on 4 kB at a time
        before = len(shown.raw)
        shown.process.send_signal(signal.SIGCONT)
        shown.block_until(lambda _text: OWN_SCREEN in shown.raw[before:] and b"NVDA" in shown.raw[before:])
        shown.process.terminate()
        assert shown.block_until_end() == 0
        assert shown.raw.rfind(LEAVE_SCREEN) > shown.raw.rfind(OWN_SCREEN)
        last_page = shown.raw[shown.raw.rfind(LEAVE_SCREEN) :].decode()
        row = next(line for line in last_page.splitlines() if "NVDA" in line)
        assert "discon" not in row  # the prices are as current as before the logout
        assert "stopped: " in last_page


def left(raw: bytes) -> bool:
    """Whether the shell has its screen and a cursor."""
    entered = raw.rfind(OWN_SCREEN)
    return raw.rfind(LEAVE_SCREEN) > entered and raw.rfind(SHOW_CURSOR) > entered


EVIL = "/MNQ\x1b]0;owned\x07\x9b2J\u202e\x7f"


def steers(raw: bytes) -> bool:
    """Whether the output holds what would set a title, ring, or turn the text around."""
    return any(part in raw for part in (b"]0;owned\x07", b"\x07", b"\x7f", "\x9b".encode(), "\u202e".encode()))


async def test_what_schwab_sends_does_not_steer_the_terminal(
    pointed: dict[str, str], simulator: SchwabSimulator
) -> None:
    """Control, C1 and bidirectional characters from the wire are escapes in the table and logs of ``stream run``."""
    simulator.faults.changes_per_s = 0
    with terminal("stream", "run", "--symbols", "/MNQ:XCME", columns=160, environment=os.environ | pointed) as shown:
        await shown.until(lambda text: "streaming" in text)
        simulator.push_data("LEVELONE_FUTURES", {"key": "/MNQ", "3": 20_000.25, "34": EVIL})
        await shown.until(lambda text: r"/MNQ\u001b]0;owned\u0007\u009b2J\u202e\u007f" in text)
        shown.process.terminate()
        assert await shown.end() == 0
        assert not steers(shown.raw)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a pipe, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], env={**os.environ, **environment}, capture_output=True, timeout=60, check=False
    )


def report(**changes: Any) -> str:
    """A streamer's report as a hostile program would leave it."""
    now = 1_000_000_000_000_000
    known = {"state": "waiting", "since": 1, "started": 1, "reported": now, "pid": 7, "symbols": []}
    return json.dumps({"v": 1, **known, "host": EVIL, "version": EVIL, "reason": EVIL, **changes})


async def test_what_stands_in_redis_does_not_steer_the_terminal(
    pointed: dict[str, str], simulator: SchwabSimulator, redis_server: RedisServer
) -> None:
    """Report, lease holder and events from Redis are escaped in every command's text; JSON stays unchanged."""
    from schwabstream.publishing.fence import lease_key

    redis_server.client.set("market_data:streamer", report())
    redis_server.client.set(lease_key("market_data", simulator.customer_id), f"1:{EVIL}:7")
    for command in ("status", "doctor", "doctor --json", "stream run --no-standby", "quote /MNQ --once"):
        done = await asyncio.to_thread(run, *command.split(), **pointed)
        assert b"Traceback" not in done.stderr
        assert not steers(done.stdout + done.stderr), (command, done)
    status = json.loads((await asyncio.to_thread(run, "status", "--json", **pointed)).stdout)
    assert status["host"] == status["version"] == EVIL
    assert rb"\u001b]0;owned\u0007" in (await asyncio.to_thread(run, "doctor", **pointed)).stdout
