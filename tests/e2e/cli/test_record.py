"""The installed commands around recordings: record, replay, export, simulate, and what ends them."""

import contextlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from schwabstream.recording.format import Record
from schwabstream.recording.reader import Recording
from tests.support.waiting import block_until

COMMAND = shutil.which("schwabstream", path=str(Path(sys.executable).parent)) or "schwabstream"
KILLS = int(os.environ.get("SCHWABSTREAM_KILLS", "2"))
# The flush is due every second; the rest is for a machine that is busy with other tests.
LATEST_LOSS_S = 1.0 + float(os.environ.get("SCHWABSTREAM_SLACK_S", "10.0"))
LIMIT_S = 60.0


def run(*words: str, limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    """The command's exit code and output."""
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=limit_s, check=False)


class Child:
    """A running command and its output so far."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [COMMAND, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def says(self, words: str) -> None:
        """Wait until the output contains a text."""
        self.until(lambda: any(words in line for line in list(self.lines)))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is true while it runs."""

        def holds() -> object:
            found = condition()
            assert found or self.process.poll() is None, "".join(self.lines)
            return found

        block_until(holds, show=lambda: "".join(self.lines))

    def end(self, number: signal.Signals) -> int:
        """Signal it, and wait for its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._reader.join(5)
        return code


Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start commands that do not outlive the test."""
    children: list[Child] = []

    def begin(*words: str, **environment: str) -> Child:
        children.append(Child(*words, **environment))
        return children[-1]

    yield begin
    for child in children:
        if child.process.poll() is None:
            child.process.kill()
        child.process.wait(10)
        assert child.process.stdout is not None
        child.process.stdout.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few seconds of the simulator, recorded by the command."""
    path = tmp_path_factory.mktemp("recordings") / "day.jsonl.zst"
    done = run("stream", "record", str(path), "--simulate", "--duration", "3", "-s", "/NQ:XCME,AAPL")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "ready: recording, all symbols subscribed" in done.stderr
    return path


def test_a_recording_is_private_and_describes_itself(recording: Path) -> None:
    """Mode 0600; the header names version, symbols, services and time zone; it is marked as simulated."""
    assert stat.S_IMODE(recording.stat().st_mode) == 0o600
    with Recording(recording) as opened:
        header = opened.header
    assert header.symbols == ("/NQ:XCME", "AAPL")
    assert {"LEVELONE_FUTURES", "LEVELONE_EQUITIES", "FUTURES_BOOK"} <= set(header.services)
    assert (header.simulated, bool(header.version), bool(header.time_zone)) == (True, True, True)


def test_two_replays_are_byte_for_byte_the_same(recording: Path, tmp_path: Path) -> None:
    """The events on standard output are a golden file that --check confirms, exit 0."""
    outputs = []
    for speed in ("max", "20"):
        done = run("stream", "replay", str(recording), "--speed", speed, "--json")
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) > 5
    golden = tmp_path / "day.events"
    golden.write_text(outputs[0])
    done = run("stream", "replay", str(recording), "--speed", "max", "--check", str(golden))
    assert (done.returncode, done.stdout) == (0, f"identical: {len(outputs[0].splitlines()):,} events\n")


def test_a_difference_is_shown_and_exit_1(recording: Path, tmp_path: Path) -> None:
    """The first event that differs, field by field, on standard output."""
    events = run("stream", "replay", str(recording), "--speed", "max", "--json").stdout.splitlines()
    changed = json.loads(events[2]) | {"symbol": "CHANGED"}
    golden = tmp_path / "day.events"
    golden.write_text("\n".join([*events[:2], json.dumps(changed, separators=(",", ":")), *events[3:]]))
    done = run("stream", "replay", str(recording), "--speed", "max", "--check", str(golden))
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("event 3 (")
    assert done.stdout.splitlines()[1].startswith('  symbol: expected "CHANGED", found ')


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay", "/etc/passwd"), "is not a recording of schwabstream"),
        (("replay", "missing.zst"), "cannot read missing.zst"),
        (("export", "/etc/passwd", "--out", "out"), "is not a recording of schwabstream"),
        (("record", "missing/day.zst", "--simulate"), "cannot record to missing/day.zst"),
        (("record", "day.zst", "--simulate", "--rotate", "often"), "neither a time such as 1h nor a size"),
        (("run", "--simulate-from", "missing.zst"), "cannot read missing.zst"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_2(words: tuple[str, ...], said: str) -> None:
    """No traceback, nothing on standard output, nothing left behind."""
    done = run("stream", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(Path.cwd().glob("*.zst"))


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan"])
def test_a_speed_is_a_factor_or_max(recording: Path, speed: str) -> None:
    """Anything else is a usage error."""
    done = run("stream", "replay", str(recording), "--speed", speed)
    assert done.returncode == 2
    assert "--speed" in done.stderr


def test_a_reader_that_leaves_ends_the_replay_in_order(recording: Path) -> None:
    """``| head -1`` gets its line; the replay stops without a traceback."""
    command = f"{COMMAND} stream replay {recording} --speed max --json --loop 2>errors | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert json.loads(done.stdout)["v"] == 1
    assert "Traceback" not in Path("errors").read_text()


def test_events_that_do_not_fit_are_not_a_golden_file(recording: Path) -> None:
    """A full disk under standard output is exit 1 with one sentence."""
    command = f"{COMMAND} stream replay {recording} --speed max --json > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert "standard output cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_loop_goes_on_until_it_is_stopped(recording: Path, start: Start) -> None:
    """Into the embedded Redis, again and again; SIGTERM ends it with exit 0."""
    once = len(run("stream", "replay", str(recording), "--speed", "max", "--json").stdout.splitlines())
    child = start("stream", "replay", str(recording), "--speed", "max", "--json", "--loop")
    child.until(lambda: len(child.lines) > 3 * once)
    assert child.end(signal.SIGTERM) == 0


def test_export_writes_three_tables(recording: Path, tmp_path: Path) -> None:
    """The files and their row counts are printed on standard output."""
    done = run("stream", "export", str(recording), "--to", "parquet", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        str(tmp_path / "out" / f"{name}.parquet") for name in ("ticks", "books", "bars")
    ]


def test_the_pipeline_records_beside_itself(tmp_path: Path) -> None:
    """``stream run --record`` publishes as ever, and the recording confirms its own events."""
    file, golden = tmp_path / "day.jsonl.zst", tmp_path / "day.events"
    done = run("stream", "run", "--simulate", "--duration", "3", "--record", str(file), "--json", "--redis", "embedded")
    assert done.returncode == 0, done.stderr
    golden.write_text(done.stdout)
    done = run("stream", "replay", str(file), "--speed", "max", "--check", str(golden))
    assert (done.returncode, done.stdout.startswith("identical: ")) == (0, True), done.stdout


def test_the_pipeline_runs_from_a_recording(recording: Path) -> None:
    """``stream run --simulate-from`` takes symbols and data from the file and announces that the prices are old."""
    done = run("stream", "run", "--simulate-from", str(recording), "--duration", "2", "--json", "--redis", "embedded")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["symbol"] for event in events if event["type"] == "tick"} == {"/NQ:XCME", "AAPL"}
    assert "replaying recorded prices, not live ones" in done.stderr


@pytest.mark.parametrize("served", [False, True])
def test_simulate_serves_any_client(recording: Path, start: Start, served: bool) -> None:
    """It prints settings that point a client at it; a streamer started with them streams; Ctrl-C ends it, exit 0."""
    child = start("simulate", *([str(recording)] if served else []), "--port", "0")
    child.says("SCHWAB_TOKEN_PATH=")
    settings = dict(line.strip().split("=", 1) for line in child.lines if line.startswith("SCHWAB_"))
    assert settings["SCHWAB_API_BASE_URL"].startswith("http://127.0.0.1:")
    words = ("stream", "run", "-s", "/NQ:XCME", "--duration", "1.5", "--json", "--redis", "embedded")
    client = start(*words, **settings)
    assert client.process.wait(LIMIT_S) == 0
    ticks = [line for line in client.lines if '"type":"tick"' in line]
    assert ticks
    assert child.end(signal.SIGINT) == 0


def test_a_port_that_is_taken_is_exit_2(start: Start) -> None:
    """A taken port is one sentence with the next step."""
    child = start("simulate", "--port", "0")
    child.says("SCHWAB_TOKEN_PATH=")
    (line,) = (line for line in child.lines if line.startswith("SCHWAB_API_BASE_URL="))
    done = run("simulate", "--port", line.strip().rpartition(":")[2])
    assert (done.returncode, "choose another port" in done.stderr) == (2, True)


def test_sigterm_ends_a_recording_whole(tmp_path: Path, start: Start) -> None:
    """It logs out, flushes and exits with 0; the LOGOUT is in the file."""
    file = tmp_path / "day.jsonl.zst"
    child = start("stream", "record", str(file), "--simulate", "-s", "/NQ:XCME")
    child.says("ready: recording")
    assert child.end(signal.SIGTERM) == 0
    records, problems = read(file)
    assert problems == []
    assert any('"command\\":\\"LOGOUT' in str(each) or '"LOGOUT"' in str(each.payload) for each in records)


def read(file: Path) -> tuple[list[Record], list[str]]:
    """The records and problems of a file."""
    with Recording(file) as opened:
        return [item for item in opened.items() if isinstance(item, Record)], opened.problems


@pytest.mark.timeout(20 * KILLS + 120)
def test_a_kill_costs_no_more_than_the_last_second(tmp_path: Path, start: Start) -> None:
    """At random moments: the file replays, gapless, up to its last second (all of it: SCHWABSTREAM_KILLS=100)."""
    simulator = start("simulate", "--port", "0")
    simulator.says("SCHWAB_TOKEN_PATH=")
    settings = dict(line.strip().split("=", 1) for line in simulator.lines if line.startswith("SCHWAB_"))
    set_rate(settings["SCHWAB_API_BASE_URL"], 40.0)
    chance = random.Random(7)
    for number in range(KILLS):
        file = tmp_path / f"{number}.jsonl.zst"
        child = start("stream", "record", str(file), "-s", "/NQ:XCME,/MES:XCME,AAPL", **settings)
        child.says("ready: recording")
        time.sleep(chance.uniform(0.0, 3.0))
        killed_at = time.time()
        assert child.end(signal.SIGKILL) == -signal.SIGKILL
        records, problems = read(file)
        assert len(problems) <= 1, problems
        # Killed before the first flush, there is nothing but the header: then the stream must have been that young.
        (ready,) = (json.loads(line) for line in child.lines if "ready: recording" in line)
        ready_at = datetime.fromisoformat(ready["timestamp"]).timestamp()
        lost_s = killed_at - max((record.at_us / 1e6 for record in records), default=ready_at)
        assert lost_s < LATEST_LOSS_S, f"kill {number}: {lost_s:.2f} s lost"
        print(f"kill {number}: {len(records)} records, {lost_s:.2f} s lost")
        done = run("stream", "replay", str(file), "--speed", "max", "--json")
        assert done.returncode == 0, done.stderr


def set_rate(base_url: str, rate: float) -> None:
    """Let the simulator move its prices that often."""
    import urllib.request

    content = json.dumps({"changes_per_s": rate, "books_per_s": rate}).encode()
    request = urllib.request.Request(f"{base_url}/simulator/faults", content, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_does_not_stop_the_stream(tmp_path: Path, start: Start) -> None:
    """On a disk of 256 kB the failure is reported once, the stream goes on, and the file is readable to its end."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        file = disk / "day.jsonl.zst"
        simulator = start("simulate", "--port", "0")
        simulator.says("SCHWAB_TOKEN_PATH=")
        settings = dict(line.strip().split("=", 1) for line in simulator.lines if line.startswith("SCHWAB_"))
        set_rate(settings["SCHWAB_API_BASE_URL"], 200.0)
        words = ("stream", "run", "-s", "/NQ:XCME,AAPL,MSFT", "--record", str(file), "--json", "--redis", "embedded")
        child = start(*words, **settings)
        child.says("cannot write the recording; frames wait")
        before = len(child.lines)
        child.until(lambda: len(child.lines) > before + 500)
        assert child.end(signal.SIGTERM) == 0
        assert sum("cannot write the recording" in line for line in child.lines) == 1
        assert any("the end of the recording could not be written" in line for line in child.lines)
        records, problems = read(file)
        assert problems == []
        assert len(records) > 20
    finally:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
        subprocess.run(["umount", "-l", str(disk)], check=True)
