"""The bytes that a terminal sends, as the names of keys. Pure.

A key that sends a printable character has that character as its name. Escape sequences that have no name here, mouse
reports, pasted text and the answers of a terminal to queries yield nothing. The pieces of a sequence may come one by
one, as over a slow connection.
"""

import codecs
from typing import Final

ESCAPE: Final = "\x1b"
REDRAW: Final = "ctrl_l"
_CONTROL: Final = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace", "\x0c": REDRAW}
_MOVES: Final = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_NAMED: Final = {f"\x1b[{final}": name for final, name in _MOVES.items()}
_NAMED.update({f"\x1bO{final}": name for final, name in _MOVES.items()})
_NAMED.update({"\x1b[5~": "page_up", "\x1b[6~": "page_down", "\x1b[1~": "home", "\x1b[7~": "home"})
_NAMED.update({"\x1b[4~": "end", "\x1b[8~": "end", "\x1bOM": "enter"})
_PASTE, _PASTE_END = "\x1b[200~", "\x1b[201~"
_STRINGS: Final = ("]", "P", "X", "^", "_")
"""After an escape, these begin a string that the bell or ``ESC \\`` ends."""
_CONTINUE_ESCAPE: Final = frozenset({"[", "O", ESCAPE, *_STRINGS})
_MOUSE: Final = "\x1b[M"
_MOUSE_LENGTH: Final = len(_MOUSE) + 3
_LONGEST: Final = 4096
"""Characters of an unfinished sequence; a longer one is dropped."""


class KeyParser:
    """Takes bytes as they come and yields the keys that are complete."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._unread = ""
        self._pasting = False

    @property
    def is_waiting(self) -> bool:
        """Whether a sequence has begun that may be the Escape key alone, if nothing follows soon."""
        return bool(self._unread)

    def feed(self, data: bytes) -> list[str]:
        """The keys that these bytes complete."""
        received = self._decoder.decode(data)
        keys = []
        # A terminal sends Alt and a letter at once, so a letter that comes later has been typed after the Escape key.
        if self._unread == ESCAPE and received and received[0] not in _CONTINUE_ESCAPE:
            keys.append("escape")
            self._unread = ""
        self._unread += received
        while self._unread and (length := self._next_length()):
            text, self._unread = self._unread[:length], self._unread[length:]
            if key := self._key(text):
                keys.append(key)
        if len(self._unread) > _LONGEST:
            self._unread = ""
        return keys

    def give_up(self) -> list[str]:
        """The keys after a pause: an escape alone is the key; the rest of an unfinished sequence may still come."""
        if not self._unread or self._pasting or self._unread[:2] in ("\x1b[", "\x1bO"):
            return []
        is_escape = self._unread.strip(ESCAPE) == ""
        self._unread = ""
        return ["escape"] if is_escape else []

    def _next_length(self) -> int:
        """Characters of the first key or sequence; 0 while it is unfinished."""
        if self._pasting:
            return _paste_length(self._unread)
        return _sequence_length(self._unread) if self._unread[0] == ESCAPE else 1

    def _key(self, text: str) -> str | None:
        """The name of the key that sent this; None when it has none."""
        if self._pasting:
            self._pasting = not text.endswith(_PASTE_END)
            return None
        if text == _PASTE:
            self._pasting = True
            return None
        if text == ESCAPE:
            return "escape"
        if len(text) == 1:
            return text if text.isprintable() else _CONTROL.get(text)
        return _NAMED.get(text)


def _paste_length(text: str) -> int:
    """Characters up to the end of the pasted text, or as many as cannot be a part of that end."""
    end = text.find(_PASTE_END)
    return end + len(_PASTE_END) if end >= 0 else max(0, len(text) - len(_PASTE_END) + 1)


def _sequence_length(text: str) -> int:
    """Characters of an escape sequence; 0 while it is unfinished."""
    more = len(text) - len(text.lstrip(ESCAPE)) - 1  # some terminals send Alt as another escape
    text = text[more:]
    second = text[1:2]
    if second == "[":
        length = _control_sequence_length(text)
    elif second in _STRINGS:
        length = _string_length(text)
    else:
        wanted = 3 if second == "O" else 2
        length = wanted if len(text) >= wanted else 0
    return length and more + length


def _control_sequence_length(text: str) -> int:
    """Characters of ``ESC [``, parameters and a final letter; 0 while it is unfinished."""
    if text.startswith(_MOUSE):
        return _MOUSE_LENGTH if len(text) >= _MOUSE_LENGTH else 0
    if text.startswith("\x1b[["):  # the function keys of the Linux console
        return 4 if len(text) > 3 else 0
    for place in range(2, len(text)):
        if not " " <= text[place] <= "?":  # a control character or an escape breaks the sequence off
            return place + 1 if "@" <= text[place] <= "~" else place
    return 0


def _string_length(text: str) -> int:
    """Characters of a string with its end; 0 while it is unfinished."""
    ends = [place + len(end) for end in ("\x07", "\x1b\\") if (place := text.find(end, 2)) >= 0]
    return min(ends, default=0)
