"""Cutting frames out of a byte stream: the same messages, answers and close codes as the library's own parser gives."""

import asyncio
import itertools
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from schwabstream.streaming.frame_socket import CHUNK_BYTES, MAX_FRAME_BYTES, MOST_ODD_FRAMES, UNSENT_LIMIT, FrameSocket

LIMIT = 70_000
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEAD = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n\r\n"
).encode()


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.reads = True  # whether the peer does

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take note of nothing."""

    def get_write_buffer_size(self) -> int:
        """What the peer has not read."""
        return 0 if self.reads else len(self.written)

    def can_write_eof(self) -> bool:
        """As a socket without TLS."""
        return True

    def write_eof(self) -> None:
        """Know that no more will be written."""
        self.ended = True

    def is_closing(self) -> bool:
        """Never by itself."""
        return False


@dataclass
class Seen:
    """The view of a peer and of an owner on a connection."""

    messages: list[bytes] = field(default_factory=list)
    answers: list[tuple[Opcode, bytes]] = field(default_factory=list)
    state: State = State.CONNECTING
    code: int | None = None


class LimitedSocket(FrameSocket):
    """One that takes little, so that much can be too much."""

    limit = LIMIT


def protocol(limit: int) -> ClientProtocol:
    """The library's side of a handshake under way."""
    made = ClientProtocol(parse_uri("ws://localhost/"), max_size=limit)
    made.key = KEY
    return made


def answers(written: bytes) -> list[tuple[Opcode, bytes]]:
    """The frames that a client wrote, without the masks, which are random."""
    server = ServerProtocol(state=State.OPEN)
    frames = []
    server.receive_data(written)
    for event in server.events_received():
        assert isinstance(event, Frame)
        frames.append((event.opcode, bytes(event.data)))
    return frames


def by_the_library(stream: bytes) -> Seen:
    """The whole stream at once through the library's protocol; fragments put together in the obvious way."""
    peer, seen, parts = protocol(LIMIT), Seen(), b""
    peer.receive_data(stream)
    for event in peer.events_received():
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            parts += event.data
            if event.fin:
                seen.messages.append(parts)
                parts = b""
    seen.state = peer.state
    seen.answers = answers(b"".join(peer.data_to_send()))
    peer.receive_eof()
    seen.code = peer.close_code
    return seen


class Peer:
    """A socket of ours on a wire, for as long as the loop runs."""

    def __init__(self, kind: type[FrameSocket] = LimitedSocket, *, listen: bool = True, copied: bool = False) -> None:
        self.copied = copied
        self.wire, self.messages, self.chunks, self.ends = Wire(), list[bytes](), 0, 0
        self.socket = kind(protocol(kind.limit), ping_interval=None)
        self.socket.connection_made(self.wire)
        if listen:
            self.listen()

    def listen(self) -> None:
        """Keep what comes."""
        self.socket.listen(self._take, self._end)

    def send(self, *chunks: bytes) -> None:
        """Let these chunks arrive, the way asyncio does it or uvloop's."""
        for chunk in chunks:
            if self.copied:
                self.socket.data_received(chunk)
                continue
            at = 0
            while at < len(chunk):
                space = self.socket.get_buffer(-1)
                part = chunk[at : at + len(space)]
                space[: len(part)] = part
                self.socket.buffer_updated(len(part))
                at += len(part)

    def hang_up(self) -> None:
        """End the connection from the other side."""
        self.socket.eof_received()
        self.socket.connection_lost(None)

    def seen(self) -> Seen:
        """What came of it; ends the connection."""
        state, written = self.socket.state, self.wire.written
        self.hang_up()
        return Seen(self.messages, answers(written), state, self.socket.protocol.close_code)

    def _take(self, messages: list[bytes]) -> None:
        assert messages
        self.messages += messages
        self.chunks += 1

    def _end(self) -> None:
        self.ends += 1


def on_a_loop(work: Callable[[], Any]) -> Any:
    """A result of something that needs a running loop, though nothing waits."""

    async def run() -> Any:
        return work()

    return asyncio.run(run())


def by_us(chunks: Iterable[bytes], *, copied: bool = False) -> Seen:
    """The same stream in chunks through ours."""

    def work() -> Seen:
        peer = Peer(copied=copied)
        peer.send(*chunks)
        return peer.seen()

    seen: Seen = on_a_loop(work)
    return seen


def frame(payload: bytes, first: int = 0x81, *, masked: bool = False) -> bytes:
    """One frame as bytes, allowed or not."""
    size, mask = len(payload), 0x80 * masked
    if size < 126:
        length = bytes([mask | size])
    elif size < 2**16:
        length = bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([mask | 127]) + size.to_bytes(8, "big")
    return bytes([first]) + length + (b"abcd" if masked else b"") + payload


def cut(stream: bytes, points: Sequence[int]) -> list[bytes]:
    """The stream in chunks, cut at these points."""
    ends = sorted({point % (len(stream) + 1) for point in points} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(ends)]


_SIZES = st.sampled_from([0, 1, 2, 5, 124, 125, 126, 127, 300, 65_535, 65_536, LIMIT, LIMIT + 1])
_PAYLOADS = st.builds(
    lambda size, seed: bytes([seed, 0xFF, 0x0A, 0x81])[: size % 5] + b"x" * (size - 4), _SIZES, st.integers(0, 255)
)
_SMALL = st.binary(max_size=130)
_PLAIN = st.builds(frame, _PAYLOADS)
_CONTROL = st.builds(frame, st.binary(max_size=12), st.sampled_from([0x89, 0x8A]))
_FRAGMENTED = st.builds(
    lambda first, parts, pings: b"".join(
        frame(part, (first if not number else 0) | (0x80 if number == len(parts) - 1 else 0))
        + (pings and frame(b"!", 0x89))
        for number, part in enumerate(parts)
    ),
    st.sampled_from([1, 2]),
    st.lists(st.one_of(_SMALL, _PAYLOADS), min_size=2, max_size=5),
    st.sampled_from([b"", b"!"]),
)
_CLOSE = st.builds(
    lambda code, reason: frame(code.to_bytes(2, "big") + reason, 0x88),
    st.sampled_from([1000, 1001, 1005, 1011, 1012, 3000]),
    st.binary(max_size=5),
)
_ANY = st.builds(frame, _SMALL, st.integers(0, 255), masked=st.booleans())
_LIE = st.builds(
    lambda first, head: bytes([first]) + head, st.sampled_from([0x81, 0x01, 0x82, 0x80]), st.binary(max_size=10)
)
_MANY = st.lists(st.one_of(_PLAIN, _PLAIN, _CONTROL, _FRAGMENTED), max_size=8)
_LAST = st.one_of(st.just(b""), _CLOSE, _ANY, _LIE, st.binary(max_size=20))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_MANY, _LAST, _MANY, st.lists(st.integers(0, 10**6), max_size=12), st.booleans())
@example([frame(b"a"), frame(b"b", 0x01)], frame(b"c"), [frame(b"d")], [], False)
@example([frame(b"a", 0x01)], frame(b"b", 0x88), [], [], False)
@example([frame(b"", 0x01)], frame(b"", 0x00), [frame(b"x" * LIMIT, 0x00)], [], False)
@example([frame(b"x" * (LIMIT - 3), 0x01)], frame(b"ping", 0x89), [frame(b"yy", 0x80)], [], False)
@example([frame(b"a")], frame(b"b" * 126, 0x89), [frame(b"c")], [], False)
@example([], b"\x03\x7e", [], [], False)
@example([], b"\x81\xfe", [], [], False)
def test_any_stream_in_any_chunks_decodes_as_in_the_library(
    before: list[bytes], middle: bytes, after: list[bytes], points: list[int], copied: bool
) -> None:
    """Messages, pongs, close frame and close code are the library's, whatever the frames and wherever they are cut."""
    stream = HEAD + b"".join([*before, middle, *after])
    expected = by_the_library(stream)
    assert by_us(cut(stream, points), copied=copied) == expected


@settings(max_examples=100)
@given(st.lists(st.one_of(_CONTROL, _FRAGMENTED, st.builds(frame, _SMALL)), max_size=4), _LAST)
def test_a_byte_at_a_time_makes_no_difference(frames: list[bytes], last: bytes) -> None:
    """A stream that arrives byte by byte gives the same as all of it at once."""
    stream = (HEAD + b"".join([*frames, last]))[: len(HEAD) + 1_500]
    expected = by_the_library(stream)
    assert by_us(stream[at : at + 1] for at in range(len(stream))) == expected


def test_every_place_to_cut() -> None:
    """Cut in two anywhere, within the answer to the handshake too, a stream of every kind of frame is the same."""
    kinds = [b"one", b"x" * 126, b"y" * 300]
    stream = HEAD + b"".join(map(frame, kinds)) + frame(b"?", 0x89) + frame(b"fr", 0x01) + frame(b"!", 0x89)
    stream += (
        frame(b"ag", 0x80) + frame(b"\x00\xff", 0x82) + frame(b"last") + frame(b"\x03\xe8bye", 0x88) + frame(b"late")
    )
    expected = by_the_library(stream)
    assert expected.messages == [*kinds, b"frag", b"\x00\xff", b"last"]
    assert expected.code == CloseCode.NORMAL_CLOSURE
    for at in range(len(stream)):
        assert by_us([stream[:at], stream[at:]]) == expected, at


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 5\r\n\r\n\x81\x01a\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\x81\x01a",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x01a",
        b"no HTTP at all\r\n\r\n\x81\x01a",
        b"HTTP/1.1 101 line feeds only\n\n\x81\x01a",
        b"x" * 20_000,
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_a_handshake_that_fails_is_the_librarys(answer: bytes, step: int) -> None:
    """Redirects, other answers and nonsense reach the library as they came: the same error, and not one message."""
    chunks = [answer[at : at + step] for at in range(0, len(answer), step)]

    def work() -> tuple[Seen, Exception | None]:
        peer = Peer()
        peer.send(*chunks)
        peer.hang_up()
        return Seen(peer.messages), peer.socket.protocol.handshake_exc

    seen, error = on_a_loop(work)
    library = protocol(LIMIT)
    for chunk in chunks:
        library.receive_data(chunk)
    library.receive_eof()
    assert seen.messages == []
    assert (type(error), str(error)) == (type(library.handshake_exc), str(library.handshake_exc))


async def test_a_chunk_is_handed_over_once() -> None:
    """All messages of a chunk come in one call, whatever is between them; a chunk without one makes no call."""
    peer = Peer()
    peer.send(HEAD)
    peer.send(frame(b"1") + frame(b"", 0x89) + frame(b"2a", 0x01) + frame(b"2b", 0x80) + frame(b"3") + frame(b"4")[:2])
    assert (peer.messages, peer.chunks) == ([b"1", b"2a2b", b"3"], 1)
    peer.send(frame(b"4")[2:] + frame(b"", 0x89)[:1])
    peer.send(frame(b"", 0x89)[1:])
    assert (peer.messages[3:], peer.chunks) == ([b"4"], 2)


async def test_nothing_is_lost_before_anybody_listens() -> None:
    """Frames that come with the answer to the handshake, or before ``listen``, are handed over by ``listen``."""
    peer = Peer(listen=False)
    peer.send(HEAD + frame(b"with the head"), frame(b"after it"))
    peer.listen()
    assert peer.messages == [b"with the head", b"after it"]


async def test_an_end_before_the_first_listener_is_delivered() -> None:
    """A late listener gets the frames that a closed socket left behind, and its end."""
    peer = Peer(listen=False)
    peer.send(HEAD + frame(b"last words"))
    peer.hang_up()
    peer.listen()
    assert (peer.messages, peer.ends) == ([b"last words"], 1)


@pytest.mark.parametrize(
    "last", [frame(b"\x03\xe8", 0x88), frame(b"no such opcode", 0x83), frame(b"x" * 10, 0x81, masked=True)]
)
@pytest.mark.parametrize("listening", [True, False])
async def test_an_end_is_delivered_although_tcp_stays_open(last: bytes, listening: bool) -> None:
    """A close frame, or one that breaks the protocol, is the end, after what came before it; nobody has to hang up."""
    peer = Peer(listen=listening)
    peer.send(HEAD, frame(b"1") + last)
    if not listening:
        peer.listen()
    assert (peer.messages, peer.ends) == ([b"1"], 1)
    peer.send(b"and so on")
    peer.hang_up()
    assert peer.ends == 1


@pytest.mark.parametrize(
    "odd", [frame(b"", 0x89), frame(b"", 0x8A), frame(b"", 0x00)], ids=["pings", "pongs", "fragments"]
)
async def test_a_flood_of_frames_without_data_ends_the_connection(odd: bytes) -> None:
    """One chunk may hold a bounded number of control frames and fragments; beyond it the end is 1008."""
    peer = Peer(FrameSocket)
    peer.send(HEAD, frame(b"", 0x01) if odd[0] == 0 else b"")
    peer.send(odd * MOST_ODD_FRAMES)
    assert peer.ends == 0
    peer.send(odd * (MOST_ODD_FRAMES + 1))
    assert peer.ends == 1
    *pongs, (opcode, close) = answers(peer.wire.written)
    assert (opcode, close[:2]) == (Opcode.CLOSE, CloseCode.POLICY_VIOLATION.to_bytes(2, "big"))
    assert len(pongs) == (odd[0] == 0x89) * (2 * MOST_ODD_FRAMES + 1)
    peer.send(odd * CHUNK_BYTES)
    assert answers(peer.wire.written)[-1] == (opcode, close)
    peer.hang_up()


async def test_pongs_that_nobody_reads_end_the_connection() -> None:
    """A peer that pings and never reads fills no memory: the connection is closed when too much waits to be sent."""
    peer = Peer(FrameSocket)
    peer.wire.reads = False
    peer.send(HEAD)
    for _ in range(1_000):
        peer.send(frame(b"x" * 125, 0x89) * 100)
    assert peer.ends == 1
    assert len(peer.wire.written) < UNSENT_LIMIT + 1_000
    peer.hang_up()


async def test_what_arrives_while_we_close_still_counts() -> None:
    """After our own close frame the streamer may still speak, until it has answered it."""
    peer = Peer()
    peer.send(HEAD, frame(b"1") + frame(b"22")[:3])
    closing = asyncio.ensure_future(peer.socket.close())
    await asyncio.sleep(0)
    assert peer.socket.state is State.CLOSING
    peer.send(frame(b"22")[3:] + frame(b"3"), frame(b"\x03\xe8", 0x88) + frame(b"4"))
    peer.hang_up()
    await closing
    assert (peer.messages, peer.ends) == ([b"1", b"22", b"3"], 1)
    assert answers(peer.wire.written) == [(Opcode.CLOSE, b"\x03\xe8")]


async def test_a_keepalive_ping_receives_its_pong() -> None:
    """The pong to our own ping is found between the streamer's frames."""
    peer = Peer()
    peer.send(HEAD)
    pong = await peer.socket.ping(b"tick")
    peer.send(frame(b"1") + frame(b"tick", 0x8A) + frame(b"2"))
    await pong
    assert peer.messages == [b"1", b"2"]
    peer.hang_up()


def _pieces(payload: int, size: int) -> Iterable[bytes]:
    stream = frame(b"x" * payload)
    return (stream[at : at + size] for at in range(0, len(stream), size))


async def test_a_large_frame_in_many_pieces_costs_memory_and_time_in_proportion() -> None:
    """The largest frame, in pieces of a kilobyte, never takes more than three times its size; nothing stays."""
    peer = Peer(FrameSocket)
    pieces = list(_pieces(MAX_FRAME_BYTES, 1024))
    peer.send(HEAD)
    tracemalloc.start()
    peer.send(*pieces)
    _, peak = tracemalloc.get_traced_memory()
    (message,) = peer.messages
    assert len(message) == MAX_FRAME_BYTES
    peer.messages.clear()
    del message
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3.2 * MAX_FRAME_BYTES
    assert left < 2 * CHUNK_BYTES
    peer.hang_up()


async def test_fragments_without_end_fill_no_memory() -> None:
    """Empty fragments leave nothing behind; full ones end with 1009 when they are too much together."""
    peer = Peer()
    peer.send(HEAD, frame(b"", 0x01))
    tracemalloc.start()
    for _ in range(2_000):
        peer.send(frame(b"", 0x00) * 10)
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 20_000
    peer.send(frame(b"x" * (LIMIT - 1), 0x00), frame(b"xx", 0x80))
    peer.hang_up()
    assert peer.messages == []
    (answer,) = answers(peer.wire.written)
    assert answer[1][:2] == CloseCode.MESSAGE_TOO_BIG.to_bytes(2, "big")


async def test_a_frame_that_is_too_large_is_refused_by_its_header() -> None:
    """1009 is sent on sight of the length; what follows is thrown away and not kept."""
    peer = Peer()
    peer.send(HEAD, frame(b"x" * (LIMIT + 1))[:10])
    (answer,) = answers(peer.wire.written)
    assert answer[1][:2] == CloseCode.MESSAGE_TOO_BIG.to_bytes(2, "big")
    tracemalloc.start()
    peer.send(*[b"x" * 1000] * 1000)
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 20_000
    assert peer.messages == []
    peer.hang_up()
