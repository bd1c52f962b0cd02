"""``stream record`` refuses what would end another session or record nothing."""

from pathlib import Path

import pytest

from schwabstream.commands.record import RecordOptions, record
from schwabstream.errors import ConfigurationError, Refused
from schwabstream.report import StreamerReport
from tests.conftest import RedisServer


def test_recording_beside_a_streamer_is_refused(
    file: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second login would end the running one: exit 6, naming the way that works."""
    report = StreamerReport(state="streaming", since=1, reported=1, started=1, pid=4711, host="here", version="1")
    redis_server.client.set("market_data:streamer", report.model_dump_json())
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("SCHWAB_CLIENT_ID", "x" * 32)
    monkeypatch.setenv("SCHWAB_CLIENT_SECRET", "y" * 16)
    with pytest.raises(Refused, match="stream run --record FILE"):
        record(RecordOptions(file))
    assert not file.exists()


def test_recording_nothing_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without symbols there is nothing to record."""
    monkeypatch.setenv("SCHWAB_SYMBOLS", ",")
    with pytest.raises(ConfigurationError, match="no symbols to record"):
        record(RecordOptions(file, simulate=True))
