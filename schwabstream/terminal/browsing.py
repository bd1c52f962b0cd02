"""Browsing a table with keys: its order, a filter, the selected row, and the rows that fit on the screen.

Pure: keys, rows and the time come in. Does not draw, and does not know what a row is.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

ASKED_S: Final = 3.0
_PAUSE_KEYS: Final = frozenset({"p", " "})
_TO_THE_END: Final = 10**9

Row = TypeVar("Row")

SCREEN_KEYS: Final = (("p", "pause"), ("?", "keys"), ("Ctrl-L", "draw again"), ("q", "leave"))
"""The keys of every screen, with their meanings."""
TABLE_KEYS: Final = (
    ("↑ ↓", "select a row"),
    ("PgUp PgDn", "scroll"),
    ("Home End", "first, last"),
    ("s", "next order"),
    ("/", "filter"),
    ("b", "book of the row"),
    ("Tab", "scroll the book"),
    ("c", "centre the book"),
    *SCREEN_KEYS,
)


class Controls:
    """The keys of every screen: to leave it, to pause it, to list the keys.

    ``question`` is shown before the screen is left, and the key must be pressed again; without it one press is enough.
    ``on_pause`` pauses or resumes what is shown.
    """

    def __init__(self, on_pause: Callable[[], None], *, question: str | None = None) -> None:
        self._on_pause, self._question = on_pause, question
        self._asked = False
        self._asked_until = 0.0
        self.left = self.lists_keys = False

    def press(self, key: str) -> bool:
        """Take in a key; returns whether it was one of these."""
        asked, self._asked = self._asked, False
        if self.lists_keys:
            self.lists_keys = False
        elif key in ("q", "escape"):
            self._leave(asked=asked)
        elif key in _PAUSE_KEYS:
            self._on_pause()
        elif key == "?":
            self.lists_keys = True
        else:
            return False
        return True

    def question(self, now_s: float) -> str | None:
        """What a second press answers; None when nothing is asked."""
        if self._asked and not self._asked_until:
            self._asked_until = now_s + ASKED_S
        if not self._asked or now_s >= self._asked_until:
            self._asked, self._asked_until = False, 0.0
        return self._question if self._asked else None

    def _leave(self, *, asked: bool) -> None:
        # A press counts as the answer once the question has been shown: a key held down must not answer it.
        if self._question is None or (asked and self._asked_until):
            self.left = True
        else:
            self._asked, self._asked_until = True, 0.0


class Browse(Controls, Generic[Row]):
    """The keys of one table, and what they have changed.

    ``orders`` are the orders that a key goes through, after the given one; ``order`` is the first. ``matches`` has
    whether a row passes the filter, which it gets in lower case. Of the last drawing, ``total`` counts all rows and
    ``fit`` those shown.
    """

    def __init__(
        self,
        orders: Mapping[str, Callable[[Row], Any]],
        matches: Callable[[Row, str], bool],
        on_pause: Callable[[], None],
        *,
        order: str | None = None,
        question: str | None = None,
    ) -> None:
        super().__init__(on_pause, question=question)
        self._orders, self._matches = orders, matches
        self.order = order
        self.filter = ""
        self.is_typing = False
        self.total = self.fit = 0
        self._rows: list[Row] = []
        self._selected: Row | None = None
        self._place: int | None = None
        self._offset, self._page = 0, 1

    @property
    def selected(self) -> Row | None:
        """The selected row; None before a key has selected one."""
        return self._selected

    @property
    def is_narrowed(self) -> bool:
        """Whether the rows shown depend on their values, not only on their given order."""
        return bool(self.order or self.filter)

    def press(self, key: str) -> bool:
        """Take in a key; returns whether it was one of the table's."""
        if self.is_typing and ((key.isprintable() and len(key) == 1) or key in ("enter", "escape", "backspace")):
            self._type(key)
        elif key == "escape" and self.filter and not self.lists_keys:
            self.filter = ""
        elif super().press(key):
            pass
        elif key in ("up", "down", "page_up", "page_down", "home", "end"):
            self._select(key)
        elif key == "s":
            names = [None, *self._orders]
            self.order = names[(names.index(self.order) + 1) % len(names)]
        elif key == "/":
            self.is_typing = True
        else:
            return False
        return True

    def window(self, rows: Iterable[Row], lines: int | None) -> list[Row]:
        """The rows to draw on that many lines, in order; None: all that the filter lets pass."""
        every = list(rows)
        wanted = self.filter.casefold()
        found = [row for row in every if self._matches(row, wanted)] if wanted else every
        if self.order is not None:
            found = sorted(found, key=self._orders[self.order])
        self.total, self._rows = len(every), found
        self._follow_selected()
        if lines is None:
            self.fit = len(found)
            return found
        lines = max(1, lines)
        self._page = max(1, lines - 1)
        if self._place is not None:
            self._offset = min(max(self._offset, self._place - lines + 1), self._place)
        self._offset = max(0, min(self._offset, len(found) - lines))
        shown = found[self._offset : self._offset + lines]
        self.fit = len(shown)
        return shown

    def choose(self) -> Row | None:
        """The selected row, which is the first on the screen if none has been selected; None without rows."""
        if self._place is None and self._rows:
            self._place = self._offset
            self._selected = self._rows[self._place]
        return self._selected

    @property
    def notes(self) -> list[str]:
        """What the header shows of it: how many rows are on the screen unless all are, and the order."""
        count = "" if self.fit == self.total else f"{self.fit:,} of {self.total:,}"
        return [count, f"by {self.order}" if self.order else ""]

    def prompt(self, now_s: float) -> str | None:
        """The last line while something waits for a key: a question or the filter; None else."""
        if question := self.question(now_s):
            return question
        if self.is_typing:
            return f"filter: {self.filter}▏  Enter: keep   Esc: clear"
        return f"filter: {self.filter}  Esc: clear   /: change" if self.filter else None

    def _type(self, key: str) -> None:
        if key == "backspace":
            self.filter = self.filter[:-1]
        elif key in ("enter", "escape"):
            self.is_typing = False
            self.filter = "" if key == "escape" else self.filter
        else:
            self.filter += key

    def _select(self, key: str) -> None:
        steps = {"up": -1, "down": 1, "page_up": -self._page, "page_down": self._page}
        steps |= {"home": -_TO_THE_END, "end": _TO_THE_END}
        if not self._rows:
            return
        # The first key selects a row on the screen: the first, or from there.
        before = self._place if self._place is not None else self._offset - (key == "down")
        self._place = max(0, min(before + steps[key], len(self._rows) - 1))
        self._selected = self._rows[self._place]

    def _follow_selected(self) -> None:
        """Find the selected row in its present place; without it, the row that has taken its place is selected."""
        if self._place is None:
            return
        places = (place for place, row in enumerate(self._rows) if row is self._selected)
        self._place = next(places, min(self._place, len(self._rows) - 1))
        if self._place < 0:
            self._place = self._selected = None
        else:
            self._selected = self._rows[self._place]
