"""HTTP answers that never end or grow without bound cost Schwab's side ten seconds, and us nothing."""

import asyncio
import functools
import gzip
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import pytest

from schwabstream.auth.client import SchwabAuthClient
from schwabstream.auth.store import TokenStore
from schwabstream.auth.tokens import TokenSet
from schwabstream.errors import ProtocolError, SchwabUnavailable
from schwabstream.settings import load_settings
from tests.support.virtual_time import VirtualLoop, VirtualTime, run_virtual

LIMIT_S = 10.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LIMITED = b"HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that answers each request in the next of its ways, then always in the last; ``heads`` is what it got."""

    def __init__(self, *ways: Respond) -> None:
        self._ways = list(ways)
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                self.heads.append(head)
                await (self._ways.pop(0) if len(self._ways) > 1 else self._ways[0])(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


async def trickle(writer: asyncio.StreamWriter) -> None:
    """One blank every two seconds, for an hour."""
    writer.write(HEAD + b"Content-Length: 1800\r\n\r\n")
    for _ in range(1800):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(2)


async def trickle_head(writer: asyncio.StreamWriter) -> None:
    """One byte of a header every two seconds."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1800):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(2)


async def too_many(writer: asyncio.StreamWriter) -> None:
    """Come again in two seconds."""
    writer.write(LIMITED)


@functools.cache
def bomb() -> bytes:
    """Much in little."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()


async def grow(writer: asyncio.StreamWriter) -> None:
    """64 KB that unpack to 64 MB."""
    content = bomb()
    writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
    await writer.drain()


async def swell(writer: asyncio.StreamWriter) -> None:
    """Plain bytes until the other side has had enough."""
    writer.write(HEAD + b"Content-Length: 1000000000\r\n\r\n")
    for _ in range(1000):
        writer.write(bytes(1_000_000))
        await writer.drain()


def login(*, expired: bool) -> TokenSet:
    """A stored login."""
    return TokenSet("I0.access@", "R0.refresh@", 0.0 if expired else 4e9, 1.79e9)


Story = Callable[[SchwabAuthClient, Peer], Coroutine[None, None, None]]


def play(story: Story, *ways: Respond, expired: bool) -> None:
    """Play a story between a login and a hostile peer on virtual time."""
    loop = VirtualLoop()
    time = VirtualTime(loop)

    async def on_stage() -> None:
        peer = Peer(*ways)
        serving: list[asyncio.Task[None]] = []
        server = await asyncio.start_server(
            lambda reader, writer: serving.append(asyncio.create_task(peer.serve(reader, writer))), "127.0.0.1", 0
        )
        settings = load_settings(
            schwab_client_id="key",
            schwab_client_secret="secret",
            schwab_api_base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        )
        store = TokenStore(Path("tokens/token.json"), clock=time.wall)
        store.save(login(expired=expired))
        try:
            async with SchwabAuthClient(settings, store, clock=time.wall) as client:
                await story(client, peer)
        finally:
            server.close()
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    run_virtual(on_stage(), loop)


async def elapsed(action: Coroutine[None, None, object]) -> float:
    """The virtual seconds until the action has failed as it should."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(SchwabUnavailable, match=r"within 10 s.*try again"):
        await action
    return loop.time() - began


@pytest.mark.parametrize("ways", [(trickle,), (trickle_head,), (too_many, trickle)])
def test_an_answer_that_trickles_is_given_up_and_frees_the_token_file(ways: tuple[Respond, ...]) -> None:
    """Ten seconds after a refresh began it has failed, attempts included, and the lock of the token file is free."""

    async def story(client: SchwabAuthClient, peer: Peer) -> None:
        refreshing = asyncio.create_task(elapsed(client.token()))
        other = TokenStore(client.store.path, lock_timeout_s=LIMIT_S + 1)
        await asyncio.sleep(1)
        async with other.lock_async():
            assert await refreshing == pytest.approx(LIMIT_S, abs=0.2)
        assert other.load() == login(expired=True)
        assert len(peer.heads) == len(ways)

    play(story, *ways, expired=True)


def test_a_rest_answer_that_trickles_is_given_up() -> None:
    """A REST call has the same ten seconds."""

    async def story(client: SchwabAuthClient, peer: Peer) -> None:
        assert await elapsed(client.fetch_streamer_login()) == pytest.approx(LIMIT_S, abs=0.2)

    play(story, trickle, expired=False)


@pytest.mark.parametrize("expired", [True, False])
@pytest.mark.parametrize("way", [grow, swell])
def test_an_answer_without_bound_is_given_up(way: Respond, expired: bool) -> None:
    """More than the limit, on the wire or unpacked, is SchwabUnavailable, for tokens and for data."""

    async def story(client: SchwabAuthClient, peer: Peer) -> None:
        with pytest.raises(SchwabUnavailable, match="more than 8 MB"):
            await client.fetch_quotes(["AAPL"])

    play(story, way, expired=expired)


def test_a_packed_answer_is_read_and_no_other_packing_is_asked_for() -> None:
    """Only gzip is offered, and gzip is read."""
    content = gzip.compress(b'{"AAPL": {}}')

    async def packed(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

    async def story(client: SchwabAuthClient, peer: Peer) -> None:
        assert await client.fetch_quotes(["AAPL"]) == {"AAPL": {}}
        assert [line for line in peer.heads[0].lower().split(b"\r\n") if b"encoding" in line] == [
            b"accept-encoding: gzip"
        ]

    play(story, packed, expired=False)


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"streamerInfo": []}', b'{"streamerInfo": [{}]}', b'{"streamerInfo": ["x"]}']
)
def test_a_preference_without_a_streamer_is_a_protocol_error(content: bytes) -> None:
    """A userPreference that names no streamer is a ProtocolError, not a login problem."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content)

    async def story(client: SchwabAuthClient, peer: Peer) -> None:
        with pytest.raises(ProtocolError, match="streamer"):
            await client.fetch_streamer_login()

    play(story, answer, expired=False)


@pytest.mark.parametrize("content", [b"[]", b"1", b'"AAPL"'])
def test_quotes_that_are_not_an_object_are_a_protocol_error(content: bytes) -> None:
    """Valid JSON of another shape than a quotes answer is a ProtocolError."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content)

    async def story(client: SchwabAuthClient, peer: Peer) -> None:
        with pytest.raises(ProtocolError, match="JSON object"):
            await client.fetch_quotes(["AAPL"])

    play(story, answer, expired=False)
