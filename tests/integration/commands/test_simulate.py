"""The simulator as other commands run it, and a recording as its tape."""

from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
from structlog.testing import capture_logs

from schwabstream.auth.store import TokenStore
from schwabstream.commands.simulate import load_tape, simulated_schwab
from schwabstream.errors import ConfigurationError
from schwabstream.protocol.fields import Service
from schwabstream.recording.format import Header, Record, encode_header, encode_record
from schwabstream.settings import load_settings

T0 = 1_795_228_667_000_000
SERVICES = (Service.LEVELONE_FUTURES, Service.FUTURES_BOOK)


def write(path: Path, *records: tuple[Literal["in", "out"], Any], end: bytes = b"") -> Path:
    """A recording of these frames, a second apart."""
    header = Header("1", ("/NQ:XCME",), SERVICES, "UTC", T0, part_us=T0)
    lines = [
        encode_record(Record(T0 + number * 1_000_000, kind, orjson.dumps(frame).decode()))
        for number, (kind, frame) in enumerate(records)
    ]
    path.write_bytes(encode_header(header) + b"".join(lines) + end)
    return path


def answer(service: str, code: int) -> dict[str, Any]:
    """Schwab's answer to a subscription."""
    response = {"service": service, "command": "SUBS", "requestid": "1", "SchwabClientCorrelId": "c", "timestamp": 1}
    return {"response": [response | {"content": {"code": code, "msg": "text"}}]}


def data(key: str) -> dict[str, Any]:
    """A data frame with one entry."""
    return {"data": [{"service": "LEVELONE_FUTURES", "timestamp": 1, "command": "SUBS", "content": [{"key": key}]}]}


def test_a_tape_holds_the_data_frames_of_a_recording(tmp_path: Path) -> None:
    """Answers, heartbeats and what was sent are left out; a frame keeps its time."""
    heartbeat = {"notify": [{"heartbeat": "1"}]}
    path = write(
        tmp_path / "day.jsonl",
        ("out", {"requests": []}),
        ("in", answer("LEVELONE_FUTURES", 0)),
        ("in", data("/NQ")),
        ("in", heartbeat),
        ("in", data("/ES")),
    )
    tape = load_tape(path, speed=2.0, loop=True)
    assert [(at_us, orjson.loads(frame)) for at_us, frame in tape.frames()] == [
        (T0 + 2_000_000, data("/NQ")),
        (T0 + 4_000_000, data("/ES")),
    ]
    assert list(tape.frames()) == list(tape.frames()), "it can be played again"
    assert (tape.speed, tape.loop) == (2.0, True)


def test_a_tape_serves_no_service_that_schwab_refused(tmp_path: Path) -> None:
    """A service that was refused while recording is unavailable from the tape, too."""
    path = write(
        tmp_path / "day.jsonl",
        ("in", answer("LEVELONE_FUTURES", 0)),
        ("in", answer("FUTURES_BOOK", 11)),
        ("in", data("/NQ")),
    )
    assert load_tape(path).services == {"LEVELONE_FUTURES"}


def test_damage_is_reported_when_the_tape_reaches_it(tmp_path: Path) -> None:
    """A recording that is cut off plays as far as it goes, and one warning names file and problem."""
    path = write(tmp_path / "day.jsonl", ("in", data("/NQ")), end=b'{"t":1')
    tape = load_tape(path)
    with capture_logs() as logs:
        assert len(list(tape.frames())) == 1
    (warning,) = [entry for entry in logs if entry["event"] == "the recording is damaged"]
    assert (warning["file"], "cut off" in warning["problem"]) == (str(path), True)


def test_what_is_not_a_recording_is_refused(tmp_path: Path) -> None:
    """A file of another kind is a ConfigurationError that names it."""
    (tmp_path / "notes.txt").write_text("nothing recorded here\n")
    with pytest.raises(ConfigurationError, match=r"notes\.txt"):
        load_tape(tmp_path / "notes.txt")


async def test_settings_point_to_a_simulator_for_the_length_of_a_block(tmp_path: Path) -> None:
    """Within the block the settings lead to a simulator on loopback with a login; afterwards its token file is gone."""
    before = load_settings(
        schwab_symbols=["AAPL"], schwab_token_path=tmp_path / "own.json", schwab_refresh_token="R0.x@"
    )
    async with simulated_schwab(before) as settings:
        assert settings.schwab_api_base_url.startswith("http://127.0.0.1:")
        assert settings.schwab_symbols == ["AAPL"]
        assert settings.schwab_refresh_token is None
        assert TokenStore(settings.schwab_token_path).load() is not None
    assert not settings.schwab_token_path.exists()
    assert not (tmp_path / "own.json").exists()
