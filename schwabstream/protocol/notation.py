"""How a market writes its prices: as decimals, in 32nds of a point, or in eighths of a cent. Pure.

Schwab sends every price as a decimal number. Traders of Treasury futures read 113.15625 as ``113'050``: 113 points, 5
32nds, and no part of a 32nd. The third digit is the part, cut to tenths: 2 for a quarter, 5 for a half, 7 for three
quarters. Grains have one digit, the eighths of a cent: 412.75 cents are ``412'6``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MOST_DECIMALS: Final = 6
_EIGHTHS_IN_TENTHS: Final = "01235678"
_NOISE: Final = 1e-9
_NO_PRICE_FROM: Final = 1e15
"""No price is that high; such a number, as from another program's event, must not take the room of all columns."""


@dataclass(frozen=True, slots=True)
class Notation:
    """The ``decimals`` of a price, or the ``denominator`` of its fraction: 8, or 32; 1 stands for decimals.

    ``parts``: a 32nd always has its third digit.
    """

    decimals: int = 2
    denominator: int = 1
    parts: bool = False

    def write(self, value: float) -> str:
        """The price, or a difference of prices; with more digits where these would hide a part of it."""
        if not abs(value) < _NO_PRICE_FROM:  # also where it is not a number
            return f"{value:g}"
        if self.denominator > 1:
            steps = round(abs(value) * 256)  # eighths of a 32nd, 32nds of an eighth
            if abs(steps / 256 - abs(value)) < _NOISE and (self.denominator == 32 or steps % 32 == 0):
                return ("-" if value < 0 and steps else "") + self._fraction(steps)
        return _decimal(value, self.decimals)

    def _fraction(self, steps: int) -> str:
        """That many 256ths of a point."""
        points, rest = divmod(steps, 256)
        if self.denominator == 8:
            return f"{points}'{rest // 32}"
        numerator, eighth = divmod(rest, 8)
        return f"{points}'{numerator:02}" + (_EIGHTHS_IN_TENTHS[eighth] if eighth or self.parts else "")


@lru_cache(4096)  # the prices of a market repeat, and a screen writes thousands a second
def _decimal(value: float, decimals: int) -> str:
    while decimals < MOST_DECIMALS and abs(round(value, decimals) - value) > _NOISE:
        decimals += 1
    return f"{value:z,.{decimals}f}"


def decimals_of(tick: float) -> int:
    """The number of decimals that show every multiple of a tick size."""
    return len(f"{tick:.{MOST_DECIMALS}f}".rstrip("0").partition(".")[2])
