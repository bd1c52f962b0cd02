"""The course of one price over the last minutes: the last price of each minute. Pure: times come in."""

from typing import Final

MINUTES: Final = 15
_MINUTE_S: Final = 60


class PriceCourse:
    """Keeps the last price of each of the last minutes; takes live prices and, for the time before, bars."""

    __slots__ = ("_last", "_prices", "_window")

    def __init__(self) -> None:
        self._prices: dict[int, float] = {}
        self._last = 0  # the minute that _window ends with
        self._window: tuple[float | None, ...] | None = None

    def add(self, at_s: float, price: float) -> None:
        """Take in a live price and its time in seconds since the epoch."""
        prices, minute = self._prices, int(at_s // _MINUTE_S)
        if prices.get(minute) == price:
            return
        prices[minute] = price
        # A live price nearly always belongs to the last minute of the window.
        self._window = (*self._window[:-1], price) if self._window and minute == self._last else None
        if len(prices) > 4 * MINUTES:
            self._prices = dict(sorted(prices.items())[-2 * MINUTES :])

    def add_bar(self, starts_s: float, close: float) -> None:
        """Take in the close of a minute that began at ``starts_s``; a live price of that minute is newer."""
        self._prices.setdefault(int(starts_s // _MINUTE_S), close)
        self._window = None

    def last_minutes(self, now_s: float) -> tuple[float | None, ...]:
        """The last price of each of the last minutes, oldest first; None before the first price.

        A minute without a trade has the price before it; a price that is older than the window and as long again is
        not used.
        """
        last = int(now_s // _MINUTE_S)
        if self._window is None or last != self._last:
            self._last, self._window = last, self._found(last)
        return self._window

    def _found(self, last: int) -> tuple[float | None, ...]:
        price: float | None = None
        prices = [price := self._prices.get(minute, price) for minute in range(last - 2 * MINUTES + 1, last + 1)]
        return tuple(prices[MINUTES:]) if any(last - minute < MINUTES for minute in self._prices) else ()
