"""Reads an HTTP answer whole, within a limit that holds for what came over the wire and for what it unpacks to.

It asks for one packing and unpacks no other: an HTTP library unpacks whatever comes, and a kilobyte can be a gigabyte.
"""

import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

LARGEST_ANSWER = 8 << 20
"""Bytes; Schwab's largest answers, 500 quotes at once, are a fifth of it."""
PACKING = "gzip"
_GZIP_ONLY = 16 + zlib.MAX_WBITS


class UnusableAnswer(ValueError):
    """The answer is too large, or packed in a way that cannot be read."""


async def read_answer(response: "httpx.Response", limit: int = LARGEST_ANSWER) -> bytes:
    """Return the content of an answer whose body has not been read yet; ``UnusableAnswer`` when that cannot be."""
    packing = response.headers.get("Content-Encoding", "identity").lower()
    if packing == PACKING:
        return await _unpacked(response.aiter_raw(), limit)
    if packing != "identity":
        raise UnusableAnswer("it is packed in a way that was not asked for")
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        _check(content, limit)
    return bytes(content)


async def _unpacked(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_ONLY)
    content = bytearray()
    empty = True
    async for piece in pieces:
        empty = empty and not piece
        try:
            content += unpacker.decompress(piece, limit + 1 - len(content))
        except zlib.error:
            raise UnusableAnswer("it cannot be unpacked") from None
        _check(content, limit)
        if unpacker.eof:
            break
    if not (empty or unpacker.eof):
        raise UnusableAnswer("it cannot be unpacked, its end is missing")
    return bytes(content)


def _check(content: bytearray, limit: int) -> None:
    if len(content) > limit:
        raise UnusableAnswer(f"it is more than {limit >> 20} MB")
