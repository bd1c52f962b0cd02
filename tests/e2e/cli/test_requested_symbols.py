"""``quote`` and ``book`` of symbols that the streamer does not stream yet, as users run them."""

import signal

import orjson
import pytest

from tests.conftest import RedisServer
from tests.support.answering_streamer import AnsweringStreamer
from tests.support.command import run
from tests.support.terminal import terminal

LIMIT = "is not streamed: the limit is reached"
REFUSES = {name: f"{name} {LIMIT}" for name in ("NOPE", "MSFT")}


@pytest.fixture(autouse=True)
def here(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """All commands use the Redis of the test."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)


def test_quote_once_waits_for_a_symbol_that_it_asked_for(redis_server: RedisServer) -> None:
    """The first tick of a symbol that nobody streamed is printed, exit 0; a value of an earlier run is not enough."""
    old = {"v": 1, "type": "tick", "symbol": "NVDA", "key": "NVDA", "seq": 1, "asset": "EQUITY", "is_trade": True}
    old |= {"timestamp": 1, "received_us": 1, "last_price": 5.0}
    redis_server.client.hset("market_data:last:ticks", "NVDA", orjson.dumps(old).decode())
    with AnsweringStreamer(redis_server, refuses={"NOPE": REFUSES["NOPE"]}):
        code, output, messages = run("quote", "NVDA", "--once")
        assert (code, messages) == (0, "")
        assert "110.25" in output
        code, output, messages = run("quote", "NOPE", "/MNQ:XCME", "--once")
        assert code == 4
        assert "110.25" in output
        assert messages == f"schwabstream: NOPE {LIMIT}\n"
        assert run("quote", "NOPE", "--once")[:2] == (4, "")
        line = orjson.loads(run("quote", "MSFT", "--json", "--count", "1")[1])
        assert line["symbol"] == "MSFT"


def test_the_screen_shows_that_a_symbol_is_being_subscribed(redis_server: RedisServer) -> None:
    """Until the streamer streams it the row says so, then it moves; a refusal is on the screen with its reason."""
    with AnsweringStreamer(redis_server, mute=True), terminal("quote", "NVDA") as shown:
        shown.block_until(lambda text: "subscribing" in text and "has been asked for it" in text)
        shown.process.send_signal(signal.SIGINT)
        assert shown.block_until_end() == 0
    with AnsweringStreamer(redis_server, refuses={"NOPE": REFUSES["NOPE"]}):
        with terminal("quote", "NVDA", "NOPE") as shown:
            shown.block_until(lambda text: "110.25" in text and f"NOPE {LIMIT}" in text)
        with terminal("book", "NOPE") as shown:
            shown.block_until(lambda text: f"NOPE {LIMIT}" in text)
