"""What a terminal sends, as keys: whole and in pieces, and what is not a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schwabstream.terminal.screen.keys import KeyParser

SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1bOB": "down",
    b"\x1b[C": "right",
    b"\x1bOD": "left",
    b"\x1b[5~": "page_up",
    b"\x1b[6~": "page_down",
    b"\x1b[H": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1b[4~": "end",
    b"\r": "enter",
    b"\n": "enter",
    b"\t": "tab",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x0c": "ctrl_l",
    b"q": "q",
    b" ": " ",
    "é".encode(): "é",
    "€".encode(): "€",
}
NOT_KEYS = {
    "mouse": b"\x1b[<0;12;7M\x1b[<0;12;7m",
    "old mouse": b"\x1b[M qq",
    "paste": b"\x1b[200~qqq\x1b[A\x1b[201~",
    "with Ctrl": b"\x1b[1;5A",
    "with Alt, doubled": b"\x1b\x1b[A",
    "function key": b"\x1b[15~",
    "function key of the Linux console": b"\x1b[[A",
    "focus": b"\x1b[I\x1b[O",
    "answer about a colour": b"\x1b]11;rgb:0000/0000/0000\x07\x1b]11;rgb:0000/0000/0000\x1b\\",
    "answer about the terminal": b"\x1bP>|term(1)\x1b\\\x1b[?64;1c",
    "other control characters": b"\x00\x04\x15",
    "not UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize(("sent", "key"), SEQUENCES.items(), ids=repr)
def test_a_key_has_one_name_whatever_the_terminal_sends(sent: bytes, key: str) -> None:
    """Terminals differ in what they send for a key; characters are their own names."""
    assert KeyParser().feed(sent) == [key]


@given(st.lists(st.sampled_from(sorted(SEQUENCES)), max_size=20), st.data())
def test_the_pieces_of_a_slow_connection_are_the_same_keys(sent: list[bytes], data: st.DataObject) -> None:
    """Wherever the bytes are cut, the keys are the same."""
    left, parser, keys = b"".join(sent), KeyParser(), list[str]()
    while left:
        length = data.draw(st.integers(1, len(left)))
        keys += parser.feed(left[:length])
        left = left[length:]
    assert keys == [SEQUENCES[each] for each in sent]


@pytest.mark.parametrize("sent", NOT_KEYS.values(), ids=NOT_KEYS)
def test_what_is_not_a_key_does_nothing_whole_or_in_pieces(sent: bytes) -> None:
    """Mouse reports, pasted text, answers of the terminal and unknown sequences yield no key; the next key does."""
    assert KeyParser().feed(sent + b"s") == ["s"]
    parser = KeyParser()
    assert [key for place in range(len(sent)) for key in parser.feed(sent[place : place + 1])] == []
    assert parser.feed(b"s") == ["s"]


def test_an_escape_is_a_key_when_nothing_follows() -> None:
    """Escape alone is a key only after a pause; the start of a sequence waits on for its rest."""
    parser = KeyParser()
    assert parser.feed(b"\x1b") == []
    assert parser.is_waiting
    assert parser.give_up() == ["escape"]
    assert parser.feed(b"\x1b[") == parser.give_up() == []
    assert parser.feed(b"A") == ["up"]


def test_a_key_right_after_escape_is_not_lost() -> None:
    """Escape and then a letter, typed quickly, are two keys; sent at once they are the letter with Alt: no key."""
    parser = KeyParser()
    assert parser.feed(b"\x1b") == []
    assert parser.feed(b"q") == ["escape", "q"]
    assert parser.feed(b"\x1bq") == []
    assert parser.feed(b"\x1b") == []
    assert parser.feed(b"/nv") == ["escape", "/", "n", "v"]


def test_escape_held_down_is_survived() -> None:
    """However many escapes come at once, the keys after the pause are read."""
    parser = KeyParser()
    assert parser.feed(b"\x1b" * 4096) == []
    assert parser.give_up() == ["escape"]
    assert parser.feed(b"q") == ["q"]


def test_a_string_without_an_end_does_not_swallow_the_keys_after_it() -> None:
    """After a pause an unfinished answer of the terminal is dropped."""
    parser = KeyParser()
    assert parser.feed(b"\x1b]0;title") == parser.give_up() == []
    assert parser.feed(b"q") == ["q"]


@given(st.binary(max_size=60))
def test_any_bytes_are_survived(sent: bytes) -> None:
    """Whatever comes, keys are names or printable characters."""
    parser = KeyParser()
    names = {*SEQUENCES.values(), "escape"}
    assert all(key in names or key.isprintable() for key in parser.feed(sent) + parser.give_up())
