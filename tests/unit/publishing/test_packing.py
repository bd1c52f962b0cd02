"""Packed commands: a parser of Redis's protocol reads back the words that were packed."""

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.publishing.packing import bulk, command

WORDS = st.lists(st.text() | st.binary() | st.integers(), min_size=1, max_size=5)


def as_bytes(word: str | bytes | int) -> bytes:
    """The word as Redis receives it."""
    return word if isinstance(word, bytes) else str(word).encode()


@given(WORDS, st.lists(st.binary(), max_size=3))
def test_a_packed_command_reads_back(words: list[str | bytes | int], more: list[bytes]) -> None:
    """Text, bytes and numbers arrive as they are, followed by the arguments that the caller appends."""
    reader = hiredis.Reader()
    reader.feed(command(*words, more=len(more)) + b"".join(map(bulk, more)))
    assert reader.gets() == [*map(as_bytes, words), *more]
    assert reader.gets() is False
