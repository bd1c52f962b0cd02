"""``subscribe`` in a plain ``for`` loop and ``last``: for scripts and notebooks, against a real Redis."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from schwabstream import Channel, StatusEvent, TickEvent, last, subscribe
from schwabstream.consumer import LiveEvents, fetch_last
from schwabstream.errors import RedisUnavailable, RedisUnsuitable, SymbolError
from tests.conftest import RedisServer

FIRST = 1_700_000_000_000_000
LIMIT_S = 20.0


def publish(server: RedisServer, seq: int, symbol: str = "AAPL", **changes: Any) -> None:
    """Publish a tick and keep it as the last value, as the streamer does."""
    event = {"v": 1, "type": "tick", "symbol": symbol, "key": symbol.partition(":")[0], "seq": FIRST + seq}
    event |= {"timestamp": seq, "received_us": seq, "asset": "EQUITY", "last_price": float(seq), "is_trade": True}
    payload = orjson.dumps(event | changes).decode()
    pipe = server.client.pipeline()
    pipe.hset("market_data:last:ticks", symbol, payload)
    pipe.publish("market_data:ticks", payload)
    pipe.execute()


def ticks(server: RedisServer, *symbols: str, **options: Any) -> LiveEvents:
    """A subscription to ticks alone."""
    return subscribe(*symbols, kinds={Channel.TICKS}, redis_url=server.url, **options)


def price(event: object) -> float | None:
    """The last price of a tick."""
    assert isinstance(event, TickEvent), event
    return event.last_price


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for another thread or process."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def readers(server: RedisServer) -> int:
    """How many clients are subscribed to ticks, as Redis counts them."""
    return int(server.client.pubsub_numsub("market_data:ticks")[0][1])


@pytest.fixture(autouse=True)
def streamed(redis_server: RedisServer) -> None:
    """A streamer that streams these, so that no event reports a symbol as absent."""
    known = [{"symbol": name, "key": name, "asset": "EQUITY"} for name in ("AAPL", "/MNQ")]
    head = {"state": "streaming", "since": 1, "reported": 1, "started": 1, "pid": 1, "host": "here", "version": "0"}
    redis_server.client.set("market_data:streamer", orjson.dumps({**head, "symbols": known}).decode())


def test_a_loop_gets_the_last_value_then_live_events(redis_server: RedisServer) -> None:
    """A ``for`` loop yields the last value, then each published event; leaving it ends thread and connection."""
    publish(redis_server, 1)
    seen = []
    for event in ticks(redis_server, "AAPL"):
        seen.append(price(event))
        if len(seen) == 3:
            break
        publish(redis_server, len(seen) + 1)
    assert seen == [1.0, 2.0, 3.0]
    assert threading.active_count() == 1
    eventually(lambda: readers(redis_server) == 0)


async def test_a_running_event_loop_does_not_matter(redis_server: RedisServer) -> None:
    """In a notebook the caller's thread runs an event loop already: the same loop and ``last`` work there."""
    publish(redis_server, 1)
    with ticks(redis_server, "AAPL") as events:
        assert price(next(events)) == 1.0
        publish(redis_server, 2)
        assert price(next(events)) == 2.0
    assert price(last("AAPL", redis_url=redis_server.url)) == 2.0
    assert price(await fetch_last("AAPL", redis_url=redis_server.url)) == 2.0
    assert threading.active_count() == 1


def test_an_iterator_that_is_dropped_lets_go_of_redis(redis_server: RedisServer) -> None:
    """An iterator that nobody refers to any more ends its thread and its connection."""
    publish(redis_server, 1)
    events = ticks(redis_server, "AAPL")
    next(events)
    assert readers(redis_server) == 1
    del events
    gc.collect()
    assert threading.active_count() == 1
    eventually(lambda: readers(redis_server) == 0)


def test_a_slow_loop_gets_the_newest_value(redis_server: RedisServer) -> None:
    """Between two steps of a slow loop newer values replace older ones, and a report counts those replaced."""
    publish(redis_server, 1)
    taken, dropped = 0, 0
    with ticks(redis_server, "AAPL", max_pending=10) as events:
        next(events)
        for seq in range(2, 102):
            publish(redis_server, seq)
        for event in events:
            if isinstance(event, StatusEvent):
                dropped += event.count or 0
            else:
                taken += 1
                if price(event) == 101.0:
                    break
    assert dropped > 0
    assert taken + dropped == 100


@pytest.mark.parametrize("call", [lambda **url: next(subscribe("AAPL", **url)), lambda **url: last("AAPL", **url)])
def test_without_redis_the_error_is_ours(redis_server: RedisServer, call: Callable[..., object]) -> None:
    """No Redis, or one that is a Sentinel, is one clear error, and leaves no thread behind."""
    redis_server.kill()
    with pytest.raises(RedisUnavailable, match=f"^Redis at {redis_server.url} does not answer"):
        call(redis_url=redis_server.url)
    assert threading.active_count() == 1


def test_the_last_tick_is_found_under_any_alias(redis_server: RedisServer) -> None:
    """``last`` understands every form of a symbol, and returns the newest tick of its key, or None."""
    url = redis_server.url
    publish(redis_server, 1, "/MNQ")
    publish(redis_server, 5, "/MNQ:XCME")
    assert price(last("/mnq", redis_url=url)) == 5.0
    assert price(last("/MNQ", redis_url=url)) == 5.0
    publish(redis_server, 6, "/MNQ", received_us=6)
    publish(redis_server, 7, "/MNQ:XCME", received_us=6)
    assert price(last("/MNQ", redis_url=url)) == 6.0
    assert last("AAPL", redis_url=url) is None
    redis_server.client.hset("market_data:last:ticks", "AAPL", '{"v":1,"key":"AAPL","seq":1}')
    assert last("AAPL", redis_url=url) is None
    with pytest.raises(SymbolError):
        last("AAPL!", redis_url=url)


def test_last_refuses_a_sentinel(start_redis: Callable[..., RedisServer], tmp_path: Any) -> None:
    """A Sentinel, which has no ticks, is an error and not "no tick"."""
    file = tmp_path / "sentinel.conf"
    file.write_text("")
    with pytest.raises(RedisUnsuitable):
        last("AAPL", redis_url=start_redis(str(file), "--sentinel").url)


def script(text: str, server: RedisServer) -> "subprocess.Popen[str]":
    """A script of a user, running."""
    code = textwrap.dedent(text).replace("URL", repr(server.url))
    command = [sys.executable, "-u", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_a_waiting_script(redis_server: RedisServer) -> None:
    """Ctrl-C interrupts a script that waits for an event, as a KeyboardInterrupt, and it ends."""
    publish(redis_server, 1)
    running = script(
        """
        from schwabstream import subscribe
        for event in subscribe("AAPL", redis_url=URL):
            print(event.seq)
        """,
        redis_server,
    )
    assert running.stdout is not None
    assert running.stdout.readline()
    os.kill(running.pid, signal.SIGINT)
    _, problem = running.communicate(timeout=LIMIT_S)
    assert running.returncode == -signal.SIGINT
    assert problem.rstrip().endswith("KeyboardInterrupt")
    eventually(lambda: readers(redis_server) == 0)


def test_a_script_that_closes_nothing_ends(redis_server: RedisServer) -> None:
    """A script may end with an open iterator: the interpreter exits, without a message."""
    publish(redis_server, 1)
    running = script(
        """
        from schwabstream import last, subscribe
        events = subscribe("AAPL", redis_url=URL)
        print(next(events).last_price, last("AAPL", redis_url=URL).last_price)
        """,
        redis_server,
    )
    assert running.communicate(timeout=LIMIT_S) == ("1.0 1.0\n", "")
    assert running.returncode == 0
