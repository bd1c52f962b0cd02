"""An embedded Redis: real or fake, on the usual port or another, ended with its block."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from schwabstream.commands.embedded_redis import HOST, embedded_redis
from schwabstream.errors import RedisUnavailable
from tests.support.waiting import DEADLINE_S, until


def free_port() -> int:
    """A free port, in place of the usual one, which other programs on this machine may use."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port on which a server listens that never answers."""
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(params=["redis-server", "fakeredis"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both kinds of machine: with a redis-server on the PATH and without."""
    if request.param == "fakeredis":
        monkeypatch.setenv("PATH", str(tmp_path))
    return str(request.param)


def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Make ``redis-server`` on the PATH this script."""
    program = tmp_path / "redis-server"
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def listens(port: int) -> bool:
    """Whether a server accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def pid_in(folder: Path) -> int | None:
    """The process id a script left there, once it has."""
    file = folder / "pid"
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text else None


def is_gone(pid: int | None) -> bool:
    """Whether no process has this id any more."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def names_in(folder: Path) -> list[str]:
    """The names in a directory."""
    return sorted(path.name for path in folder.iterdir())


def lines_in(file: Path) -> list[str]:
    """The lines a script wrote there."""
    return file.read_text().splitlines()


def port_of(url: str) -> int:
    """The port in a Redis URL."""
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_other_programs_can_use_it_and_it_ends_with_its_block(kind: str) -> None:
    """Either kind listens on the usual port when that is free, serves a plain client, and is gone afterwards."""
    port = free_port()
    async with embedded_redis(port) as embedded:
        assert embedded.kind == kind
        assert embedded.url == f"redis://127.0.0.1:{port}/0"
        with redis.Redis.from_url(embedded.url, decode_responses=True) as client:
            with client.pubsub() as pubsub:
                await asyncio.to_thread(pubsub.subscribe, "channel")
                await asyncio.to_thread(pubsub.get_message, timeout=DEADLINE_S)
                await asyncio.to_thread(client.publish, "channel", "hello")
                message = await asyncio.to_thread(pubsub.get_message, timeout=DEADLINE_S)
            assert message is not None
            assert message["data"] == "hello"
            await asyncio.to_thread(client.xadd, "stream", {"a": "b"}, maxlen=10, approximate=True)
            assert [fields for _, fields in await asyncio.to_thread(client.xrange, "stream")] == [{"a": "b"}]
    assert not listens(port)


async def test_a_busy_port_means_another_one(kind: str, busy_port: int) -> None:
    """When the usual port is in use, whatever uses it, another one is taken."""
    async with embedded_redis(busy_port) as embedded:
        assert port_of(embedded.url) != busy_port
        with redis.Redis.from_url(embedded.url) as client:
            assert await asyncio.to_thread(client.ping)


async def test_two_that_start_at_once_do_not_share(kind: str) -> None:
    """The one that loses the race for the usual port gets a Redis of its own, not the winner's."""
    async with asyncio.timeout(DEADLINE_S):
        port = free_port()
        first, second = embedded_redis(port), embedded_redis(port)
        one, two = await asyncio.gather(first.__aenter__(), second.__aenter__())
        try:
            assert one.url != two.url
            for url in (one.url, two.url):
                with redis.Redis.from_url(url) as client:
                    assert await asyncio.to_thread(client.incr, "mine") == 1
        finally:
            await asyncio.gather(first.__aexit__(None, None, None), second.__aexit__(None, None, None))


async def test_it_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the current directory, and the temporary one is removed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    async with embedded_redis(free_port()) as embedded:
        assert len(names_in(tmp_path / "tmp")) == 1
        with redis.Redis.from_url(embedded.url) as client:
            await asyncio.to_thread(client.set, "key", "value")
    assert names_in(tmp_path / "tmp") == []
    assert names_in(tmp_path) == [".env", "tmp"]


async def test_an_error_inside_ends_it_too(kind: str) -> None:
    """The Redis ends with its block, also after an error."""
    port = free_port()
    with pytest.raises(ValueError, match="inside"):
        async with embedded_redis(port):
            raise ValueError("inside")
    assert not listens(port)


async def test_a_start_that_is_called_off_leaves_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled while the server starts, the child is ended and awaited."""
    script(tmp_path, monkeypatch, f'#!/bin/sh\necho $$ > "{tmp_path}/pid"\nexec sleep 60\n')
    starting = asyncio.ensure_future(embedded_redis(free_port()).__aenter__())
    async with asyncio.timeout(DEADLINE_S):
        await until(lambda: pid_in(tmp_path) is not None)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert is_gone(pid_in(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\nexit 1\n", "did not start"),
        ("#!/nowhere/interpreter\n", "cannot be run"),
    ],
)
async def test_a_server_that_does_not_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """A redis-server that ends at once or cannot be executed gives one sentence with its name and the next step."""
    script(tmp_path, monkeypatch, text)
    with pytest.raises(RedisUnavailable, match=f"redis-server.*{said}|{said}.*redis-server"):
        await embedded_redis(free_port()).__aenter__()


async def test_a_server_that_starts_but_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that neither ends nor answers is ended after its start time, with an error."""
    script(tmp_path, monkeypatch, f'#!/bin/sh\ntrap "" TERM\necho $$ > "{tmp_path}/pid"\nwhile :; do sleep 0.1; done\n')
    with pytest.raises(RedisUnavailable, match="did not start"):
        await embedded_redis(free_port(), start_timeout_s=0.3).__aenter__()
    assert is_gone(pid_in(tmp_path))


async def test_the_server_gets_none_of_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded redis-server inherits no variable of ours: no secret, no other Redis's address."""
    for name in ("SCHWAB_CLIENT_SECRET", "SCHWAB_REFRESH_TOKEN", "REDIS_URL", "OTHERS"):
        monkeypatch.setenv(name, "PLANTED")
    script(tmp_path, monkeypatch, f'#!/bin/sh\nenv > "{tmp_path}/seen"\nexit 1\n')
    with pytest.raises(RedisUnavailable):
        await embedded_redis(free_port()).__aenter__()
    assert [line for line in lines_in(tmp_path / "seen") if "PLANTED" in line] == ["OTHERS=PLANTED"]


_HOLDER = """
import asyncio, sys
from schwabstream.commands.embedded_redis import embedded_redis

async def hold():
    async with embedded_redis(int(sys.argv[1])) as embedded:
        print(embedded.kind, embedded.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


async def test_it_dies_with_a_parent_that_is_killed(kind: str) -> None:
    """SIGKILL of the program leaves no Redis behind."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, str(free_port()), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        line = (await holder.stdout.readline()).decode()
    assert line.startswith(kind)
    port = port_of(line)
    assert listens(port)
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    await until(lambda: not listens(port))
