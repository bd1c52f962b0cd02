"""What the program offers to a shell for the values of arguments and options."""

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from schwabstream.cli import app
from schwabstream.monitoring.streamed_symbols import streamed_symbols
from tests.support.waiting import block_until

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any

CONFIGURED = ["/MES:XCME", "/MNQ:XCME", "/NQ:XCME"]
NOWHERE = "redis://somebody:hush-hush@127.0.0.1:1/0"


def offered(line: str) -> list[str]:
    """The values for the end of a command line, as the scripts get them; nothing else may be written."""
    asked = {
        "_SCHWABSTREAM_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"schwabstream {line}",
    }
    result = CliRunner().invoke(app, env=asked, prog_name="schwabstream")
    assert (result.exit_code, result.stderr, result.exception) == (0, "", None)
    return [value.partition("\t")[0] for value in result.stdout.removesuffix("\n").split("\n")]


def offers(line: str, values: list[str]) -> bool:
    """Wait until these are the values: on a busy machine, a Redis may miss the time limit of one look."""
    return bool(block_until(lambda: offered(line) == values, show=lambda: offered(line)))


def report(server: RedisServer, *symbols: object) -> None:
    """Have a streamer's report with these symbols."""
    rows = [{"symbol": each, "source": "configured"} if isinstance(each, str) else each for each in symbols]
    server.client.set("market_data:streamer", json.dumps({"v": 1, "symbols": rows}))


@pytest.fixture
def server(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> RedisServer:
    """The Redis of the settings, in which a streamer reports some symbols, one of them added."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    report(redis_server, "AAPL", "$SPX", "/NQ", {"symbol": "NVDA", "source": "added"})
    return redis_server


@pytest.mark.parametrize(
    "command", ["quote ", "book ", "stream add ", "stream run --symbols ", "stream run -s ", "quote AMD "]
)
@pytest.mark.usefixtures("server")
def test_symbols_are_those_of_the_streamer_and_of_the_settings(command: str) -> None:
    """Every place for symbols offers the streamed ones and then the configured ones, each key once."""
    assert offers(command, ["AAPL", "$SPX", "/NQ", "NVDA", "/MES:XCME", "/MNQ:XCME"])


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("quote N", ["NVDA"]),
        ("quote /M", ["/MES:XCME", "/MNQ:XCME"]),
        ("quote /MNQ:", ["/MNQ:XCME"]),
        ("quote nv", ["nvda"]),
        ("quote '$S", ["$SPX"]),
        ("quote \\$S", ["$SPX"]),
        ("quote AAPL,N", ["AAPL,NVDA"]),
        ("stream run --symbols=AAPL,N", ["AAPL,NVDA"]),
        ("stream run --symbols AAPL --symbols N", ["NVDA"]),
        ("quote AAPL,$SPX,/NQ /MES:XCME ", ["NVDA", "/MNQ:XCME"]),
        ("quote XYZ", ["XYZ "]),
        ("stream remove ", ["NVDA"]),
        ("stream remove A", ["A "]),
        ("stream remove NVDA ", [" "]),
        ("stream run --redis ", ["embedded"]),
        ("stream run --redis e", ["embedded"]),
        ("stream replay day.jsonl.zst --redis ", ["embedded"]),
        ("stream run --redis x", ["x "]),
        ("quote --redis r", ["redis://127.0.0.1:6379/0"]),
        ("stream replay d", [""]),
        ("stream run --record d", [""]),
    ],
)
@pytest.mark.usefixtures("server")
def test_a_value_begins_as_typed(typed: str, values: list[str]) -> None:
    """Values continue the last symbol of a list, in the case of the typed text, and repeat none that is given.

    A text with a blank stands for no value; an empty line, for a place where the shell offers file names.
    """
    assert offers(typed, values)


def test_another_redis_is_asked_when_the_line_names_it(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of --redis before the symbol replaces REDIS_URL, and a prefix in the settings counts."""
    monkeypatch.setenv("REDIS_URL", NOWHERE)
    monkeypatch.setenv("SCHWAB_REDIS_PREFIX", "mine")
    assert offered("quote N") == ["N "]
    server.client.rename("market_data:streamer", "mine:streamer")
    assert offers(f"quote --redis {server.url} N", ["NVDA"])


def test_without_redis_the_settings_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is away costs the streamed symbols only, and neither an error nor its password is written.

    In place of an invalid address no other Redis is asked.
    """
    monkeypatch.setenv("REDIS_URL", NOWHERE)
    assert offered("quote ") == CONFIGURED
    monkeypatch.setenv("REDIS_URL", "redis://hush-hush@:x")
    monkeypatch.setenv("SCHWAB_METRICS_PORT", "many")
    assert offered("quote ") == CONFIGURED


def test_a_redis_that_does_not_answer_is_not_waited_for(server: RedisServer) -> None:
    """A Redis that accepts the connection and is silent ends the look after the time limit."""
    server.freeze()
    try:
        assert offered("quote ") == CONFIGURED
    finally:
        server.thaw()


def test_a_slow_resolver_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that cannot be resolved in time is given up, and no thread is left that an end would wait for."""
    resolved, threads = threading.Event(), set(threading.enumerate())
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: resolved.wait())
    assert streamed_symbols("redis://redis.invalid:6379/0", "market_data") == []
    (left,) = set(threading.enumerate()) - threads
    assert left.daemon
    resolved.set()
    left.join()


def test_a_host_name_that_cannot_be_one_is_a_redis_that_is_away(capfd: pytest.CaptureFixture[str]) -> None:
    """A label of more than 63 characters raises another error than a name without an address; nothing is written."""
    assert streamed_symbols(f"redis://{'x' * 70}:6379/0", "market_data") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"",
        b"[]",
        b'{"symbols": 3}',
        b'{"symbols": [{"symbol": null}]}',
        b'{"symbols": [{"symbol": "\xff"}]}',
        b'{"other": %b}' % (b"[" * 100_000 + b"]" * 100_000),
        b'{"symbols": [{"symbol": "$(reboot)"}, {"symbol": "A\\nB"}, {"symbol": "\\u001b[2J"}, {"symbol": "; rm"}]}',
    ],
    ids=range(8),
)
def test_a_hostile_report_offers_nothing(server: RedisServer, payload: bytes) -> None:
    """A report that is not one, or has texts that are not symbols, puts nothing on the command line."""
    server.client.set("market_data:streamer", payload)
    assert offered("quote ") == CONFIGURED


@pytest.mark.usefixtures("server")
def test_scripts_of_typer_work_too() -> None:
    """A script that an earlier version installed still gets symbols."""
    asked = {"_SCHWABSTREAM_COMPLETE": "complete_bash", "COMP_WORDS": "schwabstream\nquote\nN", "COMP_CWORD": "2"}

    def answer() -> tuple[str, str]:
        result = CliRunner().invoke(app, env=asked, prog_name="schwabstream")
        return result.stdout, result.stderr

    block_until(lambda: answer() == ("NVDA\n", ""), show=answer)
