"""Which levels of a book fit into how many lines: centred on the touch, with the far levels of both sides left out.

Levels are numbered from the best of each side, which is 0 and always shown. Pure.
"""

from typing import Final, NamedTuple

FEWEST_LINES: Final = 2
"""One for the best ask and one for the best bid."""
COUNTED_FROM: Final = 4
"""Lines of a side from which one of them counts the levels left out; with fewer, another level is worth more."""
_NARROWEST_BAR, _WIDEST_BAR = 4, 24
_NUMBERS_WIDTH: Final = 24  # what sizes and prices take on the narrowest screen


class Hidden(NamedTuple):
    """A line in place of that many ``levels``."""

    levels: int


Line = int | Hidden | None
"""A level, a count of levels left out, or None: a blank line that keeps the best prices in place."""


class Side(NamedTuple):
    """The bids or the asks: its number of levels, and of lines kept for it even if it has fewer levels."""

    levels: int
    kept: int = 0

    @property
    def lines(self) -> int:
        """Lines that show all of it."""
        return max(self.levels, self.kept)


class Layout(NamedTuple):
    """The lines of each side, from the best outwards, and how far it is scrolled: positive towards the far asks."""

    asks: list[Line]
    bids: list[Line]
    scroll: int


def fit(asks: Side, bids: Side, lines: int, scroll: int = 0) -> Layout:
    """The book in at most that many lines, half for each side unless one needs fewer; scrolled as far as levels go.

    Scrolling gives a side lines of the other, which keeps a few, and after that leaves out levels next to the best.
    """
    lines = max(FEWEST_LINES, lines)
    above = min(asks.lines, max(lines // 2, lines - bids.lines))
    below = min(bids.lines, lines - above)
    if scroll < 0:
        moved, skipped = _scrolled(bids, below, above, -scroll)
        return Layout(_shown(asks, above - moved, 0), _shown(bids, below + moved, skipped), -moved - skipped)
    moved, skipped = _scrolled(asks, above, below, scroll)
    return Layout(_shown(asks, above + moved, skipped), _shown(bids, below - moved, 0), moved + skipped)


def _scrolled(side: Side, own: int, others: int, scroll: int) -> tuple[int, int]:
    """How many lines of the ``others`` go to the side, which has its ``own``, and how many levels it leaves out."""
    left_to_others = min(others, max(1, min(COUNTED_FROM, (own + others) // 4)))
    moved = max(0, min(scroll, others - left_to_others, side.levels - own))
    own += moved
    # The best, a count of the levels left out, and one level beyond them need three lines.
    skipped = max(0, min(scroll - moved, side.levels - own)) if own > 2 else 0
    return moved, skipped


def _shown(side: Side, lines: int, skipped: int) -> list[Line]:
    """The lines of one side: the best, the levels after those ``skipped``, and counts of those left out."""
    shown: list[Line] = list(range(min(side.levels, lines)))
    if skipped:
        # One more than skipped makes place for the count itself.
        shown = [0, Hidden(skipped + 1), *range(skipped + 2, skipped + lines)]
    last = skipped + lines - 1
    if lines >= COUNTED_FROM and last < side.levels - 1:
        shown[-1] = Hidden(side.levels - last)
    return shown + [None] * (lines - len(shown))


def bar_width(columns: int) -> int:
    """Cells of a full bar on a screen of that width."""
    return max(_NARROWEST_BAR, min(_WIDEST_BAR, (columns - _NUMBERS_WIDTH) // 5))
