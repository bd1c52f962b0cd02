"""``schwabstream stream run`` as people start it: what it prints, what it leaves in Redis, how it ends."""

import asyncio
import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from schwabstream.events import Level2Event, StatusEvent, TickEvent, parse_event
from schwabstream.simulator import SchwabSimulator
from tests.conftest import RedisServer
from tests.support.cases import only
from tests.support.terminal import (
    CTRL_C,
    CTRL_S,
    HIDE_CURSOR,
    LEAVE_SCREEN,
    OWN_SCREEN,
    SHOW_CURSOR,
    Terminal,
    terminal,
)
from tests.support.waiting import DEADLINE_S, until

COMMAND = str(Path(sys.executable).with_name("schwabstream"))
READY = "ready: streaming, all symbols subscribed"
DEFAULTS = {"/MES:XCME", "/MNQ:XCME", "/NQ:XCME"}


class Process:
    """One run of the command, with what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out, self.err = bytearray(), bytearray()
        self._readers = [
            asyncio.create_task(self._read(stream, kept))
            for stream, kept in ((process.stdout, self.out), (process.stderr, self.err))
            if stream is not None
        ]

    async def _read(self, stream: asyncio.StreamReader, kept: bytearray) -> None:
        while part := await stream.read(65_536):
            kept += part

    async def writes(self, text: str) -> None:
        """Wait until it has written this to stderr."""

        def written() -> bool:
            errors = self.err.decode(errors="replace")
            assert text in errors or self.process.returncode is None, errors
            return text in errors

        await until(written, show=lambda: self.err.decode(errors="replace"))

    async def ready(self) -> None:
        """Wait for the ready line."""
        await self.writes(READY)

    async def end(self) -> int:
        """Wait for the end; returns the exit code."""
        await until(lambda: self.process.returncode is not None, show=lambda: self.err.decode(errors="replace"))
        await asyncio.gather(*self._readers)
        return int(self.process.returncode or 0)

    def logs(self) -> list[dict[str, Any]]:
        """Stderr as the JSON lines that a pipe gets."""
        return [json.loads(line) for line in self.err.decode().splitlines()]

    def sentence(self) -> str:
        """The one sentence for people at the end of stderr."""
        line = self.err.decode().splitlines()[-1]
        assert line.startswith("schwabstream: "), self.err.decode()
        return line


RUNS: list[Process] = []
"""The runs of the current test."""


def environment(**settings: str) -> dict[str, str]:
    """This test's clean environment and these settings."""
    return {**os.environ, **settings}


@asynccontextmanager
async def started(*arguments: str, **options: Any) -> AsyncIterator[Process]:
    """The command under way; killed if it still runs at the end."""
    options = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE, "env": environment(), **options}
    process = await asyncio.create_subprocess_exec(
        COMMAND, "stream", "run", *arguments, stdin=asyncio.subprocess.DEVNULL, **options
    )
    run = Process(process)
    RUNS.append(run)
    try:
        yield run
    finally:
        if process.returncode is None:
            process.kill()
        await run.end()


async def finished(*arguments: str, **options: Any) -> tuple[int, Process]:
    """The command run to its end: exit code and output."""
    async with started(*arguments, **options) as run:
        code = await run.end()
    return code, run


@pytest.fixture
def pointed(pointed: dict[str, str]) -> dict[str, str]:
    """This test's clean environment with those settings."""
    return environment(**pointed)


@pytest.fixture(autouse=True)
def no_secret_anywhere(simulator: SchwabSimulator) -> Any:
    """No output of any run in this file may hold a token, the secret or an id of the account."""
    RUNS.clear()
    yield
    secrets = [simulator.client_secret, simulator.customer_id]
    for command in simulator.received.commands:
        secrets += [str(command.get("parameters", {}).get("Authorization") or "none given")]
    for path in Path("tokens").glob("**/*.json"):
        token = json.loads(path.read_text())["token"]
        secrets += [token["access_token"], token["refresh_token"]]
    for run in RUNS:
        text = (run.out + run.err).decode(errors="replace")
        for secret in secrets:
            assert secret not in text
        # Tokens share the beginning, a host name; what follows it is secret in any part.
        for secret in secrets:
            tail = secret.rpartition(".")[2].rstrip("@")
            assert not [tail[at : at + 12] for at in range(len(tail) - 11) if tail[at : at + 12] in text]


def events_in(client: "redis.Redis", channel: str) -> list[Any]:
    """A stream's events as their models; whatever is not one fails here."""
    entries: Any = client.xrange(f"market_data:stream:{channel}")
    return [parse_event(fields["event"]) for _, fields in entries]


# -- the demo


async def test_the_demo_fills_a_redis_that_others_can_read(redis_server: RedisServer) -> None:
    """--simulate needs no settings; it reports when it is ready, and Redis holds ticks, books and last values."""
    code, run = await finished("--simulate", "--duration", "2", "--redis", redis_server.url)
    assert code == 0, run.err.decode()
    assert bytes(run.out) == b""
    assert [line["event"] for line in run.logs()].count(READY) == 1
    assert any("unlike the real Schwab" in line["event"] for line in run.logs())
    client = redis_server.client
    ticks, books = events_in(client, "ticks"), events_in(client, "level2")
    assert all(isinstance(each, TickEvent) for each in ticks)
    assert all(isinstance(each, Level2Event) for each in books)
    assert all(isinstance(each, StatusEvent) for each in events_in(client, "status"))
    assert {each.symbol for each in ticks} == {each.symbol for each in books} == DEFAULTS
    assert all(abs(each.timestamp - time.time() * 1000) < 60_000 for each in ticks)
    for channel, events in (("ticks", ticks), ("level2", books)):
        seqs = [each.seq for each in events]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        newest = {each.symbol: each for each in events}
        last: Any = client.hgetall(f"market_data:last:{channel}")
        assert {symbol: parse_event(event) for symbol, event in last.items()} == newest
    nq = [each for each in books if each.symbol == "/NQ:XCME"]
    assert len(nq[-1].bids) == len(nq[-1].asks) == 10
    assert [each.state for each in events_in(client, "status")] == ["connecting", "streaming", "stopped"]


async def test_subscribers_hear_what_the_stream_keeps(redis_server: RedisServer) -> None:
    """A plain subscriber of market_data:ticks and :level2 receives the same events as the streams hold."""
    client: Any = redis_server.client  # Any: redis-py leaves pubsub untyped
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("market_data:ticks", "market_data:level2")
    code, _ = await finished("--simulate", "--duration", "1.5", "--redis", redis_server.url)
    assert code == 0
    heard: dict[str, list[Any]] = {"ticks": [], "level2": []}
    messages = (pubsub.get_message(timeout=0.2) for _ in range(10_000))
    for message in itertools.takewhile(lambda it: it is not None, itertools.dropwhile(lambda it: it is None, messages)):
        heard[message["channel"].partition(":")[2]].append(parse_event(message["data"]))
    pubsub.close()
    assert heard["ticks"] == events_in(redis_server.client, "ticks")
    assert heard["level2"] == events_in(redis_server.client, "level2")


async def test_json_lines_are_all_that_stands_on_stdout(redis_server: RedisServer) -> None:
    """--json writes every event, and nothing else, to stdout; the lines are what Redis got."""
    code, run = await finished(
        "--simulate", "--json", "--duration", "1.5", "--symbols", "AAPL", "--redis", redis_server.url
    )
    assert code == 0
    events = [parse_event(line) for line in bytes(run.out).splitlines()]
    assert {each.type for each in events} - {"bar"} == {"tick", "level2", "status"}  # a bar, when a minute ends
    assert all(json.loads(line)["v"] == 1 for line in bytes(run.out).splitlines())
    for channel, kind in (("ticks", "tick"), ("level2", "level2"), ("status", "status")):
        assert [each for each in events if each.type == kind] == events_in(redis_server.client, channel)


@pytest.mark.parametrize("kind", ["redis-server", "fakeredis"])
async def test_an_embedded_redis_can_be_read_while_it_lasts(kind: str, clean: Path) -> None:
    """Without a Redis an embedded one is started, real or fake; its address is logged and other programs can use it."""
    paths = environment() if kind == "redis-server" else environment(PATH=str(clean))
    async with started("--simulate", "--redis", "embedded", env=paths) as run:
        await run.ready()
        (line,) = [each for each in run.logs() if each["event"] == "embedded redis"]
        assert line["kind"] == kind
        client = redis.Redis.from_url(line["url"], decode_responses=True)
        assert await asyncio.to_thread(client.exists, "market_data:owner")  # it keeps a live streamer out
        for channel in ("ticks", "level2"):
            await until(lambda: set(client.hkeys(f"market_data:last:{channel}")) >= DEFAULTS)  # noqa: B023 - awaited here
        last: Any = await asyncio.to_thread(client.hgetall, "market_data:last:level2")
        assert isinstance(parse_event(last["/NQ:XCME"]), Level2Event)
        client.close()
        # A connection, not the port: another test's Redis may be at that port a moment later.
        port = int(line["url"].rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as probe:
            run.process.send_signal(signal.SIGTERM)
            assert await run.end() == 0
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.to_thread(probe.recv, 1) == b""


async def test_simulated_prices_go_into_a_named_redis_only(pointed: dict[str, str], redis_server: RedisServer) -> None:
    """--redis URL overrides REDIS_URL; without it simulated prices go into an embedded Redis."""
    url = redis_server.url.replace("/0", "/3")
    code, _ = await finished("--simulate", "--duration", "0.5", "--redis", url, env=pointed)
    assert code == 0
    with redis.Redis(port=redis_server.port, db=3) as client:
        assert client.exists("market_data:last:ticks")
    code, run = await finished("--simulate", "--duration", "0.5", env=pointed)
    assert code == 0
    (own,) = [line["url"] for line in run.logs() if line["event"] == "embedded redis"]
    assert not own.endswith(":6379/0")  # where a streamer whose own Redis is away may look for it
    assert redis_server.client.keys("*") == []


async def test_simulated_prices_never_mix_with_live_ones(pointed: dict[str, str], redis_server: RedisServer) -> None:
    """Beside a live streamer under the same prefix every simulation exits 6, and the live stream is undisturbed."""
    async with started("--symbols", "/NQ:XCME,AAPL", "--record", "day.jsonl.zst", env=pointed) as live:
        await live.ready()
        url = ("--redis", redis_server.url)
        for words in (("--simulate", *url), ("--simulate", "--no-standby", *url), ("--simulate", "--take-over", *url)):
            code, run = await finished(*words, "--symbols", "/NQ:XCME", env=pointed)
            assert code == 6
            assert "SCHWAB_REDIS_PREFIX" in run.sentence()
        for screen in ("quote", "book"):
            command = (screen, "AAPL", "--simulate", "--once", *url)
            process = await asyncio.create_subprocess_exec(
                COMMAND, *command, env=pointed, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            out, err = await process.communicate()
            assert (process.returncode, out) == (6, b""), err.decode()
            assert b"SCHWAB_REDIS_PREFIX" in err
        live.process.send_signal(signal.SIGTERM)
        assert await live.end() == 0
    assert [each.state for each in events_in(redis_server.client, "status")] == ["connecting", "streaming", "stopped"]
    for channel in ("ticks", "level2", "status"):
        seqs = [each.seq for each in events_in(redis_server.client, channel)]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    code, run = await finished("--simulate-from", "day.jsonl.zst", "--duration", "1", *url, env=pointed)
    assert code == 0, run.err.decode()


async def test_two_accounts_under_one_prefix_do_not_mix(
    pointed: dict[str, str], redis_server: RedisServer, clean: Path
) -> None:
    """The second account exits 6 and is shown the setting to change, also when both start at once."""
    async with SchwabSimulator(seed=99) as other:
        token = clean / "other.json"
        token.write_text(json.dumps(other.issue_token()))
        token.chmod(0o600)
        second = {
            **pointed,
            "SCHWAB_API_BASE_URL": other.base_url,
            "SCHWAB_CLIENT_ID": other.client_id,
            "SCHWAB_CLIENT_SECRET": other.client_secret,
            "SCHWAB_TOKEN_PATH": str(token),
        }
        async with started("--symbols", "AAPL", env=pointed) as one, started("--symbols", "AAPL", env=second) as two:
            done, _ = await asyncio.wait(
                {asyncio.create_task(each.end(), name=name) for name, each in (("one", one), ("two", two))},
                return_when=asyncio.FIRST_COMPLETED,
            )
            (refused,) = done
            ended, going = (one, two) if refused.get_name() == "one" else (two, one)
            assert refused.result() == 6
            assert "another account" in ended.sentence()
            assert "SCHWAB_REDIS_PREFIX" in ended.sentence()
            await going.ready()
            code, run = await finished("--symbols", "AAPL", "--take-over", env=pointed if going is two else second)
            assert code == 6, run.err.decode()
            going.process.send_signal(signal.SIGTERM)
            assert await going.end() == 0
    states = [each.state for each in events_in(redis_server.client, "status")]
    assert states == ["connecting", "streaming", "stopped"]


async def test_events_that_redis_does_not_take_by_the_end_exit_8(
    pointed: dict[str, str], redis_server: RedisServer, simulator: SchwabSimulator
) -> None:
    """Events that are unwritten at the end are a warning, a ``dropped`` with their count, and exit code 8."""
    client: Any = redis_server.client  # Any: redis-py leaves pubsub untyped
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("market_data:status")
    async with started("--symbols", "/NQ:XCME", env=pointed) as run:
        await run.ready()
        client.config_set("maxmemory", "1")
        simulator.step(50)
        await run.writes("redis is away")
        run.process.send_signal(signal.SIGTERM)
        assert await run.end() == 8
    client.config_set("maxmemory", "0")
    messages = (pubsub.get_message(timeout=0.2) for _ in range(100))
    heard: list[Any] = [parse_event(message["data"]) for message in messages if message]
    pubsub.close()
    lines = [json.loads(line) for line in run.err.decode().splitlines() if line.startswith("{")]
    done = next(line for line in lines if line["event"] == "done")
    assert (done["level"], done["unwritten"] > 0) == ("warning", True)
    assert f"{done['unwritten']} events" in run.sentence()
    assert [each.state for each in heard] == ["connecting", "streaming", "stopped", "dropped"]
    (dropped,) = [each for each in heard if each.state == "dropped"]
    assert 0 < dropped.count < done["unwritten"]
    assert redis_server.client.exists("market_data:owner") == 0


# -- against an endpoint


async def test_the_base_url_moves_everything(pointed: dict[str, str], simulator: SchwabSimulator) -> None:
    """OAuth, REST and, through userPreference, the socket go where SCHWAB_API_BASE_URL points."""
    async with started("--symbols", "/NQ:XCME,AAPL", env=pointed) as run:
        await run.ready()
        assert simulator.sessions == 1
        assert "/trader/v1/userPreference" in simulator.received.paths()
        assert simulator.subscribed("LEVELONE_FUTURES") == ["/NQ"]
        run.process.send_signal(signal.SIGTERM)
        assert await run.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_logs_out_drains_and_exits_0(
    pointed: dict[str, str], simulator: SchwabSimulator, redis_server: RedisServer, number: signal.Signals
) -> None:
    """Ctrl-C, SIGTERM and SIGHUP send LOGOUT to Schwab, publish ``stopped`` and exit with 0."""
    unignored = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    async with started(env=pointed, preexec_fn=unignored) as run:
        await run.ready()
        run.process.send_signal(number)
        assert await run.end() == 0
    assert simulator.received.commands[-1]["command"] == "LOGOUT"
    assert events_in(redis_server.client, "status")[-1].state == "stopped"
    assert run.logs()[-1]["event"] == "done"
    assert run.logs()[-1]["unwritten"] == 0


async def test_a_second_ctrl_c_stops_at_once(pointed: dict[str, str], simulator: SchwabSimulator) -> None:
    """When the end hangs, Ctrl-C again ends it with 130 and without a traceback."""
    simulator.faults.unanswered = {"LOGOUT"}
    async with started(env=pointed) as run:
        await run.ready()
        run.process.send_signal(signal.SIGINT)
        await simulator.until(lambda sim: bool(sim.received.sent("ADMIN", "LOGOUT")))
        run.process.send_signal(signal.SIGINT)
        assert await run.end() == 130
    assert "Traceback" not in run.err.decode()


@pytest.mark.parametrize("fault", ["rest_silence", "handshake", "login"])
async def test_a_signal_while_connecting_is_obeyed(
    pointed: dict[str, str], simulator: SchwabSimulator, fault: str
) -> None:
    """SIGTERM ends the start with 0, wherever it hangs."""
    if fault == "rest_silence":
        simulator.faults.rest_error = "silence"
    elif fault == "handshake":
        simulator.faults.handshake_delay_s = 60
    else:
        simulator.faults.login_unanswered = True
    async with started(env=pointed) as run:
        await simulator.until(
            lambda sim: bool(sim.received.requests if fault != "login" else sim.received.commands), DEADLINE_S
        )
        run.process.send_signal(signal.SIGTERM)
        assert await run.end() == 0


async def test_closing_the_pipe_early_ends_quietly(pointed: dict[str, str], simulator: SchwabSimulator) -> None:
    """``--json | head -1``: the run logs out and ends with 0, without a message about a broken pipe."""
    read, write = os.pipe()
    async with started("--json", env=pointed, stdout=write) as run:
        os.close(write)
        with os.fdopen(read, "rb") as stream:
            line = await asyncio.to_thread(stream.readline)
        assert json.loads(line)["type"] == "status"
        assert await run.end() == 0
    assert simulator.received.commands[-1]["command"] == "LOGOUT"
    assert "pipe" not in run.err.decode().lower()
    assert "Exception" not in run.err.decode()


async def test_a_reader_that_is_stuck_holds_up_nothing(pointed: dict[str, str], simulator: SchwabSimulator) -> None:
    """A full pipe without a reader does not hold up the stream; SIGTERM exits with 0 in time and reports lost lines."""
    simulator.faults.changes_per_s = 0
    read, write = os.pipe()
    try:
        async with started("--json", env=pointed, stdout=write) as run:
            os.close(write)
            await run.ready()
            for _ in range(40):
                simulator.step(20)
                await asyncio.sleep(0)
            run.process.send_signal(signal.SIGTERM)
            assert await run.end() == 0
        assert any(line["event"] == "the reader of standard output was too slow" for line in run.logs())
    finally:
        os.close(read)


async def test_closed_standard_streams_are_no_reason_to_fail(redis_server: RedisServer) -> None:
    """Started by something that closed stdout and stderr, it streams all the same."""
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        f'exec "{COMMAND}" stream run --simulate --redis {redis_server.url} --duration 1 >&- 2>&-',
    )
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == 0
    assert {each.symbol for each in events_in(redis_server.client, "ticks")} == DEFAULTS


async def test_debug_output_holds_no_secret(pointed: dict[str, str]) -> None:
    """-vv shows the libraries' own log lines, with tokens redacted (checked for every run of this file)."""
    code, run = await finished("-vv", "--duration", "1", env=pointed)
    assert code == 0
    assert "LEVELONE_FUTURES" in run.err.decode()


async def test_quiet_prints_nothing_when_all_is_well(pointed: dict[str, str]) -> None:
    """-q leaves stderr empty."""
    code, run = await finished("-q", "--duration", "0.5", env=pointed)
    assert (code, bytes(run.err), bytes(run.out)) == (0, b"", b"")


async def test_a_redis_that_dies_and_returns_is_outlived(pointed: dict[str, str], redis_server: RedisServer) -> None:
    """When Redis dies the run continues, reports it once, and writes again after the restart."""
    async with started(env=pointed) as run:
        await run.ready()
        redis_server.kill()
        await run.writes("redis is away")
        redis_server.start()
        await run.writes("redis is back")
        await until(lambda: redis_server.client.exists("market_data:last:ticks"))
        run.process.send_signal(signal.SIGTERM)
        assert await run.end() == 0


# -- what cannot work


BAD_REDIS = {"REDIS_URL": "redis://h?foo=1"}


@pytest.mark.parametrize(
    ("option", "given", "named", "unnamed"),
    [
        ((), {}, ["SCHWAB_CLIENT_ID", "SCHWAB_CLIENT_SECRET"], ["auth login"]),
        pytest.param(
            (), {"SCHWAB_CLIENT_ID": "x" * 32}, ["SCHWAB_CLIENT_SECRET"], ["SCHWAB_CLIENT_ID"], marks=pytest.mark.slow
        ),
        pytest.param((), BAD_REDIS, ["REDIS_URL", "foo"], ["SCHWAB_CLIENT_ID"], marks=pytest.mark.slow),
        pytest.param(
            ("--ensure-env",),
            {},
            ["SCHWAB_CLIENT_ID", "SCHWAB_CLIENT_SECRET", "auth login"],
            ["REDIS_URL"],
            marks=pytest.mark.slow,
        ),
        (("--ensure-env",), BAD_REDIS, ["REDIS_URL", "foo", "SCHWAB_CLIENT_ID", "auth login"], []),
    ],
)
async def test_missing_settings_are_named_at_once(
    option: tuple[str, ...], given: dict[str, str], named: list[str], unnamed: list[str]
) -> None:
    """Exit 2, one sentence, nothing connected: the first problem, or with --ensure-env every one."""
    code, run = await finished(*option, env=environment(**given))
    assert code == 2
    assert len(run.err.decode().splitlines()) == 1
    assert all(name in run.sentence() for name in named)
    assert not any(name in run.sentence() for name in unnamed)
    assert bytes(run.out) == b""


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "words"),
    [
        (["--symbols", "not a symbol"], {}, 2, "'symbol' cannot be a symbol"),
        pytest.param(["--symbols", ","], {}, 2, "no symbols|SCHWAB_SYMBOLS", marks=pytest.mark.slow),
        ([], {"SCHWAB_API_BASE_URL": "http://api.example.com"}, 2, "SCHWAB_API_BASE_URL.*loopback"),
        pytest.param([], {"REDIS_URL": "http://127.0.0.1"}, 2, "REDIS_URL", marks=pytest.mark.slow),
        pytest.param([], {"REDIS_URL": "redis://127.0.0.1:port"}, 2, "REDIS_URL", marks=pytest.mark.slow),
        ([], {"REDIS_URL": "redis://:hunter2hunter2@127.0.0.1:9/0"}, 8, "Redis at redis://.*@127.0.0.1:9"),
        pytest.param(
            ["--redis", "unix:///nowhere/redis.sock"],
            {},
            8,
            "Redis at unix:///nowhere/redis.sock does not answer",
            marks=pytest.mark.slow,
        ),
        ([], {"SCHWAB_TOKEN_PATH": "nowhere/token.json"}, 3, "schwabstream auth login"),
    ],
)
async def test_a_mistake_is_one_sentence_with_its_exit_code(
    pointed: dict[str, str],
    simulator: SchwabSimulator,
    arguments: list[str],
    settings: dict[str, str],
    code: int,
    words: str,
) -> None:
    """Each mistake has its exit code and a sentence that names it; Schwab sees no login."""
    ended, run = await finished(*arguments, env={**pointed, **settings})
    assert ended == code, run.err.decode()
    assert re.search(words, run.sentence())
    assert "Traceback" not in run.err.decode()
    assert "hunter2" not in run.err.decode()
    assert simulator.received.commands == []


async def test_usage_errors_exit_2(clean: Path) -> None:
    """An unknown or malformed argument is a usage error."""
    cases = {"--duration soon": "--duration must be", "--no-such-option": "Usage", "--duration 0": "--duration must be"}
    for arguments, words in cases.items():
        code, run = await finished("--simulate", *arguments.split())
        assert code == 2
        assert words in run.err.decode()


@pytest.mark.parametrize(
    "fault",
    only(
        ["black_hole", "login"],
        ["refused", "rest_silence", "rest_drop", "handshake", "black_hole", "login"],
    ),
)
async def test_an_endpoint_that_does_not_answer_ends_the_start(
    pointed: dict[str, str], simulator: SchwabSimulator, fault: str
) -> None:
    """Nothing listening, silence, resets, a handshake or LOGIN unanswered: exit 4 and one sentence."""
    match fault:
        case "refused":
            pointed = {**pointed, "SCHWAB_API_BASE_URL": "http://127.0.0.1:9"}
        case "rest_silence" | "rest_drop":
            simulator.faults.rest_error = "silence" if fault == "rest_silence" else "drop"
        case "handshake":
            simulator.faults.handshake_delay_s = 60
        case "black_hole":
            simulator.faults.black_hole = True
        case "login":
            simulator.faults.login_unanswered = True
    code, run = await finished(env=pointed)
    assert code == 4, run.err.decode()
    assert "check the network" in run.sentence() or "try again" in run.sentence()


async def test_a_proxy_in_the_environment_does_not_come_between(redis_server: RedisServer) -> None:
    """The demo needs no network, so no proxy setting can break it."""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    code, run = await finished(
        "--simulate", "--duration", "0.5", "--redis", redis_server.url, env=environment(NO_PROXY="", **proxies)
    )
    assert code == 0, run.err.decode()


# -- on a terminal


def restored(shown: Terminal) -> bool:
    """Whether the cursor is shown and the shell's screen is back."""
    return shown.raw.rfind(SHOW_CURSOR) > shown.raw.rfind(HIDE_CURSOR) and (
        shown.raw.rfind(LEAVE_SCREEN) > shown.raw.rfind(OWN_SCREEN)
    )


async def test_the_live_table_moves_and_leaves_the_terminal_as_found(
    pointed: dict[str, str], simulator: SchwabSimulator
) -> None:
    """On a terminal: symbol, contract and prices that follow the market; afterwards cursor, modes, screen are back."""
    simulator.faults.changes_per_s = 0
    with terminal("stream", "run", environment=pointed) as shown:
        await shown.until(lambda _screen: all(shown.row(symbol) for symbol in DEFAULTS))
        await shown.until(lambda _screen: "/NQ" in shown.row("/NQ:XCME")[10:])
        for last in ("20,001.25", "20,002.50"):
            simulator.push_data("LEVELONE_FUTURES", {"key": "/NQ", "3": float(last.replace(",", ""))})
            await shown.until(lambda _screen: last in shown.row("/NQ:XCME"))  # noqa: B023 - awaited here
        assert "▲" in shown.row("/NQ:XCME")
        assert "streaming" in shown.text
        assert "Ctrl-C" in shown.text
        shown.type(CTRL_C)
        assert await shown.end() == 0
    assert restored(shown)
    for on, off in ((OWN_SCREEN, LEAVE_SCREEN), (HIDE_CURSOR, SHOW_CURSOR)):
        assert shown.raw.count(on) == shown.raw.count(off)
    assert "Traceback" not in shown.written


async def test_a_terminal_is_restored_after_a_second_ctrl_c(
    pointed: dict[str, str], simulator: SchwabSimulator
) -> None:
    """When the end hangs and Ctrl-C is pressed again, the cursor is shown and the screen is the old one."""
    simulator.faults.unanswered = {"LOGOUT"}
    with terminal("stream", "run", environment=pointed) as shown:
        await shown.until(lambda screen: shown.row("/NQ:XCME") and "streaming" in screen)
        await until(lambda: simulator.sessions == 1)
        shown.type(CTRL_C)
        await until(lambda: simulator.received.sent("ADMIN", "LOGOUT"))
        shown.type(CTRL_C)
        assert await shown.end() == 130
    assert restored(shown)
    assert "Traceback" not in shown.written


async def test_a_terminal_is_restored_after_an_error(pointed: dict[str, str], simulator: SchwabSimulator) -> None:
    """When the run fails, the cursor is shown and the screen is the old one."""
    simulator.faults.login_code = 11
    with terminal("stream", "run", environment=pointed) as shown:
        assert await shown.end() == 4
    assert restored(shown)
    assert "Traceback" not in shown.written


async def test_a_terminal_that_is_stuck_does_not_hold_up_the_stream(
    pointed: dict[str, str], simulator: SchwabSimulator, redis_server: RedisServer
) -> None:
    """Output stopped with Ctrl-S: data still reaches Redis, and SIGTERM still ends the run in time."""
    simulator.faults.changes_per_s = 0
    with terminal("stream", "run", environment=pointed) as shown:
        await shown.until(lambda screen: "streaming" in screen)
        shown.type(CTRL_S)
        for price in (30_000.0 + step for step in range(8)):
            simulator.push_data("LEVELONE_FUTURES", {"key": "/NQ", "3": price})
            await until(lambda: events_in(redis_server.client, "ticks")[-1].last_price == price)  # noqa: B023 - awaited here
        shown.process.terminate()
        assert await shown.end() == 0


async def test_no_color_is_obeyed(redis_server: RedisServer) -> None:
    """With NO_COLOR the table has no colour, on stdout and stderr alike."""
    with terminal("stream", "run", "--simulate", REDIS_URL=redis_server.url, NO_COLOR="1") as shown:
        await shown.until(lambda _screen: shown.row("/NQ:XCME"))
        shown.type(CTRL_C)
        assert await shown.end() == 0
    codes = re.findall(rb"\x1b\[([\d;]*)m", shown.raw)
    numbers = {int(part) for code in codes for part in code.split(b";") if part}
    assert not [number for number in numbers if 30 <= number <= 49 or number >= 90]


async def test_logs_in_a_file_are_complete_beside_the_table(redis_server: RedisServer, clean: Path) -> None:
    """``2>log``: the table is on the terminal, until q is pressed twice; the file has every log line."""
    log = clean / "log"
    with (
        log.open("wb") as file,
        terminal("stream", "run", "--simulate", stderr=file, REDIS_URL=redis_server.url) as shown,
    ):
        await shown.until(lambda _screen: shown.row("/NQ:XCME") and READY in log.read_text())
        shown.type(b"q")
        await shown.until(lambda screen: "press q again to stop the run" in screen)
        shown.type(b"q")
        assert await shown.end() == 0
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count(READY) == 1
    assert events[-1] == "done"


async def test_no_live_gets_lines_on_a_terminal(redis_server: RedisServer) -> None:
    """--no-live gives one line per change of state on a terminal too, readable for people."""
    arguments = ("--simulate", "--no-live", "--duration", "0.5")
    with terminal("stream", "run", *arguments, REDIS_URL=redis_server.url) as shown:
        assert await shown.end() == 0
    assert READY in shown.written
    assert OWN_SCREEN not in shown.raw


def test_the_command_is_the_installed_one() -> None:
    """These tests run what users run."""
    assert shutil.which(COMMAND)
