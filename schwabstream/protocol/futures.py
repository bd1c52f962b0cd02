"""Futures roots: market, trading hours, tick size, multiplier and notation of the prices of each.

Data only, from the exchanges' contract specifications. A root that is missing here still streams, but its tick size is
unknown until Schwab sends it (futures fields 25 and 31). tastytrade and thinkorswim append the market identifier code
after a colon; it is never sent to Schwab (protocol 6).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schwabstream.protocol.notation import Notation


class Hours(StrEnum):
    """Groups of products that trade at the same times; ``market.trading_hours`` has the times."""

    EQUITIES = "equities"
    CURRENCIES = "currencies"
    GLOBEX = "globex"
    GRAINS = "grains"
    LIVESTOCK = "livestock"
    VOLATILITY = "volatility"
    OTHER_FUTURES = "other futures"


@dataclass(frozen=True, slots=True)
class FutureRoot:
    """One product: ``tick`` in price units, ``multiplier`` in currency per price unit.

    ``denominator``: prices are written as decimals (1), in eighths (8) or in 32nds (32).
    """

    mic: str
    tick: float
    decimals: int
    multiplier: float
    hours: Hours = Hours.GLOBEX
    denominator: int = 1

    @property
    def notation(self) -> Notation:
        """How its prices are written."""
        return Notation(self.decimals, self.denominator, self.denominator == 32 and self.tick < 1 / 32)


# fmt: off
FUTURE_ROOTS: Final[dict[str, FutureRoot]] = {
    # CME: equity indices
    "ES": FutureRoot("XCME", 0.25, 2, 50),
    "MES": FutureRoot("XCME", 0.25, 2, 5),
    "NQ": FutureRoot("XCME", 0.25, 2, 20),
    "MNQ": FutureRoot("XCME", 0.25, 2, 2),
    "RTY": FutureRoot("XCME", 0.1, 1, 50),
    "M2K": FutureRoot("XCME", 0.1, 1, 5),
    "EMD": FutureRoot("XCME", 0.1, 1, 100),
    "NKD": FutureRoot("XCME", 5.0, 0, 5),
    # CME: currencies
    "6A": FutureRoot("XCME", 0.00005, 5, 100_000),
    "6B": FutureRoot("XCME", 0.0001, 4, 62_500),
    "6C": FutureRoot("XCME", 0.00005, 5, 100_000),
    "6E": FutureRoot("XCME", 0.00005, 5, 125_000),
    "6J": FutureRoot("XCME", 0.0000005, 7, 12_500_000),
    "6M": FutureRoot("XCME", 0.00001, 5, 500_000),
    "6N": FutureRoot("XCME", 0.00005, 5, 100_000),
    "6S": FutureRoot("XCME", 0.00005, 5, 125_000),
    "E7": FutureRoot("XCME", 0.0001, 4, 62_500),
    "J7": FutureRoot("XCME", 0.000001, 6, 6_250_000),
    "M6A": FutureRoot("XCME", 0.0001, 4, 10_000),
    "M6B": FutureRoot("XCME", 0.0001, 4, 6_250),
    "M6E": FutureRoot("XCME", 0.0001, 4, 12_500),
    # CME: short rates, crypto, livestock
    "SR1": FutureRoot("XCME", 0.0025, 4, 4_167),
    "SR3": FutureRoot("XCME", 0.0025, 4, 2_500),
    "BTC": FutureRoot("XCME", 5.0, 0, 5),
    "MBT": FutureRoot("XCME", 5.0, 0, 0.1),
    "ETH": FutureRoot("XCME", 0.5, 2, 50),
    "MET": FutureRoot("XCME", 0.5, 2, 0.1),
    "GF": FutureRoot("XCME", 0.025, 3, 500, Hours.LIVESTOCK),
    "HE": FutureRoot("XCME", 0.025, 3, 400, Hours.LIVESTOCK),
    "LE": FutureRoot("XCME", 0.025, 3, 400, Hours.LIVESTOCK),
    # CBOT: index, treasuries, grains
    "YM": FutureRoot("XCBT", 1.0, 0, 5),
    "MYM": FutureRoot("XCBT", 1.0, 0, 0.5),
    "ZB": FutureRoot("XCBT", 1 / 32, 5, 1_000, denominator=32),
    "ZF": FutureRoot("XCBT", 1 / 128, 7, 1_000, denominator=32),
    "ZN": FutureRoot("XCBT", 1 / 64, 6, 1_000, denominator=32),
    "ZQ": FutureRoot("XCBT", 0.0025, 4, 4_167),
    "ZT": FutureRoot("XCBT", 1 / 256, 8, 2_000, denominator=32),
    "TN": FutureRoot("XCBT", 1 / 64, 6, 1_000, denominator=32),
    "UB": FutureRoot("XCBT", 1 / 32, 5, 1_000, denominator=32),
    "2YY": FutureRoot("XCBT", 0.001, 3, 1_000),
    "5YY": FutureRoot("XCBT", 0.001, 3, 1_000),
    "10Y": FutureRoot("XCBT", 0.001, 3, 1_000),
    "30Y": FutureRoot("XCBT", 0.001, 3, 1_000),
    "KE": FutureRoot("XCBT", 0.25, 2, 50, Hours.GRAINS, 8),
    "XC": FutureRoot("XCBT", 0.125, 3, 10, Hours.GRAINS, 8),
    "XK": FutureRoot("XCBT", 0.125, 3, 10, Hours.GRAINS, 8),
    "XW": FutureRoot("XCBT", 0.125, 3, 10, Hours.GRAINS, 8),
    "ZC": FutureRoot("XCBT", 0.25, 2, 50, Hours.GRAINS, 8),
    "ZL": FutureRoot("XCBT", 0.01, 2, 600, Hours.GRAINS),
    "ZM": FutureRoot("XCBT", 0.1, 1, 100, Hours.GRAINS),
    "ZO": FutureRoot("XCBT", 0.25, 2, 50, Hours.GRAINS, 8),
    "ZS": FutureRoot("XCBT", 0.25, 2, 50, Hours.GRAINS, 8),
    "ZW": FutureRoot("XCBT", 0.25, 2, 50, Hours.GRAINS, 8),
    # NYMEX: energy, platinum, palladium
    "BZ": FutureRoot("XNYM", 0.01, 2, 1_000),
    "CL": FutureRoot("XNYM", 0.01, 2, 1_000),
    "HO": FutureRoot("XNYM", 0.0001, 4, 42_000),
    "MCL": FutureRoot("XNYM", 0.01, 2, 100),
    "MNG": FutureRoot("XNYM", 0.001, 3, 1_000),
    "NG": FutureRoot("XNYM", 0.001, 3, 10_000),
    "PA": FutureRoot("XNYM", 0.5, 2, 100),
    "PL": FutureRoot("XNYM", 0.1, 1, 50),
    "QG": FutureRoot("XNYM", 0.005, 3, 2_500),
    "QM": FutureRoot("XNYM", 0.025, 3, 500),
    "RB": FutureRoot("XNYM", 0.0001, 4, 42_000),
    # COMEX: metals
    "GC": FutureRoot("XCEC", 0.1, 1, 100),
    "HG": FutureRoot("XCEC", 0.0005, 4, 25_000),
    "MGC": FutureRoot("XCEC", 0.1, 1, 10),
    "MHG": FutureRoot("XCEC", 0.0005, 4, 2_500),
    "SI": FutureRoot("XCEC", 0.005, 3, 5_000),
    "SIL": FutureRoot("XCEC", 0.005, 3, 1_000),
    # Cboe: volatility
    "VX": FutureRoot("XCBF", 0.05, 2, 1_000, Hours.VOLATILITY),
    "VXM": FutureRoot("XCBF", 0.05, 2, 100, Hours.VOLATILITY),
}
# fmt: on

MICS: Final = frozenset({"XCME", "XCBT", "XNYM", "XCEC", "XCBF", "IFUS", "IFEU"})
"""Market identifier codes that may follow the colon of a root that is not in the table."""

DELIVERED: Final = frozenset(
    {"ZB", "ZF", "ZN", "ZT", "TN", "UB", "KE", "ZC", "ZL", "ZM", "ZO", "ZS", "ZW"}
    | {"XC", "XK", "XW", "GC", "MGC", "HG", "SI", "SIL", "PA", "PL"}
)
"""Roots whose holders can be asked to deliver from the last day before the contract month."""
