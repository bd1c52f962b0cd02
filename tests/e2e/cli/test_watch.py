"""``quote``, ``book`` and ``status`` as users run them: on a terminal, in a pipe, with Redis coming and going."""

import signal
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from schwabstream.report import StreamerReport, SymbolReport
from tests.support.cases import pairs
from tests.support.terminal import COMMAND, LEAVE_SCREEN, SHOW_CURSOR, terminal
from tests.support.waiting import block_until

if TYPE_CHECKING:
    from tests.conftest import RedisServer
else:
    RedisServer = Any


class FakeStreamer:
    """A streamer's traces in Redis: ticks, books, and its report."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.seq = time.time_ns() // 1000

    def report(self, **changes: Any) -> None:
        """A report of a healthy streamer, with these changes."""
        now_ms = time.time_ns() // 1_000_000
        lines = [
            SymbolReport(symbol="/MNQ:XCME", key="/MNQ", asset="FUTURE", fresh=True),
            SymbolReport(symbol="AMD", key="AMD", asset="EQUITY", fresh=True),
        ]
        known = {"state": "streaming", "since": now_ms, "reported": now_ms, "started": now_ms, "pid": 7, "host": "box"}
        report = StreamerReport.model_validate({**known, "version": "1", "symbols": lines, **changes})
        self._server.client.set("market_data:streamer", report.model_dump_json(), px=60_000)

    def tick(self, price: float) -> None:
        """Publish a tick of /MNQ:XCME."""
        changes = {"asset": "FUTURE", "last_price": price, "is_trade": True, "bid_price": price, "close_price": 100.0}
        self._publish("ticks", {"type": "tick", "symbol": "/MNQ:XCME", "key": "/MNQ", **changes})

    def book(self, price: float) -> None:
        """Publish a book of AMD with one bid and no ask."""
        level = {"price": price, "size": 300, "makers": 1, "venues": [{"id": "NSDQ", "size": 300, "time_ms": 1}]}
        event = {"type": "level2", "symbol": "AMD", "key": "AMD", "service": "NASDAQ_BOOK", "source": "book"}
        self._publish("level2", {**event, "bids": [level], "asks": []})

    def _publish(self, channel: str, event: dict[str, Any]) -> None:
        self.seq += 1
        now_us = time.time_ns() // 1000
        event |= {"v": 1, "seq": self.seq, "timestamp": now_us // 1000, "received_us": now_us}
        payload = orjson.dumps(event).decode()
        pipe = self._server.client.pipeline()
        pipe.hset(f"market_data:last:{channel}", event["symbol"], payload)
        pipe.publish(f"market_data:{channel}", payload)
        pipe.execute()


@pytest.fixture
def streamer(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> FakeStreamer:
    """A streamer that streams into the Redis all commands use."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    fake = FakeStreamer(redis_server)
    fake.report()
    return fake


def shows(first: str, second: str, text: str) -> bool:
    """Whether the text holds both."""
    return first in text and second in text


def run(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """A command in a pipe."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=seconds, check=False)


def test_quote_on_a_terminal_moves_and_leaves_it_as_it_was(streamer: FakeStreamer) -> None:
    """Prices move as they are published, the width may change, and SIGTERM restores the terminal, exit 0."""
    streamer.tick(110.25)
    with terminal("quote", "/MNQ:XCME", "AMD") as shown:
        first = shown.block_until(lambda text: "110.25" in text and "streaming" in text)
        assert "+10.25%" in first
        assert "no data yet" in first
        streamer.tick(111.5)
        shown.block_until(lambda text: "111.50 ▲" in text)
        shown.resize(60, 20)
        streamer.tick(110.75)
        narrow = shown.block_until(lambda text: "110.75 ▼" in text)
        assert "Volume" not in narrow
        shown.process.terminate()
        assert shown.block_until_end() == 0
        assert shown.raw.rfind(LEAVE_SCREEN) > shown.raw.rfind(b"\x1b[?1049h")
        assert SHOW_CURSOR in shown.raw


def test_book_on_a_terminal_moves(streamer: FakeStreamer) -> None:
    """The ladder follows the books, also on 8 lines of 40 columns; q leaves it, exit 0, and its last state stays."""
    streamer.book(221.38)
    with terminal("book", "AMD", "--depth", "3", "--venues") as shown:
        shown.block_until(lambda text: "221.38" in text and "NSDQ:300" in text and "no asks" in text)
        streamer.book(221.4)
        shown.block_until(lambda text: "221.40" in text and "221.38" not in text)
        shown.resize(40, 8)
        streamer.book(221.5)
        shown.block_until(lambda text: "221.50" in text and "no asks" in text and "221.40" not in text)
        shown.type(b"q")
        assert shown.block_until_end() == 0
        assert "221.50" in shown.written.rpartition(LEAVE_SCREEN.decode())[2]


def test_redis_killed_again_and_again_is_shown_and_survived(streamer: FakeStreamer, redis_server: RedisServer) -> None:
    """The screen reports each outage of Redis, and prices move again after its return."""
    streamer.tick(1000.0)
    with terminal("quote", "/MNQ:XCME") as shown:
        shown.block_until(lambda text: "1,000.00" in text and "streaming" in text)
        for restart in range(1, 4):
            redis_server.kill()
            shown.block_until(lambda text: "Redis is away" in text)
            redis_server.start()
            streamer.report()
            streamer.tick(1000.0 + restart)
            wanted = f"{1000 + restart:,}.00 ▲"
            shown.block_until(partial(shows, wanted, "streaming"))
        shown.process.terminate()
        assert shown.block_until_end() == 0


def test_a_killed_streamer_is_shown(streamer: FakeStreamer, redis_server: RedisServer) -> None:
    """When the report expires the screen shows that no streamer is running, and dims the last known values."""
    streamer.tick(110.25)
    with terminal("quote", "/MNQ:XCME") as shown:
        shown.block_until(lambda text: "streaming" in text and "110.25" in text)
        redis_server.client.delete("market_data:streamer")
        shown.block_until(lambda text: "no streamer is running" in text and "110.25" in text)


def test_a_pipe_gets_lines_and_may_close_early(streamer: FakeStreamer) -> None:
    """In a pipe each update is a line without escape codes; a reader that leaves ends the command quietly."""
    streamer.tick(110.25)
    command = [*COMMAND, "quote", "/MNQ:XCME"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert "/MNQ:XCME  110.25  +10.25  +10.25%" in first
        assert "\x1b" not in first
        process.stdout.close()

        def ended() -> bool:
            streamer.tick(110.5)
            return process.poll() is not None

        block_until(ended)
        assert process.returncode == 0
        assert process.stderr.read() == ""


def test_json_lines_and_count(streamer: FakeStreamer) -> None:
    """``--json --count 1`` writes one event, unchanged from the channel, and ends."""
    streamer.tick(110.25)
    done = run("quote", "/mnq:xcme", "--json", "--count", "1")
    assert done.returncode == 0
    event = orjson.loads(done.stdout)
    assert (event["v"], event["type"], event["symbol"], event["last_price"]) == (1, "tick", "/MNQ:XCME", 110.25)


def test_once_shows_a_snapshot_and_ends(streamer: FakeStreamer) -> None:
    """``--once`` prints the table or the ladder plainly; ``--json`` the events, and what is missing to stderr."""
    streamer.tick(110.25)
    streamer.book(221.38)
    table = run("quote", "/MNQ:XCME", "AMD", "--once")
    assert table.returncode == 0
    assert "110.25" in table.stdout
    assert "\x1b" not in table.stdout
    ladder = run("book", "AMD", "--once")
    assert "221.38" in ladder.stdout
    lines = run("book", "AMD", "--once", "--json", "--depth", "1")
    assert orjson.loads(lines.stdout)["bids"][0]["price"] == 221.38
    missing = run("quote", "AMD", "--once", "--json")
    assert (missing.returncode, missing.stdout) == (0, "")
    assert "AMD" in missing.stderr


def test_quote_without_symbols_shows_what_is_streamed(streamer: FakeStreamer, redis_server: RedisServer) -> None:
    """All symbols of the streamer, none that only an earlier run has left in Redis; the screen follows its changes.

    ``b`` opens the book of a row beside them, which is read from Redis and moves.
    """
    streamer.tick(110.25)
    old = {"v": 1, "type": "tick", "symbol": "OLD", "key": "OLD", "seq": 1, "asset": "EQUITY", "is_trade": True}
    old |= {"timestamp": 1, "received_us": 1, "last_price": 5.0}
    redis_server.client.hset("market_data:last:ticks", "OLD", orjson.dumps(old).decode())
    once = run("quote", "--once")
    assert (once.returncode, once.stderr) == (0, "")
    assert [line.split()[0] for line in once.stdout.splitlines()[2:]] == ["/MNQ:XCME", "AMD"]
    lines = run("quote", "--json", "--count", "1")
    assert orjson.loads(lines.stdout)["symbol"] == "/MNQ:XCME"
    with terminal("quote") as shown:
        shown.block_until(lambda text: "110.25" in text and "AMD" in text)
        streamer.report(symbols=[SymbolReport(symbol=name, key=name, asset="EQUITY") for name in ("AMD", "NVDA")])
        last = shown.block_until(lambda text: "NVDA" in text and "/MNQ:XCME" not in text)
        assert "OLD" not in last
        streamer.book(221.38)
        shown.type(b"b")
        shown.block_until(lambda text: "221.38" in text and "no asks" in text and "NVDA" in text)
        streamer.book(221.4)
        shown.block_until(lambda text: "221.40" in text)
        shown.type(b"b")
        shown.block_until(lambda text: "221.40" not in text and "NVDA" in text)
        shown.type(b"q")
        assert shown.block_until_end() == 0


def test_quote_without_symbols_needs_a_streamer_or_configured_symbols(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing streamed and nothing configured it is a usage error that names both ways to go on."""
    monkeypatch.setenv("SCHWAB_SYMBOLS", ",")
    done = run("quote", "--redis", redis_server.url)
    assert (done.returncode, done.stdout) == (2, "")
    step = "no symbols to show: name some, as in schwabstream quote AAPL, or set SCHWAB_SYMBOLS"
    assert done.stderr == f"schwabstream: no streamer is running; Schwab cannot be asked either: {step}\n"


def test_a_symbol_that_the_streamer_refuses_is_named_with_the_reason(streamer: FakeStreamer) -> None:
    """``--once`` prints what is streamed, names what is refused and why, and exits with 4; so do lines."""
    streamer.tick(110.25)
    reason = "AAPL is not streamed: the limit of 2 symbols is reached (SCHWAB_MAX_SYMBOLS)"
    streamer.report(refused={"AAPL": reason})
    for command in (("quote", "AAPL"), ("book", "AAPL"), ("quote", "AAPL", "--json")):
        absent = run(*command, "--once")
        assert (absent.returncode, absent.stdout) == (4, "")
        assert reason in absent.stderr
    some = run("quote", "AAPL", "/MNQ:XCME", "--once")
    assert some.returncode == 4
    assert "110.25" in some.stdout
    assert reason in some.stderr
    assert reason in run("quote", "AAPL", "/MNQ:XCME", "--count", "1").stderr
    with terminal("book", "AAPL") as shown:
        shown.block_until(lambda text: "AAPL is not streamed: the limit of 2 symbols" in text)
        shown.process.send_signal(signal.SIGINT)
        assert shown.block_until_end() == 0


def test_status_of_a_streamer_without_all_data(streamer: FakeStreamer) -> None:
    """A streamer that streams but is not healthy shows that first, in agreement with the exit code."""
    lines = [SymbolReport(symbol=f"S{n}", key=f"S{n}", asset="EQUITY", fresh=n >= 39) for n in range(62)]
    streamer.report(symbols=lines)
    unhealthy = run("status")
    assert unhealthy.returncode == 4
    assert unhealthy.stdout.startswith("unhealthy: 39 of 62 symbols without data")
    streamer.report(refusing=["market_data:stream:ticks"])
    refused = run("status")
    assert refused.returncode == 4
    assert refused.stdout.startswith("unhealthy: Redis refuses writes to market_data:stream:ticks")
    assert orjson.loads(run("status", "--json").stdout)["refusing"] == ["market_data:stream:ticks"]


NOWHERE = "redis://127.0.0.1:1/0"
ABSENT = f"Redis at {NOWHERE} does not answer (Connection refused)"


UNFIT = [
    (NOWHERE, 8, f"{ABSENT}: start it, correct REDIS_URL or --redis"),
    ("redis://h?foo=1", 2, "--redis: has an unknown option foo"),
    ("redis://h?socket_timeout=abc", 2, "--redis: socket_timeout must be a number of seconds"),
    ("embedded", 2, "--redis: must start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"),
]


@pytest.mark.parametrize(("command", "unfit"), pairs([("status",), ("quote", "AAPL"), ("book", "AAPL")], UNFIT))
def test_a_redis_given_by_hand_must_serve(command: tuple[str, ...], unfit: tuple[str, int, str]) -> None:
    """A Redis that is given as an option and does not serve is named in one sentence, and no other source is asked."""
    url, code, words = unfit
    done = run(*command, "--redis", url)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"schwabstream: {words}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["quote", "book"])
def test_an_absent_redis_is_named_before_credentials(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Schwab is asked because Redis is away, and cannot be, the sentence begins with Redis."""
    monkeypatch.setenv("REDIS_URL", NOWHERE)
    done = run(command, "AAPL", "--once", "--quiet")
    assert done.returncode == 2
    assert done.stderr.startswith(f"schwabstream: {ABSENT}")
    assert "; Schwab cannot be asked either: SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET not set" in done.stderr


def test_an_absent_streamer_is_named_before_credentials(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Schwab is asked because no streamer is running, and cannot be, the sentence begins with the streamer."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    done = run("quote", "AAPL", "--once", "--quiet")
    cause = "no streamer is running; Schwab cannot be asked either: SCHWAB_CLIENT_ID and SCHWAB_CLIENT_SECRET not set"
    assert done.returncode == 2
    assert done.stderr.startswith(f"schwabstream: {cause}")


def test_status_shows_how_the_streamer_is(streamer: FakeStreamer, redis_server: RedisServer) -> None:
    """Healthy is exit 0; waiting or absent is 4; no Redis is 8."""
    good = run("status")
    assert good.returncode == 0
    assert "streaming" in good.stdout
    assert orjson.loads(run("status", "--json").stdout)["healthy"] is True
    streamer.report(state="waiting", reason="the connection was lost")
    bad = run("status")
    assert bad.returncode == 4
    assert "the connection was lost" in bad.stdout
    redis_server.client.delete("market_data:streamer")
    absent = run("status")
    assert absent.returncode == 4
    assert "stream run" in absent.stderr
    assert orjson.loads(run("status", "--json").stdout) == {"v": 1, "healthy": False}
    redis_server.kill()
    assert run("status").returncode == 8


def test_without_a_streamer_and_credentials_it_names_what_is_missing(redis_server: RedisServer) -> None:
    """Without a Redis and without credentials it exits with 2 and names the variables; a terminal is restored."""
    redis = ["--redis", redis_server.url]
    quote = run("quote", "/MNQ", *redis)
    assert quote.returncode == 2
    assert "SCHWAB_CLIENT_ID" in quote.stderr
    assert quote.stdout == ""
    with terminal("book", "/NQ", *redis) as shown:
        assert shown.block_until_end() == 2
        assert b"SCHWAB_CLIENT_ID" in shown.raw
        assert shown.raw.rfind(LEAVE_SCREEN) > shown.raw.rfind(b"\x1b[?1049h")


def test_nonsense_is_refused_before_anything_is_opened() -> None:
    """A symbol that cannot be one is exit 2 with the nearest right form."""
    done = run("quote", "/MNQ:XCMEE")
    assert done.returncode == 2
    assert "did you mean /MNQ:XCME?" in done.stderr


def test_a_message_that_is_not_an_event_is_counted_and_draws_nothing(
    streamer: FakeStreamer, redis_server: RedisServer
) -> None:
    """Rubbish on the channels is counted on the screen and never reaches the terminal raw."""
    streamer.tick(110.25)
    with terminal("quote", "/MNQ:XCME") as shown:
        shown.block_until(lambda text: "110.25" in text)
        redis_server.client.publish("market_data:ticks", "\x1b]0;owned\x07")
        redis_server.client.publish("market_data:ticks", '{"seq":1,"symbol":"/MNQ:XCME","key":"/MNQ"}')
        shown.block_until(lambda text: "messages could not be parsed as events" in text)
        assert b"owned" not in shown.raw


def test_simulated_screens_need_nothing_else() -> None:
    """``--simulate`` shows moving prices and a book with no Redis, no account and no streamer."""
    with terminal("quote", "/MNQ:XCME", "NVDA", "--simulate") as shown:
        first = shown.block_until(lambda text: "simulated prices" in text and text.count("▲") + text.count("▼") > 0)
        shown.block_until(lambda text: text.splitlines()[2] != first.splitlines()[2])
        shown.process.send_signal(signal.SIGINT)
        assert shown.block_until_end() == 0
    ladder = run("book", "NVDA", "--simulate", "--once", "--depth", "5")
    assert ladder.returncode == 0, ladder.stderr
    assert "NASDAQ_BOOK" in ladder.stdout
    assert "spread" in ladder.stdout
