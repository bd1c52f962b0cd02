"""InstrumentEvent: the level-1 fields that are not part of a tick. Most of them rarely change."""

from typing import Literal

from schwabstream.events.base import MarketEvent


class InstrumentEvent(MarketEvent):
    """The level-1 fields of a symbol that a TickEvent does not have. Each kind of symbol has some of them."""

    type: Literal["instrument"] = "instrument"
    """The type of the event: `instrument`."""
    seq: int = 0
    """Always 0: instruments are in a hash, not on a channel."""
    prev: int = 0
    """Always 0, for the same reason."""
    asset: str
    """Asset class: `FUTURE`, `EQUITY`, `INDEX`, `OPTION`, `FUTURE_OPTION` or `FOREX`."""

    description: str | None = None
    """Name of the instrument."""
    asset_main_type: str | None = None
    """Schwab's asset class, such as `EQUITY`."""
    asset_sub_type: str | None = None
    """Schwab's subclass, such as `COE` or `ETF`."""
    cusip: str | None = None
    """CUSIP number."""
    exchange_id: str | None = None
    """Id of the listing exchange, one character."""
    exchange_name: str | None = None
    """Name of the listing exchange; for futures the market identifier code, such as `XCME`."""
    product: str | None = None
    """Product of a future, such as `/MNQ`, or of a currency pair."""
    is_tradable: bool | None = None
    """Whether Schwab marks the instrument as tradable."""
    trading_hours: str | None = None
    """Trading hours, as text to display."""
    tick: float | None = None
    """Tick size, in price units."""
    tick_amount: float | None = None
    """Value of one tick of one contract: tick size times multiplier."""
    multiplier: float | None = None
    """Contract multiplier."""
    digits: int | None = None
    """Decimal places of prices."""
    price_format: str | None = None
    """Format of a future's prices: `D,D` for decimals, `3,32` for 32nds."""

    active_contract: str | None = None
    """The contract that a futures root refers to now, such as `/MNQZ26`."""
    is_active: bool | None = None
    """Whether a future is active."""
    is_quoted_in_session: bool | None = None
    """Whether a future is quoted in the current trading session."""
    settlement_price: float | None = None
    """Settlement price."""
    settlement_date: int | None = None
    """Date of the settlement price, in milliseconds since the Unix epoch, UTC."""
    expiration_date: int | None = None
    """Expiration of a future or an option on one, in milliseconds since the Unix epoch, UTC."""
    expiration_style: str | None = None
    """Expiration style, such as `Weeklys`."""

    underlying_symbol: str | None = None
    """Symbol of an option's underlying."""
    option_root: str | None = None
    """Root of an option, such as `SPXW`."""
    contract_type: str | None = None
    """`C` for a call, `P` for a put."""
    strike_price: float | None = None
    """Strike price."""
    expiration_year: int | None = None
    """Year in which an option expires."""
    expiration_month: int | None = None
    """Month in which an option expires, 1 to 12."""
    expiration_day: int | None = None
    """Day of the month on which an option expires."""
    days_to_expiration: int | None = None
    """Days until an option expires."""
    last_trading_day: int | None = None
    """Last trading day of an option, in milliseconds since the Unix epoch, UTC."""
    deliverables: str | None = None
    """What an option delivers, such as `100 AAPL`."""
    exercise_type: str | None = None
    """`A` for American exercise, `E` for European."""
    settlement_type: str | None = None
    """Settlement of an option: `A` in the morning, `P` in the afternoon."""
    uv_expiration_type: str | None = None
    """Kind of expiration as Schwab codes it, such as `S` for a standard one."""
    is_penny_pilot: bool | None = None
    """Whether an option belongs to the penny pilot, whose prices move in cents."""
    money_intrinsic_value: float | None = None
    """Intrinsic value of an option."""
    time_value: float | None = None
    """Time value of an option."""
    implied_yield: float | None = None
    """Implied yield of an option."""
    indicative_bid_price: float | None = None
    """Indicative bid price of an index option, outside regular hours."""
    indicative_ask_price: float | None = None
    """Indicative ask price of an index option, outside regular hours."""
    indicative_quote_time: int | None = None
    """Time of the indicative quote, in milliseconds since the Unix epoch, UTC."""

    high_price_52_week: float | None = None
    """Highest price of the last 52 weeks."""
    low_price_52_week: float | None = None
    """Lowest price of the last 52 weeks."""
    pe_ratio: float | None = None
    """Ratio of price to earnings."""
    dividend_amount: float | None = None
    """Annual dividend of one share."""
    dividend_yield: float | None = None
    """Annual dividend in percent of the price."""
    dividend_date: str | None = None
    """Date of the dividend, as Schwab writes it, such as `2026-11-10 00:00:00.0`."""
    nav: float | None = None
    """Net asset value of a fund's share."""
    is_marginable: bool | None = None
    """Whether a share can be bought on margin."""
    is_shortable: int | None = None
    """Whether a share can be sold short: 1, 0, or -1 for unknown."""
    is_hard_to_borrow: int | None = None
    """Whether a share is hard to borrow: 1, 0, or -1 for unknown."""
    hard_to_borrow_quantity: int | None = None
    """Shares available to borrow; -1 for unknown."""
    hard_to_borrow_rate: float | None = None
    """Cost of borrowing a share, as Schwab sends it."""

    mark_change: float | None = None
    """Mark price minus the previous close, in price units."""
    mark_percent_change: float | None = None
    """Change of the mark price in percent of the previous close."""
    regular_market_last_price: float | None = None
    """Price of the last trade in regular hours."""
    regular_market_last_size: int | None = None
    """Size of the last trade in regular hours, in shares."""
    regular_market_trade_time: int | None = None
    """Time of the last trade in regular hours, in milliseconds since the Unix epoch, UTC."""
    regular_market_net_change: float | None = None
    """Net change in regular hours, in price units."""
    regular_market_percent_change: float | None = None
    """Net change in regular hours, in percent of the previous close."""
    is_regular_market_quote: bool | None = None
    """Whether the last quote was made in regular hours."""
    is_regular_market_trade: bool | None = None
    """Whether the last trade was made in regular hours."""
    post_market_net_change: float | None = None
    """Net change after regular hours, in price units."""
    post_market_percent_change: float | None = None
    """Net change after regular hours, in percent."""

    bid_id: str | None = None
    """Exchange of the best bid, one character."""
    ask_id: str | None = None
    """Exchange of the best ask, one character."""
    last_id: str | None = None
    """Exchange of the last trade, one character."""
    bid_mic_id: str | None = None
    """Market identifier code of the best bid, such as `XNAS`."""
    ask_mic_id: str | None = None
    """Market identifier code of the best ask, such as `XNAS`."""
    last_mic_id: str | None = None
    """Market identifier code of the last trade, such as `XADF`."""
    market_maker: str | None = None
    """Market maker of a currency pair."""
    bid_time: int | None = None
    """Time of the best bid, in milliseconds since the Unix epoch, UTC."""
    ask_time: int | None = None
    """Time of the best ask, in milliseconds since the Unix epoch, UTC."""
    last_size_fractional: float | None = None
    """Size of the last trade with fractions, in shares."""
    bid_size_fractional: float | None = None
    """Size at the best bid with fractions, in shares."""
    ask_size_fractional: float | None = None
    """Size at the best ask with fractions, in shares."""
    total_volume_fractional: float | None = None
    """Volume of the trading day with fractions, in shares."""
    unknown_53: int | None = None
    """Field 53 of equities, whose meaning is unknown."""
