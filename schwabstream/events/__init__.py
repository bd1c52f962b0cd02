"""The events in Redis, as pydantic models.

The streamer publishes plain dictionaries (see ``market``); a test parses them with these models. A field that Schwab
has not sent is None, and NaN never appears. The docstring below each field is its only description: editors,
``help()``, the JSON Schemas and the reference pages all show it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter

from schwabstream.events.account import AccountEvent
from schwabstream.events.base import VERSION, BaseEvent, FrozenModel, MarketEvent, from_ms
from schwabstream.events.instrument import InstrumentEvent
from schwabstream.events.screener import ScreenerEvent, ScreenerItem

__all__ = [
    "VERSION",
    "AccountEvent",
    "BarEvent",
    "Channel",
    "Event",
    "InstrumentEvent",
    "Level",
    "Level2Event",
    "ScreenerEvent",
    "ScreenerItem",
    "StatusEvent",
    "StatusState",
    "TickEvent",
    "Venue",
    "parse_event",
]


class Channel(StrEnum):
    """The six channels. Each has its own ``seq``, pub/sub channel and stream."""

    TICKS = "ticks"
    LEVEL2 = "level2"
    BARS = "bars"
    STATUS = "status"
    SCREENERS = "screeners"
    ACCOUNT = "account"


SYMBOL_CHANNELS: Final = frozenset({Channel.TICKS, Channel.LEVEL2, Channel.BARS})
"""The channels whose events can also be published on a channel of their symbol, such as ``market_data:ticks:AAPL``."""


class TickEvent(MarketEvent):
    """The complete level-1 state of a symbol after an update. Schwab conflates: one tick can cover several trades."""

    type: Literal["tick"] = "tick"
    """The type of the event: `tick`."""
    timestamp: int
    """The later of trade and quote time, in milliseconds since the Unix epoch, UTC; until Schwab sends either, the
    time of the frame."""
    asset: str
    """Asset class: `FUTURE`, `EQUITY`, `INDEX`, `OPTION`, `FUTURE_OPTION` or `FOREX`."""
    contract: str | None = None
    """The active contract of a futures root, such as `/MNQZ26`; null when Schwab does not name one."""
    last_price: float | None = None
    """Price of the last trade; null for a symbol that has a bid and an ask but has not traded."""
    last_size: int | None = None
    """Size of the last trade, in shares, or in contracts for futures and options."""
    bid_price: float | None = None
    """Best bid price."""
    bid_size: int | None = None
    """Size at the best bid, in shares, or in contracts for futures and options."""
    ask_price: float | None = None
    """Best ask price."""
    ask_size: int | None = None
    """Size at the best ask, in shares, or in contracts for futures and options."""
    total_volume: int | None = None
    """Volume of the trading day so far, in shares, or in contracts for futures and options."""
    open_price: float | None = None
    """Opening price of the trading day."""
    high_price: float | None = None
    """Highest price of the trading day."""
    low_price: float | None = None
    """Lowest price of the trading day."""
    close_price: float | None = None
    """Close or settlement price of the previous session."""
    net_change: float | None = None
    """Last price minus the previous close, in price units."""
    mark: float | None = None
    """Mark price."""
    open_interest: int | None = None
    """Open interest, in contracts."""
    trade_time: int | None = None
    """Time of the last trade, in milliseconds since the Unix epoch, UTC."""
    quote_time: int | None = None
    """Time of the last quote, in milliseconds since the Unix epoch, UTC."""
    is_trade: bool
    """Whether the update contained a trade. One update may cover several trades."""
    delayed: bool | None = None
    """Whether Schwab sends delayed data for the symbol."""
    repeat: bool = False
    """True when nothing has changed and the last tick was published again, which distinguishes a quiet symbol from a
    dead stream."""
    percent_change: float | None = None
    """The net change in percent of the previous close: 1.5 is 1.5 %. Null for options on futures, and 0 for currency
    pairs, because Schwab calculates none."""
    security_status: str | None = None
    """Trading status as Schwab writes it: `Normal`, `Halted`, `Closed` or `Unknown`."""
    delta: float | None = None
    """Options: change of the price for a change of 1 in the underlying. The values of the option model are absent from
    ticks of other symbols, and null while Schwab has none."""
    gamma: float | None = None
    """Options: change of delta for a change of 1 in the underlying."""
    theta: float | None = None
    """Options: change of the price in one day."""
    vega: float | None = None
    """Options: change of the price for one percentage point of volatility."""
    rho: float | None = None
    """Options: change of the price for one percentage point of interest."""
    implied_volatility: float | None = None
    """Options: implied volatility in percent a year."""
    theoretical_value: float | None = None
    """Options: price by Schwab's model."""
    underlying_price: float | None = None
    """Options: price of the underlying."""

    @property
    def trade_time_at(self) -> datetime | None:
        """``trade_time`` as an aware datetime in UTC."""
        return None if self.trade_time is None else from_ms(self.trade_time)

    @property
    def quote_time_at(self) -> datetime | None:
        """``quote_time`` as an aware datetime in UTC."""
        return None if self.quote_time is None else from_ms(self.quote_time)


class Venue(FrozenModel):
    """The part of a level that belongs to one market maker or exchange."""

    id: str
    """Id of the market maker or exchange, as Schwab writes it."""
    size: int
    """Its part of the level's size, in shares, or in contracts for futures and options."""
    time_ms: int | None = None
    """Schwab's time, in milliseconds since midnight US/Eastern; Schwab does not send the date."""


class Level(FrozenModel):
    """One price level on one side of a book."""

    price: float
    """The price."""
    size: int
    """Total size at this price, in shares, or in contracts for futures and options."""
    makers: int
    """Number of market makers and exchanges at this price; 0 when Schwab does not send it."""
    venues: tuple[Venue, ...] = ()
    """The market makers and exchanges at this price; empty when Schwab does not send them."""


class Level2Event(MarketEvent):
    """One complete order book."""

    type: Literal["level2"] = "level2"
    """The type of the event: `level2`."""
    service: str
    """The Schwab service that the book comes from, such as `NASDAQ_BOOK`."""
    source: Literal["book", "top_of_book"]
    """`book`, or `top_of_book` when Schwab has no depth for the symbol and the one level comes from level 1."""
    bids: tuple[Level, ...]
    """Bid levels, highest price first."""
    asks: tuple[Level, ...]
    """Ask levels, lowest price first."""


class BarEvent(MarketEvent):
    """A one-minute bar."""

    type: Literal["bar"] = "bar"
    """The type of the event: `bar`."""
    timestamp: int
    """Start of the minute, in milliseconds since the Unix epoch, UTC."""
    open: float
    """Opening price of the minute."""
    high: float
    """Highest price of the minute."""
    low: float
    """Lowest price of the minute."""
    close: float
    """Closing price of the minute."""
    volume: float
    """Volume of the minute, in shares, or in contracts for futures."""
    sequence: int | None = None
    """Shares: number of the minute, counted from 07:00 US/Eastern. Absent for futures."""
    chart_day: int | None = None
    """Shares: days from 1970-01-01 to the day of the bar. Absent for futures."""


StatusState = Literal[
    "connecting",
    "streaming",
    "waiting",
    "login_required",
    "evicted",
    "stale",
    "gap",
    "dropped",
    "subscribed",
    "refused",
    "released",
    "stopped",
]


class StatusEvent(BaseEvent):
    """A change in the state of the streamer, or a report of missing data."""

    type: Literal["status"] = "status"
    """The type of the event: `status`."""
    timestamp: int
    """Time of the report, in milliseconds since the Unix epoch, UTC."""
    received_us: int
    """The same time in microseconds."""
    state: StatusState
    """The state, such as `streaming` or `gap`."""
    reason: str
    """The reason, as a sentence to read."""
    detail: str | None = None
    """The text that Schwab or Redis sent, or a word for programs: with `refused`, `limit`, `not-a-symbol` or Schwab's
    code; with `gap`, `redis-failover`; in reports from a reader, `trimmed` or `not-streamed`."""
    since: int
    """Time at which the state began, in milliseconds since the Unix epoch, UTC."""
    retry_in_s: float | None = None
    """With `waiting`: seconds until the next attempt."""
    lost_at: int | None = None
    """With `gap`: time of the last data before the gap, in milliseconds since the Unix epoch, UTC."""
    restored_at: int | None = None
    """With `gap`: time at which data of the last of `symbols` was back, in milliseconds since the Unix epoch, UTC."""
    symbols: tuple[str, ...] | None = None
    """With `gap`: the symbols that the gap affects."""
    count: int | None = None
    """With `dropped`: number of events dropped. With `gap`: number of events lost, if it can be counted."""

    @property
    def since_at(self) -> datetime:
        """``since`` as an aware datetime in UTC."""
        return from_ms(self.since)


def status_event(state: str, reason: str, now_us: int, **more: Any) -> dict[str, Any]:
    """Return a :class:`StatusEvent` as a dictionary with ``seq`` 0, which the publisher replaces; ``more`` adds fields.

    Unless ``more`` sets other values, the state begins at ``now_us`` and concerns no symbol.
    """
    return {
        "v": VERSION,
        "type": "status",
        "symbol": None,
        "key": None,
        "seq": 0,
        "prev": 0,
        "timestamp": now_us // 1000,
        "received_us": now_us,
        "state": state,
        "reason": reason,
        "since": now_us // 1000,
        **more,
    }


Event = Annotated[
    TickEvent | Level2Event | BarEvent | InstrumentEvent | StatusEvent | ScreenerEvent | AccountEvent,
    Field(discriminator="type"),
]
# The adapter's own method looks at its options first, which takes a fifth of the time.
_EVENT: Final = TypeAdapter[Event](Event).validator


def parse_event(payload: str | bytes) -> Event:
    """Parse one published message; raises ``pydantic.ValidationError`` when it is not an event."""
    event: Event = _EVENT.validate_json(payload)
    return event
