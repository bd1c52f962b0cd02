"""The recorder: nothing is held up, everything that can be written is, and losses are counted."""

import errno
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.errors import ConfigurationError
from schwabstream.recording.format import Header, Record
from schwabstream.recording.reader import Recording
from schwabstream.recording.rotation import Rotation
from schwabstream.recording.writer import FileRecorder, local_zone, recording_to
from tests.support.waiting import block_until

STARTED_US = 1_795_228_666_976_396
HEADER = Header("1", ("/NQ",), ("LEVELONE_FUTURES",), "UTC", STARTED_US)
SECOND = 1_000_000


def frame(number: int) -> bytes:
    """A data frame, each of its own content."""
    entry = {"key": "/NQ", "1": number, "x": os.urandom(20).hex()}
    return orjson.dumps({"data": [{"service": "LEVELONE_FUTURES", "timestamp": number, "content": [entry]}]})


def records(path: Path) -> list[Record]:
    """The records of a file; the file must be whole."""
    with Recording(path) as recording:
        found = [item for item in recording.items() if isinstance(item, Record)]
        assert recording.problems == []
        return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the recording goes."""
    return tmp_path / "day.jsonl.zst"


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Set how large a file may grow; the limit is lifted afterwards."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_frames_and_commands_come_back_in_order(path: Path) -> None:
    """Each frame is in the file with its time, below the header."""
    recorder = FileRecorder(path, HEADER)
    frames = [frame(number) for number in range(1000)]
    recorder.take_command('{"requests":[{"service":"ADMIN","command":"LOGOUT"}]}', STARTED_US)
    for number, each in enumerate(frames):
        recorder.take_frame(each, STARTED_US + number)
    recorder.close()
    found = records(path)
    assert found[0] == Record(STARTED_US, "out", '{"requests":[{"service":"ADMIN","command":"LOGOUT"}]}')
    assert found[1:] == [Record(STARTED_US + n, "in", each.decode()) for n, each in enumerate(frames)]
    assert (recorder.frames, recorder.commands) == (1000, 1)
    assert recorder.written_bytes < path.stat().st_size < sum(map(len, frames))


def test_it_can_be_read_while_it_is_written(path: Path) -> None:
    """Each flush is complete in itself: readable without the recorder's having ended, as after a kill."""
    recorder = FileRecorder(path, HEADER, flush_interval_s=0.01)
    assert records(path) == []
    recorder.take_frame(frame(1), STARTED_US)
    block_until(lambda: len(records(path)) == 1)
    recorder.take_frame(frame(2), STARTED_US)
    block_until(lambda: len(records(path)) == 2)
    recorder.close()


def test_secrets_are_not_written(path: Path) -> None:
    """The file holds neither token, nor ids, nor account data; the scrubber has its own tests."""
    recorder = FileRecorder(path, HEADER)
    request = {
        "service": "ADMIN",
        "command": "LOGIN",
        "SchwabClientCustomerId": "customer-secret",
        "parameters": {"Authorization": "token-secret"},
    }
    recorder.take_command(orjson.dumps({"requests": [request]}).decode(), STARTED_US)
    recorder.take_frame(b'{"response":[{"content":{"msg":"token-secret"}}]}', STARTED_US)
    recorder.take_frame(b'{"data":[{"service":"ACCT_ACTIVITY","content":["account-secret"]}]}', STARTED_US)
    recorder.close()
    found = records(path)
    assert len(found) == 3
    assert not any("secret" in str(record.payload) for record in found)


def test_a_full_disk_costs_nothing_while_it_lasts_briefly(path: Path, small_disk: Callable[[int], None]) -> None:
    """What could not be written is kept, reported once, and written when there is room again."""
    recorder = FileRecorder(path, HEADER, flush_interval_s=0.01)
    with capture_logs() as logs:
        small_disk(path.stat().st_size + 50)
        for number in range(100):
            recorder.take_frame(frame(number), STARTED_US + number)
        block_until(lambda: recorder.outages)
        assert records(path) == []
        small_disk(10**9)
        block_until(lambda: recorder.written_bytes)
        recorder.close()
    assert [record.at_us for record in records(path)] == [STARTED_US + number for number in range(100)]
    events = [entry["event"] for entry in logs]
    assert events.count("cannot write the recording; frames wait") == 1
    assert events.count("the recording continues") == 1


def test_a_disk_that_stays_full_costs_counted_frames(path: Path, small_disk: Callable[[int], None]) -> None:
    """Beyond the bound frames are left out: counted, reported once, and named in the file at their place."""
    recorder = FileRecorder(path, HEADER, flush_interval_s=0.01, max_waiting_bytes=20_000)
    with capture_logs() as logs:
        small_disk(path.stat().st_size)
        recorder.take_frame(frame(0), STARTED_US)
        block_until(lambda: recorder.outages)
        for number in range(1, 500):
            recorder.take_frame(frame(number), STARTED_US + number)
        lost = recorder.frames_lost
        assert 300 < lost < 500
        small_disk(10**9)
        block_until(lambda: len(records(path)) > 1)
        recorder.take_frame(frame(500), STARTED_US + 500)
        recorder.close()
    found = records(path)
    kept = [record.at_us - STARTED_US for record in found if record.kind == "in"]
    assert kept == [*range(500 - lost), 500]
    assert [record.payload for record in found if record.kind == "lost"] == [str(lost)]
    behind = [entry for entry in logs if entry["event"] == "the recording cannot keep up; frames are missing from it"]
    assert len(behind) == 1


def test_a_disk_that_hangs_holds_nobody_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a write hangs, taking returns at once and memory stays bounded; closing waits its time only."""
    hanging, stuck = threading.Event(), threading.Event()
    write = os.write

    def hang(descriptor: int, data: Any) -> int:
        if threading.current_thread().name == "recorder":
            stuck.set()
            hanging.wait()
        return write(descriptor, data)

    recorder = FileRecorder(path, HEADER, flush_interval_s=0.01, max_waiting_bytes=100_000)
    monkeypatch.setattr(os, "write", hang)
    recorder.take_frame(frame(0), STARTED_US)
    assert stuck.wait(5)
    for number in range(10_000):
        recorder.take_frame(frame(number), STARTED_US)
    recorder.close(timeout_s=0.1)
    assert recorder.frames_lost > 9_000
    hanging.set()


def test_it_rotates_by_time(path: Path) -> None:
    """Past its time the file is set aside, and a new one goes on with the next part's header."""
    clock = Clock()
    recorder = FileRecorder(
        path, HEADER, Rotation(every_s=60), flush_interval_s=0.01, monotonic=clock.monotonic, wall=clock.wall
    )
    recorder.take_frame(frame(1), STARTED_US)
    block_until(lambda: records(path))
    clock.now += 61
    block_until(lambda: recorder.rotations)
    recorder.take_frame(frame(2), STARTED_US + 61 * SECOND)
    recorder.close()
    first, second = sorted(path.parent.glob("*.zst"))
    assert second == path
    with Recording(first) as one, Recording(second) as two:
        assert (one.header.part, two.header.part) == (1, 2)
        assert one.header.started_us == two.header.started_us == STARTED_US
        assert two.header.part_us == STARTED_US + 61 * SECOND
    assert [record.repeated for record in records(second)] == [True, False]


def test_the_next_file_begins_with_the_symbols_of_the_moment(path: Path) -> None:
    """Each file can be replayed alone, so its header has the symbols that were streamed when it began."""
    clock = Clock()
    recorder = FileRecorder(
        path, HEADER, Rotation(every_s=60), flush_interval_s=0.01, monotonic=clock.monotonic, wall=clock.wall
    )
    recorder.take_symbols(["/NQ:XCME", "NVDA"], STARTED_US)
    block_until(lambda: records(path))
    clock.now += 61
    block_until(lambda: recorder.rotations)
    recorder.close()
    first, second = sorted(path.parent.glob("*.zst"))
    assert records(first) == [Record(STARTED_US, "symbols", "/NQ:XCME,NVDA")]
    with Recording(first) as one, Recording(second) as two:
        assert (one.header.symbols, two.header.symbols) == (HEADER.symbols, ("/NQ:XCME", "NVDA"))


def test_it_rotates_by_size_and_keeps_the_newest(path: Path) -> None:
    """No file grows much beyond the size; the oldest go; what remains is gapless."""
    recorder = FileRecorder(path, HEADER, Rotation(largest_bytes=2_000, keep=3), flush_interval_s=0.005)
    taken = 0
    while recorder.rotations < 6:
        recorder.take_frame(frame(taken), STARTED_US + taken)
        taken += 1
        time.sleep(0.0005)
    recorder.close()
    files = sorted(path.parent.glob("*.zst"))
    assert len(files) == 3
    kept = [record.at_us for file in files for record in records(file) if not record.repeated]
    assert kept == list(range(STARTED_US + taken - len(kept), STARTED_US + taken))


def test_a_rotation_that_fails_goes_on_in_the_same_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation without room for another file is reported, and no frame is lost."""
    clock = Clock()
    recorder = FileRecorder(
        path, HEADER, Rotation(every_s=60), flush_interval_s=0.01, monotonic=clock.monotonic, wall=clock.wall
    )

    opened = os.open

    def refuse(file: Any, flags: int, mode: int = 0o777) -> int:
        if threading.current_thread().name == "recorder":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(file, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with capture_logs() as logs:
        clock.now += 61
        block_until(lambda: any(entry["event"] == "cannot begin another recording file" for entry in logs))
    recorder.take_frame(frame(1), STARTED_US)
    recorder.close()
    assert len(records(path)) == 1
    assert list(path.parent.glob("*.zst")) == [path]


def test_an_older_recording_survives(path: Path) -> None:
    """Recording to the same name again sets the older file aside, with all it holds."""
    for number in range(2):
        recorder = FileRecorder(path, HEADER)
        recorder.take_frame(frame(number), STARTED_US + number)
        recorder.close()
    older, newer = sorted(path.parent.glob("*.zst"))
    assert [records(file)[0].at_us for file in (older, newer)] == [STARTED_US, STARTED_US + 1]


@pytest.mark.parametrize("place", ["missing/day.zst", "file/day.zst"])
def test_a_path_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path, place: str) -> None:
    """Exit 2 before anything is connected."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot record to"):
        FileRecorder(tmp_path / place, HEADER)


def test_no_file_no_recorder() -> None:
    """A run that is not recorded has no recorder, and so no cost."""
    with recording_to(None, None, [], simulated=True) as recorder:
        assert recorder is None


def test_the_local_zone_is_a_name_or_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone that the machine does not know by name is its offset."""
    monkeypatch.setenv("TZ", "XYZ-05:30")
    time.tzset()
    try:
        zone = local_zone(STARTED_US / 1e6)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert zone == "+0530"
    assert Header("1", (), (), zone, STARTED_US).started.isoformat().endswith("+05:30")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """It still runs: the recorder's thread waits by it."""
        return self.now + time.monotonic()

    def wall(self) -> float:
        """The time of day."""
        return STARTED_US / 1e6 + self.now
