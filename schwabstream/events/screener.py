"""ScreenerEvent: the list of one screener."""

from typing import Literal

from schwabstream.events.base import FrozenModel, MarketEvent


class ScreenerItem(FrozenModel):
    """One row of a screener."""

    symbol: str
    """The symbol, as Schwab writes it."""
    description: str | None = None
    """The name of the company or contract."""
    last_price: float | None = None
    """Price of the last trade."""
    net_change: float | None = None
    """Last price minus the previous close, in price units."""
    net_percent_change: float | None = None
    """The same change as a part of the previous close, as Schwab writes it: 0.0065 is 0.65 %."""
    market_share: float | None = None
    """The symbol's part of the total of the screener, in percent."""
    total_volume: int | None = None
    """Volume of all symbols of the screener together, in shares or contracts."""
    volume: int | None = None
    """Volume of the symbol in the period of the screener, in shares or contracts."""
    trades: int | None = None
    """Number of trades of the symbol in the period of the screener."""


class ScreenerEvent(MarketEvent):
    """The complete list of one screener, such as the most active symbols of an exchange."""

    type: Literal["screener"] = "screener"
    """The type of the event: `screener`."""
    symbol: str
    """The name of the screener, such as `NYSE_VOLUME_5`."""
    key: str
    """The same name."""
    timestamp: int
    """Time of the list, in milliseconds since the Unix epoch, UTC; until Schwab sends it, the time of the frame."""
    sort: str | None = None
    """What the list is sorted by: `VOLUME`, `TRADES`, `PERCENT_CHANGE_UP` and so on."""
    frequency: int | None = None
    """The period of the list in minutes; 0 for the whole day."""
    items: tuple[ScreenerItem, ...]
    """The rows, in Schwab's order."""
