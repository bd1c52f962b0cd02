"""``stream add``, ``remove`` and ``list`` against a real Redis and a streamer that answers."""

import asyncio
import math
import signal
import subprocess
import time

import orjson
import pytest

from schwabstream.commands.child_streamer import own_stream
from tests.conftest import RedisServer
from tests.support.answering_streamer import DENIAL, AnsweringStreamer, wishes
from tests.support.command import run
from tests.support.terminal import COMMAND
from tests.support.waiting import block_until, until

LIMIT = "is not streamed: the limit is reached"
REFUSES = {name: f"{name} {LIMIT}" for name in ("NOPE", "MSFT")}
NO_STREAMER = "schwabstream: no streamer is running: start one with schwabstream stream run\n"


@pytest.fixture(autouse=True)
def here(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """All commands use the Redis of the test."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)


def test_symbols_are_added_listed_and_removed(redis_server: RedisServer) -> None:
    """``add`` ends when each symbol is streamed; ``list`` shows where each comes from; ``remove`` undoes it."""
    with AnsweringStreamer(redis_server):
        code, output, messages = run("stream", "add", "NVDA,aapl")
        assert (code, messages) == (0, "")
        assert sorted(output.splitlines()) == [
            "NVDA is subscribed (level 1, book)",
            "aapl is subscribed (level 1, book)",
        ]
        assert wishes(redis_server) == {"NVDA": math.inf, "aapl": math.inf}
        assert run("stream", "add", "AAPL", "/mnq")[:2] == (
            0,
            "AAPL is already streamed (added)\n/mnq is already streamed (configured)\n",
        )
        lines = [orjson.loads(line) for line in run("stream", "list", "--json")[1].splitlines()]
        assert {(each["v"], each["symbol"], each["source"]) for each in lines} == {
            (1, "/MNQ:XCME", "configured"),
            (1, "NVDA", "added"),
            (1, "aapl", "added"),
        }
        assert "NVDA " in run("stream", "list")[1]
        code, output, _ = run("stream", "remove", "nvda")
        assert (code, output.partition(";")[0]) == (0, "nvda is removed")
        assert wishes(redis_server) == {"aapl": math.inf}
        assert run("stream", "remove", "NVDA")[:2] == (0, "NVDA was not added\n")


def test_what_readers_want_becomes_added_and_stays_theirs_when_removed(redis_server: RedisServer) -> None:
    """A symbol that is only wanted is added under the readers' alias, and is not removed from them."""
    redis_server.client.zadd("market_data:wanted", {"nvda": time.time() + 60})
    with AnsweringStreamer(redis_server):
        code, output, _ = run("stream", "remove", "NVDA")
        assert code == 0
        assert output.startswith("NVDA is not among the added symbols; the streamer releases it")
        assert math.isfinite(wishes(redis_server)["nvda"])
        assert run("stream", "add", "NVDA")[0] == 0
        assert wishes(redis_server) == {"nvda": math.inf}


def test_a_refused_symbol_leaves_nothing_behind(redis_server: RedisServer) -> None:
    """The reason is on standard error, exit 6; what was accepted stays; a reader's own wish stays as it was."""
    expiry = float(int(time.time()) + 600)
    redis_server.client.zadd("market_data:wanted", {"MSFT": expiry})
    with AnsweringStreamer(redis_server, refuses=REFUSES):
        code, output, messages = run("stream", "add", "NVDA", "NOPE", "MSFT")
    assert code == 6
    assert output == "NVDA is subscribed (level 1, book)\n"
    assert sorted(messages.removeprefix("schwabstream: ").strip().split("; ")) == [
        REFUSES["MSFT"],
        REFUSES["NOPE"],
    ]
    assert wishes(redis_server) == {"NVDA": math.inf, "MSFT": expiry}


def test_a_symbol_that_schwab_refuses_is_not_reported_as_streamed(redis_server: RedisServer) -> None:
    """Exit 6 with the reason for a configured symbol and for one added before, whose request stays as it was."""
    redis_server.client.zadd("market_data:wanted", {"AMD": math.inf})
    with AnsweringStreamer(redis_server, ["AAPL"], denied=["AAPL", "AMD"]):
        code, output, messages = run("stream", "add", "AAPL", "AMD", "NVDA")
    assert code == 6
    assert output == "NVDA is subscribed (level 1, book)\n"
    assert messages == f"schwabstream: AAPL is not streamed: {DENIAL}; AMD is not streamed: {DENIAL}\n"
    assert wishes(redis_server) == {"AMD": math.inf, "NVDA": math.inf}


def test_what_cannot_work_is_an_error_and_changes_nothing(redis_server: RedisServer) -> None:
    """Not a symbol 2, configured 2, no streamer 4, no Redis 8; each one sentence, and no request is left."""
    assert run("stream", "add", "NVDA") == (4, "", NO_STREAMER)
    assert run("stream", "list") == (4, "", NO_STREAMER)
    assert run("stream", "remove", "NVDA") == (0, "NVDA was not added\n", "")
    with AnsweringStreamer(redis_server):
        code, output, messages = run("stream", "add", "NVDA", "/MNQ:XCMEE")
        assert (code, output) == (2, "")
        assert "did you mean /MNQ:XCME?" in messages
        code, output, messages = run("stream", "remove", "NVDA", "/mnq")
        assert (code, output) == (2, "")
        assert "/mnq is configured: remove it from SCHWAB_SYMBOLS or --symbols" in messages
        assert wishes(redis_server) == {}
    redis_server.kill()
    for words in (("add", "NVDA"), ("remove", "NVDA"), ("list",)):
        code, output, messages = run("stream", *words)
        assert (code, output, len(messages.splitlines())) == (8, "", 1)


def test_ctrl_c_withdraws_a_request_that_has_no_answer(redis_server: RedisServer) -> None:
    """While the streamer has not answered, Ctrl-C ends the wait without a traceback and without a request left."""
    with AnsweringStreamer(redis_server, mute=True):
        process = subprocess.Popen([*COMMAND, "stream", "add", "NVDA"], stderr=subprocess.PIPE, text=True)
        block_until(lambda: wishes(redis_server) == {"NVDA": math.inf})
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "Traceback" not in messages
    assert wishes(redis_server) == {}


def test_a_user_who_may_not_wish_gets_the_reason(redis_server: RedisServer) -> None:
    """Where an ACL forbids it, ``add`` and ``remove`` name the right that is missing; ``quote`` shows the rest."""
    rights = "resetchannels &* %R~market_data:* -@all +subscribe +get +hvals +hmget +ping +select +client +info +hello"
    redis_server.client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", *rights.split())
    url = redis_server.url.replace("//", "//reader:pw@")
    with AnsweringStreamer(redis_server):
        for words in ("add", "remove"):
            code, output, messages = run("stream", words, "NVDA", "--redis", url)
            assert (code, output) == (8, "")
            assert "grant its user that right (ACL)" in messages
        code, output, messages = run("quote", "NVDA", "/MNQ:XCME", "--once", "--redis", url)
    assert code == 4
    assert "110.25" in output
    assert "NVDA is not streamed (streamed: /MNQ:XCME): add it with schwabstream stream add NVDA" in messages


async def test_a_simulated_streamer_streams_what_is_added_up_to_its_limit(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running streamer takes one more symbol, with its ticks in Redis, and refuses the next one by the limit."""
    monkeypatch.setenv("SCHWAB_MAX_SYMBOLS", "2")
    async with own_stream(["AAPL"], redis_server.url, simulate=True) as stream:
        await until(lambda: redis_server.client.exists("market_data:last:ticks"))
        code, output, messages = await asyncio.to_thread(run, "stream", "add", "NVDA")
        stream.check()
        assert (code, messages) == (0, "")
        assert output.startswith("NVDA is subscribed (level 1, ")
        await until(lambda: redis_server.client.hexists("market_data:last:ticks", "NVDA"))
        code, _, messages = await asyncio.to_thread(run, "stream", "add", "MSFT")
        assert code == 6
        assert (
            messages == "schwabstream: MSFT is not streamed: the limit of 2 symbols is reached (SCHWAB_MAX_SYMBOLS)\n"
        )
        assert wishes(redis_server) == {"NVDA": math.inf}
        code, output, messages = await asyncio.to_thread(run, "quote", "MSFT", "--once")
        assert (code, output) == (4, "")
        assert "the limit of 2 symbols" in messages
        lines = [
            orjson.loads(line) for line in (await asyncio.to_thread(run, "stream", "list", "--json"))[1].splitlines()
        ]
        assert [(each["symbol"], each["source"]) for each in lines][:2] == [("AAPL", "configured"), ("NVDA", "added")]
