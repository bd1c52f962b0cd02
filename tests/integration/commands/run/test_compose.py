"""The composition of a run, in this process: its parts, what stops it, and its messages."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from schwabstream.commands.run.compose import StreamOptions, stream
from schwabstream.errors import ConfigurationError, RedisUnavailable, SymbolError
from schwabstream.events import parse_event
from tests.conftest import RedisServer

READY = "ready: streaming, all symbols subscribed"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Log lines go where the test looks for them; the runner's logging comes out as it went in."""
    import logging
    import warnings

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The log lines on stderr."""
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_simulated_run_goes_from_start_to_stop(redis_server: RedisServer, capfd: pytest.CaptureFixture[str]) -> None:
    """A run starts, lasts its duration, logs once that it is ready, and leaves nothing unwritten."""
    stream(StreamOptions(symbols=["/NQ:XCME", "AAPL"], duration_s=0.5, simulate=True, redis=redis_server.url))
    lines = logged(capfd)
    events = [line["event"] for line in lines]
    assert events.count(READY) == 1
    assert next(line for line in lines if line["event"] == READY)["symbols"] == "/NQ:XCME,AAPL"
    assert lines[-1]["event"] == "done"
    assert lines[-1]["unwritten"] == 0
    assert set(redis_server.client.hkeys("market_data:last:ticks")) == {"/NQ:XCME", "AAPL"}


def test_the_settings_hold_in_a_simulated_run_too(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols of both variables, prefix and stream length come from the environment; the login does not."""
    monkeypatch.setenv("SCHWAB_SYMBOLS", "/NQ:XCME")
    monkeypatch.setenv("TASTYTRADE_SYMBOL_LIST", "/MESZ26:XCME,/NQ:XCME")
    monkeypatch.setenv("SCHWAB_REDIS_PREFIX", "mine")
    monkeypatch.setenv("SCHWAB_REDIS_STREAM_MAXLEN", "0")
    monkeypatch.setenv("SCHWAB_CLIENT_ID", "somebody's real key")
    monkeypatch.setenv("SCHWAB_TOKEN_PATH", "real/token.json")
    stream(StreamOptions(duration_s=0.5, simulate=True, redis=redis_server.url))
    assert set(redis_server.client.hkeys("mine:last:ticks")) == {"/NQ:XCME", "/MESZ26:XCME"}
    assert redis_server.client.keys("*:stream:*") == []
    assert not Path("real").exists()


def test_json_lines_go_to_standard_output(redis_server: RedisServer, capfd: pytest.CaptureFixture[str]) -> None:
    """With ``json`` each event is a line on stdout."""
    stream(StreamOptions(symbols=["AAPL"], duration_s=0.5, simulate=True, redis=redis_server.url, json=True))
    captured = capfd.readouterr()
    kinds = {parse_event(line).type for line in captured.out.splitlines()}
    assert kinds == {"tick", "level2", "status"}


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (StreamOptions(), ConfigurationError, "SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET"),
        (StreamOptions(symbols=[]), ConfigurationError, "SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET and SCHWAB_SYMBOLS"),
        (
            StreamOptions(ensure_env=True),
            ConfigurationError,
            "SCHWAB_CLIENT_SECRET not set .*; no login in .*auth login",
        ),
        (StreamOptions(simulate=True, symbols=[]), ConfigurationError, "no symbols"),
        (StreamOptions(simulate=True, symbols=["!"]), SymbolError, "!"),
        (StreamOptions(simulate=True, rotate=["1h"]), ConfigurationError, "add --record FILE"),
        (StreamOptions(simulate=True, keep=3), ConfigurationError, "add --record FILE"),
        (StreamOptions(simulate=True, redis="redis://127.0.0.1:9"), RedisUnavailable, "127.0.0.1:9 does not answer"),
        (StreamOptions(simulate=True, redis="ftp://127.0.0.1"), ConfigurationError, "^--redis: must start with"),
        (StreamOptions(simulate=True, redis="redis://127.0.0.1?foo=1"), ConfigurationError, "unknown option foo"),
    ],
)
def test_what_cannot_run_is_raised_before_anything_starts(
    options: StreamOptions, kind: type[Exception], words: str
) -> None:
    """A wrong setting leaves as the error its exit code belongs to."""
    with pytest.raises(kind, match=words):
        stream(options)
