"""An HTTP answer is read whole, within a limit, whatever it unpacks to."""

import gzip
import zlib
from collections.abc import AsyncIterator, Iterable

import httpx
import pytest

from schwabstream.auth.session import UnusableAnswer, read_answer

LIMIT = 1000


class Stream(httpx.AsyncByteStream):
    """An answer's bytes as they come over the wire; ``taken`` counts the pieces that were asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece


def answer(stream: Stream, encoding: str | None = None) -> httpx.Response:
    """An answer that has not been read yet."""
    return httpx.Response(200, headers={"Content-Encoding": encoding} if encoding else None, stream=stream)


@pytest.mark.parametrize("size", [0, 1, LIMIT])
@pytest.mark.parametrize("encoding", [None, "identity", "gzip", "GZip"])
async def test_an_answer_within_the_limit_is_returned_as_it_was_meant(size: int, encoding: str | None) -> None:
    """Plain or packed, in pieces of any size, up to the very limit, the content is the one that was sent."""
    content = b"x" * size
    wire = gzip.compress(content) if encoding and encoding.lower() == "gzip" else content
    pieces = [wire[at : at + 1] for at in range(len(wire))]
    assert await read_answer(answer(Stream(pieces), encoding), LIMIT) == content


async def test_an_empty_answer_is_not_a_broken_packed_one() -> None:
    """An answer without content may still name a packing."""
    assert await read_answer(answer(Stream([]), "gzip"), LIMIT) == b""


def endless(*, packed: bool) -> Iterable[bytes]:
    """Zeros without end."""
    packer = zlib.compressobj(wbits=31)
    while True:
        yield packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH) if packed else bytes(600)


@pytest.mark.parametrize(("packed", "pieces"), [(False, 2), (True, 1)])
async def test_an_answer_above_the_limit_is_given_up_at_once(packed: bool, pieces: int) -> None:
    """Content beyond the limit, on the wire or unpacked, is an error as soon as it is reached."""
    stream = Stream(endless(packed=packed))
    with pytest.raises(UnusableAnswer, match="more than"):
        await read_answer(answer(stream, "gzip" if packed else None), LIMIT)
    assert stream.taken == pieces


async def test_nothing_is_read_beyond_the_end_of_what_was_packed() -> None:
    """Bytes after the packed content are not collected."""
    stream = Stream([gzip.compress(b"[]"), *(bytes(1 << 16) for _ in range(1000))])
    assert await read_answer(answer(stream, "gzip"), LIMIT) == b"[]"
    assert stream.taken == 1


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "\x1b[2J"])
async def test_a_compression_that_was_not_requested_is_refused(encoding: str) -> None:
    """Only what was requested is decompressed; the header's own text is not shown."""
    with pytest.raises(UnusableAnswer, match="not requested") as refused:
        await read_answer(answer(Stream([b"x"]), encoding), LIMIT)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("wire", [b"not gzip", gzip.compress(b"x" * 500)[:-9]], ids=["damaged", "cut short"])
async def test_what_cannot_be_decompressed_is_refused(wire: bytes) -> None:
    """Damaged or cut short, a packed answer is an error and not half an answer."""
    with pytest.raises(UnusableAnswer, match="decompressed"):
        await read_answer(answer(Stream([wire]), "gzip"), LIMIT)
