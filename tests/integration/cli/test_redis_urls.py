"""Every kind of Redis URL with every command: one sentence, the right exit code, no traceback and no secret."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schwabstream.cli import main
from schwabstream.consumer import GroupReader, last, read_stream, subscribe
from schwabstream.errors import ConfigurationError, RedisUnsuitable
from schwabstream.events import Channel
from tests.support.cases import pairs
from tests.support.recordings import write
from tests.support.resp_server import RespServer, cluster_node, redis, sentinel

READERS = [
    ("status",),
    ("quote", "AAPL", "--once"),
    ("book", "AAPL", "--once"),
    ("stream", "list"),
    ("stream", "add", "NVDA"),
    ("stream", "remove", "NVDA"),
]
WRITERS = [("stream", "run", "--simulate"), ("stream", "replay", "recording"), ("doctor", "--simulate", "--quiet")]
SECRET = "s3cr3t"
WRONG = [
    (f"redis+sentinel://:{SECRET}@h", "must name the master"),
    (f"redis+cluster://:{SECRET}@h/3", "a Cluster has only database 0"),
    (f"redis://:{SECRET}@h1,h2,h3/0", "names several hosts"),
    (f"sentinel://:{SECRET}@h/mymaster", "must be redis+sentinel://"),
    (f"redis-cluster://:{SECRET}@h", "must be redis+cluster://"),
    (f"redis://:{SECRET}@h/0?sentinel=mymaster", "has an unknown option sentinel"),
    (f"redis://:{SECRET}@h/mymaster", "the database after the last / must be a whole number"),
    (f"redis+sentinel://:{SECRET}@h/mymaster?read_from=master", "read_from must be replica"),
    (f"redis+cluster://:{SECRET}@h,", "must name a host"),
]
LEADS = [
    ("redis://:{secret}@{sentinel}", "is a Sentinel: set REDIS_URL or --redis to redis+sentinel://{sentinel}/mymaster"),
    ("redis://:{secret}@{node}", "is a node of a Redis Cluster: set REDIS_URL or --redis to redis+cluster://{node}"),
    (
        "redis+sentinel://:{secret}@{plain}/main",
        "{plain} is not a Sentinel: set REDIS_URL or --redis to redis://{plain}",
    ),
    (
        "redis+sentinel://:{secret}@{node}/main",
        "{node} is not a Sentinel: set REDIS_URL or --redis to redis+cluster://",
    ),
    (
        "redis+sentinel://:{secret}@{sentinel}/main",
        "monitors no master named 'main' (it monitors mymaster): correct",
    ),
    ("redis+sentinel://:{secret}@{sentinel}/mymaster", "name {replica}, which is not a master now: wait"),
    (
        "redis+sentinel://:{secret}@127.0.0.1:1/mymaster",
        "none of the Sentinels answers (127.0.0.1:1: Connection",
    ),
    ("redis+cluster://:{secret}@{plain}", "{plain} is not a node of a Cluster: set REDIS_URL or --redis to redis://"),
    (
        "redis+cluster://:{secret}@{sentinel}",
        "is not a node of a Cluster: set REDIS_URL or --redis to redis+sentinel://",
    ),
    ("redis+cluster://:{secret}@{hole}", "names no owner of hash slot 10751: assign every slot to a node"),
    (
        "redis+cluster://:{secret}@{node}",
        "name 127.0.0.1:1 as the master, but it does not answer (Connection refused)",
    ),
]
Run = Callable[..., tuple[int, str]]
Places = dict[str, str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process; returns its exit code and all that it wrote, in single spaces."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "recording", [{"key": "/MNQ", "3": 1.0}])

    def run_one(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["schwabstream", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, " ".join((written.out + written.err).split())

    return run_one


@pytest.fixture
def places() -> Iterator[Places]:
    """Addresses by what answers there: servers of each kind, none of which can serve behind another's URL."""
    with contextlib.ExitStack() as stack:
        role = ["slave", "127.0.0.1", 1, "connected", 0]
        replica = stack.enter_context(RespServer(redis(role=role))).address
        servers = {
            "plain": redis(),
            "sentinel": sentinel(lambda: [replica.host, str(replica.port)]),
            "node": cluster_node(lambda: [[0, 16383, ["127.0.0.1", 1, "other"]]], "node"),
            "hole": cluster_node(list, "hole"),
        }
        found = {name: str(stack.enter_context(RespServer(answer)).address) for name, answer in servers.items()}
        yield {**found, "replica": str(replica), "secret": SECRET}


@pytest.mark.parametrize(("command", "wrong"), pairs([*READERS, *WRITERS], WRONG))
def test_a_wrong_url_is_exit_2(run: Run, command: tuple[str, ...], wrong: tuple[str, str]) -> None:
    """What is wrong with the URL is named before anything is connected."""
    url, words = wrong
    code, written = run(*command, "--redis", url)
    assert code == 2
    assert words in written
    assert SECRET not in written
    assert "Traceback" not in written


@pytest.mark.parametrize(("command", "lead"), pairs([*READERS, *WRITERS], LEADS))
def test_a_url_that_leads_elsewhere_is_exit_8(
    run: Run, places: Places, command: tuple[str, ...], lead: tuple[str, str]
) -> None:
    """The sentence names what answers, and the URL that suits it."""
    url, words = (text.format_map(places) for text in lead)
    code, written = run(*command, "--redis", url)
    assert code == 8
    joined = written.replace(" -> ", ": ")  # doctor shows the next step in a line of its own
    assert words in joined
    assert SECRET not in written
    assert "Traceback" not in written


@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_a_replica_is_not_written_to(run: Run, command: tuple[str, ...]) -> None:
    """Who writes learns the URL of the replica's master."""
    with RespServer(redis(role=["slave", "10.0.0.7", 6400, "connected", 0])) as replica:
        code, written = run(*command, "--redis", f"redis://{replica.address}")
    assert code == 8
    step = "set REDIS_URL or --redis to the URL of its master (redis://10.0.0.7:6400)"
    assert f"is a read-only replica: {step}" in written.replace(" -> ", ": ")


def call_last(url: str) -> object:
    """The last value."""
    return last("AAPL", redis_url=url)


def call_subscribe(url: str) -> object:
    """The first event."""

    async def first() -> object:
        return await anext(aiter(subscribe("AAPL", redis_url=url)))

    return asyncio.run(first())


def call_read_stream(url: str) -> object:
    """The first entry of a stream."""

    async def first() -> object:
        return await anext(read_stream(Channel.TICKS, redis_url=url))

    return asyncio.run(first())


def call_group_reader(url: str) -> object:
    """A reader of a group."""

    async def first() -> object:
        async with GroupReader(Channel.TICKS, "desk", "one", redis_url=url) as reader:
            return await anext(reader)

    return asyncio.run(first())


CALLS = [call_last, call_subscribe, call_read_stream, call_group_reader]


@pytest.mark.parametrize(("call", "wrong"), pairs(CALLS, WRONG))
def test_a_program_gets_the_same_words_for_a_wrong_url(call: Callable[[str], object], wrong: tuple[str, str]) -> None:
    """The library raises what the commands show."""
    url, words = wrong
    with pytest.raises(ConfigurationError, match="the Redis URL ") as raised:
        call(url)
    assert words in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(("call", "lead"), pairs(CALLS, LEADS[:5]))
def test_a_program_gets_the_same_words_for_another_server(
    places: Places, call: Callable[[str], object], lead: tuple[str, str]
) -> None:
    """The library raises what the commands show."""
    url, words = (text.format_map(places) for text in lead)
    with pytest.raises(RedisUnsuitable if "moment" not in words else Exception) as raised:
        call(url)
    assert words in str(raised.value)
    assert SECRET not in str(raised.value)
