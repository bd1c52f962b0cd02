"""A person is called: once per occasion, by a bounded and harmless command."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.auth.tokens import LOGIN_LIFE_S, TokenSet
from schwabstream.errors import ConfigurationError, SchwabUnavailable
from schwabstream.events import StatusEvent, parse_event
from schwabstream.monitoring.alerts import AlertHistory, Alerts, split_command
from schwabstream.settings import foreign_environment
from tests.support.waiting import DEADLINE_S, until

DAY_S = 86_400.0


class Desk:
    """A command that keeps its input, a clock that the test moves, and the alerts between the two."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_795_000_000.0
        self.folder = folder
        self.queue = folder / "queue"
        self.command = f"sh -c 'cat >> {self.queue}; echo >> {self.queue}'"

    def alerts(self, command: str | None = None, limit_s: float = 10.0) -> Alerts:
        return Alerts(
            command or self.command,
            AlertHistory(self.folder / "sent"),
            environment=foreign_environment(),
            limit_s=limit_s,
            wall=lambda: self.now,
        )

    def event(self, state: str, reason: str = "because") -> dict[str, Any]:
        now_ms = int(self.now * 1000)
        common = {"v": 1, "type": "status", "symbol": None, "key": None, "seq": 5}
        return common | {"timestamp": now_ms, "received_us": 0, "state": state, "reason": reason, "since": now_ms}

    def received(self) -> list[StatusEvent]:
        lines = self.queue.read_text().splitlines() if self.queue.exists() else []
        events = [parse_event(line) for line in lines]
        return [event for event in events if isinstance(event, StatusEvent)]


def login_due(at: float | None) -> TokenSet:
    """A login that ends at that time, or at an unknown one."""
    return TokenSet("I0.access@", "R0.refresh@", 0.0, None if at is None else at - LOGIN_LIFE_S)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk in an empty directory."""
    return Desk(tmp_path)


async def tell(desk: Desk, *states: str) -> list[str]:
    """The alerts of a run that goes through these states."""
    before = len(desk.received())
    alerts = desk.alerts()
    async with alerts.running():
        for state in states:
            alerts.take_status(desk.event(state))
        await alerts._idle.wait()
    return [event.state for event in desk.received()[before:]]


async def test_event_comes_on_standard_input(desk: Desk) -> None:
    """The command reads one StatusEvent of the contract; its detail names the occasion."""
    await tell(desk, "connecting", "login_required")
    (event,) = desk.received()
    assert (event.state, event.reason, event.detail) == ("login_required", "because", "login_required")


async def test_ordinary_states_call_nobody(desk: Desk) -> None:
    """Waiting, gaps and reconnects are the streamer's own business."""
    assert await tell(desk, "connecting", "streaming", "waiting", "gap", "stale", "dropped", "stopped") == []


async def test_once_per_occasion(desk: Desk) -> None:
    """The same trouble is reported once, however often it is announced; after its end it is reported again."""
    assert await tell(desk, "login_required", "connecting", "login_required") == ["login_required"]
    desk.now += 60
    assert await tell(desk, "streaming", "login_required") == ["login_required"]


async def test_restart_does_not_tell_again(desk: Desk) -> None:
    """Sent alerts are remembered across runs."""
    assert await tell(desk, "evicted") == ["evicted"]
    assert await tell(desk, "evicted") == []


async def test_fight_over_the_connection_is_one_occasion(desk: Desk) -> None:
    """An eviction soon after another is not reported again; one after a quiet hour is."""
    assert await tell(desk, "evicted", "streaming") == ["evicted"]
    desk.now += 300
    assert await tell(desk, "streaming", "evicted") == []
    desk.now += 3700
    assert await tell(desk, "streaming", "evicted") == ["evicted"]


async def test_an_unreadable_history_counts_as_empty(desk: Desk) -> None:
    """A damaged file costs one alert too many and nothing else; so does a directory that cannot be written."""
    (desk.folder / "sent").write_bytes(b"\xff[")
    assert await tell(desk, "evicted") == ["evicted"]
    (desk.folder / "sent").write_bytes(b"[1]")
    assert await tell(desk, "evicted") == ["evicted"]
    history = AlertHistory(desk.folder / "missing" / "sent")
    alerts = Alerts(desk.command, history, environment=foreign_environment(), wall=lambda: desk.now)
    async with alerts.running():
        alerts.take_status(desk.event("evicted"))
        alerts.take_status(desk.event("evicted"))
        await alerts._idle.wait()
    assert len(desk.received()) == 3


async def test_giving_up_sends_an_alert_before_the_end(desk: Desk) -> None:
    """A run that ends by itself waits until its alert is delivered."""
    alerts = desk.alerts()
    async with alerts.running():
        await alerts.gave_up(SchwabUnavailable("no network"))
        (event,) = desk.received()
    assert (event.state, event.detail) == ("stopped", "gave_up")
    assert "no network" in event.reason


async def test_login_that_ends_within_a_day_is_one_alert_per_login(desk: Desk) -> None:
    """24 hours before a login ends one alert is sent, also across restarts; the next login counts anew."""
    due_at = desk.now + 2 * DAY_S
    looks: list[int] = []

    async def look(_seconds: float) -> None:
        looks.append(len(desk.received()))
        await alerts._idle.wait()
        desk.now += 3 * 3600
        if len(looks) >= 14:
            await asyncio.Event().wait()

    for expected in (1, 1):
        alerts = desk.alerts()
        async with alerts.running():
            watch = asyncio.create_task(alerts.watch_login(lambda: login_due(due_at), sleep=look))
            await until(lambda: len(looks) >= 14)
            watch.cancel()
            await asyncio.wait({watch})
        assert len(desk.received()) == expected
        looks.clear()
    assert desk.received()[0].reason == "a new login is due in 24 h 0 min: schwabstream auth login"
    assert desk.received()[0].detail == "login_due"
    due_at += 5 * DAY_S
    alerts = desk.alerts()
    async with alerts.running():
        watch = asyncio.create_task(alerts.watch_login(lambda: login_due(due_at), sleep=look))
        await until(lambda: len(looks) >= 14)
        desk.now = due_at - 10
        looks.clear()
        watch.cancel()
        await asyncio.wait({watch})
        watch = asyncio.create_task(alerts.watch_login(lambda: login_due(due_at), sleep=look))
        await until(lambda: len(looks) >= 1)
        watch.cancel()
        await asyncio.wait({watch})
    assert len(desk.received()) == 2


async def test_unknown_login_age_sends_no_alert(desk: Desk) -> None:
    """An unknown due date sends no alert."""
    alerts = desk.alerts()

    async def once(_seconds: float) -> None:
        raise asyncio.CancelledError

    async with alerts.running():
        with pytest.raises(asyncio.CancelledError):
            await alerts.watch_login(lambda: login_due(None), sleep=once)
    assert desk.received() == []


async def test_command_that_hangs_is_killed_with_its_children(desk: Desk) -> None:
    """After its time the command ends, with everything it started; the streamer goes on."""
    alerts = desk.alerts(f"sh -c 'sleep 1000 & echo $! > {desk.queue}; wait'", limit_s=0.5)
    with capture_logs() as logs:
        async with alerts.running():
            alerts.take_status(desk.event("evicted"))
            await alerts._idle.wait()
    child = int(desk.queue.read_text())
    await until(lambda: not _runs(child))
    assert [line["event"] for line in logs] == ["the alert command failed"]
    assert "did not end within 0.5 s" in logs[0]["reason"]


async def test_daemon_of_the_command_is_not_waited_for(desk: Desk) -> None:
    """A process that the command leaves behind, in another session and with our pipe open, holds up nothing."""
    alerts = desk.alerts(f"sh -c 'setsid sleep 1000 & echo $! $$ > {desk.queue}'", limit_s=0.3)
    async with asyncio.timeout(DEADLINE_S):
        async with alerts.running():
            alerts.take_status(desk.event("evicted"))
            await alerts._idle.wait()
    daemon, command = map(int, desk.queue.read_text().split())
    assert _runs(daemon)
    assert not _runs(command)
    os.kill(daemon, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("command", "event", "part"),
    [
        ("sh -c 'echo no such channel >&2; exit 7'", "the alert command failed", "no such channel"),
        ("/does/not/exist --at all", "the alert command failed", "No such file or directory"),
        ("sh -c 'yes | head -c 300000 >&2; exit 1'", "the alert command failed", "y"),
        ("false", "the alert command failed", "1"),
    ],
)
async def test_failure_is_logged_and_harmless(desk: Desk, command: str, event: str, part: str) -> None:
    """A command that fails, does not exist, does not read or prints too much is one log line."""
    alerts = desk.alerts(command)
    with capture_logs() as logs:
        async with alerts.running():
            alerts.take_status(desk.event("evicted", reason="x" * 200_000))
            await alerts._idle.wait()
    (line,) = logs
    assert line["event"] == event
    assert part in str(line)
    assert len(str(line)) < 1_000


async def test_no_shell_reads_the_event(desk: Desk) -> None:
    """Nothing in the command is expanded: dollar signs, semicolons and backquotes reach the program as written."""
    alerts = desk.alerts(f"tee '{desk.folder}/$HOME;`id`'")
    async with alerts.running():
        alerts.take_status(desk.event("evicted"))
        await alerts._idle.wait()
    assert orjson.loads((desk.folder / "$HOME;`id`").read_bytes())["state"] == "evicted"


async def test_environment_holds_no_setting_of_ours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sees the operator's environment, but no secret and no Redis URL."""
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", "s3cret")
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@127.0.0.1/0")
    monkeypatch.setenv("CHAT_WEBHOOK_URL", "https://chat.example/hook")
    alerts = desk.alerts(f"sh -c 'env > {desk.queue}'")
    async with alerts.running():
        alerts.take_status(desk.event("evicted"))
        await alerts._idle.wait()
    seen = desk.queue.read_text()
    assert "CHAT_WEBHOOK_URL=https://chat.example/hook" in seen
    assert "s3cret" not in seen
    assert "SCHWAB_" not in seen


async def test_leaving_waits_a_moment_only(desk: Desk) -> None:
    """A stop does not wait for a slow command: it is ended."""
    alerts = desk.alerts(f"sh -c 'echo $$ > {desk.queue}; sleep 1000'", limit_s=1000)
    async with asyncio.timeout(DEADLINE_S):
        async with alerts.running():
            alerts.take_status(desk.event("evicted"))
            await until(lambda: desk.queue.exists() and desk.queue.read_text().endswith("\n"))
    assert not _runs(int(desk.queue.read_text()))


@pytest.mark.parametrize("command", ["notify 'unfinished", " ", ""])
def test_what_cannot_be_a_command_is_refused_at_the_start(command: str) -> None:
    """A command with an open quotation, or none at all, is a setting to correct."""
    with pytest.raises(ConfigurationError, match="SCHWAB_ALERT_COMMAND"):
        split_command(command)


def test_words_are_those_of_a_shell() -> None:
    """Quotation keeps words together."""
    assert split_command("notify --to 'the desk' a\\ b") == ["notify", "--to", "the desk", "a b"]


def test_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment for foreign programs is copied: changing it changes nothing here."""
    monkeypatch.setenv("tastytrade_symbol_list", "x")
    environment = foreign_environment()
    environment["PATH"] = ""
    assert os.environ["PATH"]
    assert "tastytrade_symbol_list" not in environment
