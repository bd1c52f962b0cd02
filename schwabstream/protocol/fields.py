"""The numbered fields of every streamer service: their names and kinds of value.

Transcribed from the streamer guide and corrected by observed frames (protocol 4.1 to 4.11).
One meaning has one name in every service: ``bid_price`` is field 1 of futures and field 2 of options. A name
never means two kinds of value. Does not check values.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schwabstream.protocol.values import Kind


class Service(StrEnum):
    """A streamer service by its name on the wire; services that Schwab refuses to everyone are not listed."""

    ADMIN = "ADMIN"
    LEVELONE_EQUITIES = "LEVELONE_EQUITIES"
    LEVELONE_OPTIONS = "LEVELONE_OPTIONS"
    LEVELONE_FUTURES = "LEVELONE_FUTURES"
    LEVELONE_FUTURES_OPTIONS = "LEVELONE_FUTURES_OPTIONS"
    LEVELONE_FOREX = "LEVELONE_FOREX"
    NYSE_BOOK = "NYSE_BOOK"
    NASDAQ_BOOK = "NASDAQ_BOOK"
    OPTIONS_BOOK = "OPTIONS_BOOK"
    FUTURES_BOOK = "FUTURES_BOOK"
    CHART_EQUITY = "CHART_EQUITY"
    CHART_FUTURES = "CHART_FUTURES"
    SCREENER_EQUITY = "SCREENER_EQUITY"
    SCREENER_OPTION = "SCREENER_OPTION"
    ACCT_ACTIVITY = "ACCT_ACTIVITY"


@dataclass(frozen=True, slots=True)
class Field:
    """One numbered field: ``name`` is ours, ``official`` the guide's (empty where the guide has none)."""

    number: int
    name: str
    kind: Kind
    official: str
    note: str = ""


# fmt: off
_EQUITIES: Final = (
    Field(0, "symbol", Kind.TEXT, "Symbol", "comes as key"),
    Field(1, "bid_price", Kind.FLOAT, "Bid Price"),
    Field(2, "ask_price", Kind.FLOAT, "Ask Price"),
    Field(3, "last_price", Kind.FLOAT, "Last Price"),
    Field(4, "bid_size", Kind.INT, "Bid Size", "lots in the guide, shares on the wire since 2025 (trap T15)"),
    Field(5, "ask_size", Kind.INT, "Ask Size", "as field 4 (trap T15)"),
    Field(6, "ask_id", Kind.CHAR, "Ask ID", "ask before bid here, the reverse of futures (protocol 4.11)"),
    Field(7, "bid_id", Kind.CHAR, "Bid ID"),
    Field(8, "total_volume", Kind.INT, "Total Volume", "zeroed 07:28 Eastern"),
    Field(9, "last_size", Kind.INT, "Last Size"),
    Field(10, "high_price", Kind.FLOAT, "High Price", "0 until a regular-session trade"),
    Field(11, "low_price", Kind.FLOAT, "Low Price", "0 until a regular-session trade"),
    Field(12, "close_price", Kind.FLOAT, "Close Price"),
    Field(13, "exchange_id", Kind.CHAR, "Exchange ID"),
    Field(14, "is_marginable", Kind.FLAG, "Marginable"),
    Field(15, "description", Kind.TEXT, "Description"),
    Field(16, "last_id", Kind.CHAR, "Last ID"),
    Field(17, "open_price", Kind.FLOAT, "Open Price", "0 or absent before the open"),
    Field(18, "net_change", Kind.FLOAT, "Net Change"),
    Field(19, "high_price_52_week", Kind.FLOAT, "52 Week High"),
    Field(20, "low_price_52_week", Kind.FLOAT, "52 Week Low"),
    Field(21, "pe_ratio", Kind.FLOAT, "PE Ratio"),
    Field(22, "dividend_amount", Kind.FLOAT, "Annual Dividend Amount"),
    Field(23, "dividend_yield", Kind.FLOAT, "Dividend Yield"),
    Field(24, "nav", Kind.FLOAT, "NAV"),
    Field(25, "exchange_name", Kind.TEXT, "Exchange Name"),
    Field(26, "dividend_date", Kind.TEXT, "Dividend Date"),
    Field(27, "is_regular_market_quote", Kind.FLAG, "Regular Market Quote"),
    Field(28, "is_regular_market_trade", Kind.FLAG, "Regular Market Trade"),
    Field(29, "regular_market_last_price", Kind.FLOAT, "Regular Market Last Price"),
    Field(30, "regular_market_last_size", Kind.INT, "Regular Market Last Size"),
    Field(31, "regular_market_net_change", Kind.FLOAT, "Regular Market Net Change"),
    Field(32, "security_status", Kind.TEXT, "Security Status", "Normal, Halted, Closed, Unknown"),
    Field(33, "mark", Kind.FLOAT, "Mark Price"),
    Field(34, "quote_time", Kind.INT, "Quote Time in Long"),
    Field(35, "trade_time", Kind.INT, "Trade Time in Long"),
    Field(36, "regular_market_trade_time", Kind.INT, "Regular Market Trade Time in Long"),
    Field(37, "bid_time", Kind.INT, "Bid Time"),
    Field(38, "ask_time", Kind.INT, "Ask Time"),
    Field(39, "ask_mic_id", Kind.TEXT, "Ask MIC ID"),
    Field(40, "bid_mic_id", Kind.TEXT, "Bid MIC ID"),
    Field(41, "last_mic_id", Kind.TEXT, "Last MIC ID"),
    Field(42, "percent_change", Kind.FLOAT, "Net Percent Change", "a percentage (trap T16)"),
    Field(43, "regular_market_percent_change", Kind.FLOAT, "Regular Market Percent Change"),
    Field(44, "mark_change", Kind.FLOAT, "Mark Price Net Change"),
    Field(45, "mark_percent_change", Kind.FLOAT, "Mark Price Percent Change"),
    Field(46, "hard_to_borrow_quantity", Kind.INT, "Hard to Borrow Quantity", "-1 is unknown"),
    Field(47, "hard_to_borrow_rate", Kind.FLOAT, "Hard To Borrow Rate"),
    Field(48, "is_hard_to_borrow", Kind.INT, "Hard to Borrow", "1, 0, -1 is unknown"),
    Field(49, "is_shortable", Kind.INT, "shortable", "1, 0, -1 is unknown"),
    Field(50, "post_market_net_change", Kind.FLOAT, "Post-Market Net Change"),
    Field(51, "post_market_percent_change", Kind.FLOAT, "Post-Market Percent Change"),
    Field(52, "last_size_fractional", Kind.FLOAT, "", "beyond the guide, sent when asked (protocol 4.1)"),
    Field(53, "unknown_53", Kind.INT, "", "beyond the guide, meaning unknown, in snapshots only"),
    Field(54, "total_volume_fractional", Kind.FLOAT, "", "beyond the guide"),
    Field(55, "bid_size_fractional", Kind.FLOAT, "", "beyond the guide"),
    Field(56, "ask_size_fractional", Kind.FLOAT, "", "beyond the guide"),
)

_OPTIONS: Final = (
    Field(0, "symbol", Kind.TEXT, "Symbol"),
    Field(1, "description", Kind.TEXT, "Description"),
    Field(2, "bid_price", Kind.FLOAT, "Bid Price"),
    Field(3, "ask_price", Kind.FLOAT, "Ask Price"),
    Field(4, "last_price", Kind.FLOAT, "Last Price"),
    Field(5, "high_price", Kind.FLOAT, "High Price"),
    Field(6, "low_price", Kind.FLOAT, "Low Price"),
    Field(7, "close_price", Kind.FLOAT, "Close Price"),
    Field(8, "total_volume", Kind.INT, "Total Volume"),
    Field(9, "open_interest", Kind.INT, "Open Interest"),
    Field(10, "implied_volatility", Kind.FLOAT, "Volatility"),
    Field(11, "money_intrinsic_value", Kind.FLOAT, "Money Intrinsic Value"),
    Field(12, "expiration_year", Kind.INT, "Expiration Year"),
    Field(13, "multiplier", Kind.FLOAT, "Multiplier"),
    Field(14, "digits", Kind.INT, "Digits"),
    Field(15, "open_price", Kind.FLOAT, "Open Price"),
    Field(16, "bid_size", Kind.INT, "Bid Size"),
    Field(17, "ask_size", Kind.INT, "Ask Size"),
    Field(18, "last_size", Kind.INT, "Last Size"),
    Field(19, "net_change", Kind.FLOAT, "Net Change"),
    Field(20, "strike_price", Kind.FLOAT, "Strike Price", "schwab-py calls it STRIKE_TYPE (protocol 4.11)"),
    Field(21, "contract_type", Kind.CHAR, "Contract Type"),
    Field(22, "underlying_symbol", Kind.TEXT, "Underlying"),
    Field(23, "expiration_month", Kind.INT, "Expiration Month"),
    Field(24, "deliverables", Kind.TEXT, "Deliverables"),
    Field(25, "time_value", Kind.FLOAT, "Time Value"),
    Field(26, "expiration_day", Kind.INT, "Expiration Day"),
    Field(27, "days_to_expiration", Kind.INT, "Days to Expiration"),
    Field(28, "delta", Kind.FLOAT, "Delta", "-999 is unknown, greeks alike (trap T14)"),
    Field(29, "gamma", Kind.FLOAT, "Gamma"),
    Field(30, "theta", Kind.FLOAT, "Theta"),
    Field(31, "vega", Kind.FLOAT, "Vega"),
    Field(32, "rho", Kind.FLOAT, "Rho"),
    Field(33, "security_status", Kind.TEXT, "Security Status"),
    Field(34, "theoretical_value", Kind.FLOAT, "Theoretical Option Value"),
    Field(35, "underlying_price", Kind.FLOAT, "Underlying Price"),
    Field(36, "uv_expiration_type", Kind.CHAR, "UV Expiration Type"),
    Field(37, "mark", Kind.FLOAT, "Mark Price"),
    Field(38, "quote_time", Kind.INT, "Quote Time in Long"),
    Field(39, "trade_time", Kind.INT, "Trade Time in Long"),
    Field(40, "exchange_id", Kind.CHAR, "Exchange"),
    Field(41, "exchange_name", Kind.TEXT, "Exchange Name"),
    Field(42, "last_trading_day", Kind.INT, "Last Trading Day"),
    Field(43, "settlement_type", Kind.CHAR, "Settlement Type"),
    Field(44, "percent_change", Kind.FLOAT, "Net Percent Change"),
    Field(45, "mark_change", Kind.FLOAT, "Mark Price Net Change"),
    Field(46, "mark_percent_change", Kind.FLOAT, "Mark Price Percent Change"),
    Field(47, "implied_yield", Kind.FLOAT, "Implied Yield"),
    Field(48, "is_penny_pilot", Kind.FLAG, "isPennyPilot"),
    Field(49, "option_root", Kind.TEXT, "Option Root"),
    Field(50, "high_price_52_week", Kind.FLOAT, "52 Week High"),
    Field(51, "low_price_52_week", Kind.FLOAT, "52 Week Low"),
    Field(52, "indicative_ask_price", Kind.FLOAT, "Indicative Ask Price", "index options only"),
    Field(53, "indicative_bid_price", Kind.FLOAT, "Indicative Bid Price", "index options only"),
    Field(54, "indicative_quote_time", Kind.INT, "Indicative Quote Time", "index options only"),
    Field(55, "exercise_type", Kind.CHAR, "Exercise Type"),
)

_FUTURES: Final = (
    Field(0, "symbol", Kind.TEXT, "Symbol", "comes as key"),
    Field(1, "bid_price", Kind.FLOAT, "Bid Price"),
    Field(2, "ask_price", Kind.FLOAT, "Ask Price"),
    Field(3, "last_price", Kind.FLOAT, "Last Price"),
    Field(4, "bid_size", Kind.INT, "Bid Size", "contracts"),
    Field(5, "ask_size", Kind.INT, "Ask Size", "contracts"),
    Field(6, "bid_id", Kind.CHAR, "Bid ID"),
    Field(7, "ask_id", Kind.CHAR, "Ask ID"),
    Field(8, "total_volume", Kind.INT, "Total Volume"),
    Field(9, "last_size", Kind.INT, "Last Size"),
    Field(10, "quote_time", Kind.INT, "Quote Time"),
    Field(11, "trade_time", Kind.INT, "Trade Time"),
    Field(12, "high_price", Kind.FLOAT, "High Price"),
    Field(13, "low_price", Kind.FLOAT, "Low Price"),
    Field(14, "close_price", Kind.FLOAT, "Close Price"),
    Field(15, "exchange_id", Kind.CHAR, "Exchange ID"),
    Field(16, "description", Kind.TEXT, "Description", "'Symbol not found' for an unknown symbol (trap T5)"),
    Field(17, "last_id", Kind.CHAR, "Last ID"),
    Field(18, "open_price", Kind.FLOAT, "Open Price"),
    Field(19, "net_change", Kind.FLOAT, "Net Change"),
    Field(20, "percent_change", Kind.FLOAT, "Future Percent Change", "a percentage, unlike the guide (trap T16)"),
    Field(21, "exchange_name", Kind.TEXT, "Exchange Name", "the market identifier code, XCME"),
    Field(22, "security_status", Kind.TEXT, "Security Status", "Normal, Halted, Closed, Unknown"),
    Field(23, "open_interest", Kind.INT, "Open Interest"),
    Field(24, "mark", Kind.FLOAT, "Mark"),
    Field(25, "tick", Kind.FLOAT, "Tick"),
    Field(26, "tick_amount", Kind.FLOAT, "Tick Amount", "tick times multiplier"),
    Field(27, "product", Kind.TEXT, "Product"),
    Field(28, "price_format", Kind.TEXT, "Future Price Format", "D,D is decimal; 3,32 is 32nds"),
    Field(29, "trading_hours", Kind.TEXT, "Future Trading Hours", "display text; do not parse"),
    Field(30, "is_tradable", Kind.FLAG, "Future Is Tradable"),
    Field(31, "multiplier", Kind.FLOAT, "Future Multiplier"),
    Field(32, "is_active", Kind.FLAG, "Future Is Active"),
    Field(33, "settlement_price", Kind.FLOAT, "Future Settlement Price"),
    Field(34, "active_contract", Kind.TEXT, "Future Active Symbol", "current contract of a root (trap T18)"),
    Field(35, "expiration_date", Kind.INT, "Future Expiration Date", "ms since the epoch"),
    Field(36, "expiration_style", Kind.TEXT, "Expiration Style"),
    Field(37, "ask_time", Kind.INT, "Ask Time"),
    Field(38, "bid_time", Kind.INT, "Bid Time"),
    Field(39, "is_quoted_in_session", Kind.FLAG, "Quoted In Session"),
    Field(40, "settlement_date", Kind.INT, "Settlement Date", "ms since the epoch"),
)

_FUTURES_OPTIONS: Final = (
    Field(0, "symbol", Kind.TEXT, "Symbol"),
    Field(1, "bid_price", Kind.FLOAT, "Bid Price"),
    Field(2, "ask_price", Kind.FLOAT, "Ask Price"),
    Field(3, "last_price", Kind.FLOAT, "Last Price"),
    Field(4, "bid_size", Kind.INT, "Bid Size"),
    Field(5, "ask_size", Kind.INT, "Ask Size"),
    Field(6, "bid_id", Kind.CHAR, "Bid ID", "sent as its code: 63 is ?"),
    Field(7, "ask_id", Kind.CHAR, "Ask ID", "sent as its code: 63 is ?"),
    Field(8, "total_volume", Kind.INT, "Total Volume"),
    Field(9, "last_size", Kind.INT, "Last Size"),
    Field(10, "quote_time", Kind.INT, "Quote Time"),
    Field(11, "trade_time", Kind.INT, "Trade Time"),
    Field(12, "high_price", Kind.FLOAT, "High Price"),
    Field(13, "low_price", Kind.FLOAT, "Low Price"),
    Field(14, "close_price", Kind.FLOAT, "Close Price"),
    Field(15, "last_id", Kind.CHAR, "Last ID", "sent as its code: 63 is ?"),
    Field(16, "description", Kind.TEXT, "Description"),
    Field(17, "open_price", Kind.FLOAT, "Open Price"),
    Field(18, "open_interest", Kind.INT, "Open Interest", "typed double in the guide"),
    Field(19, "mark", Kind.FLOAT, "Mark"),
    Field(20, "tick", Kind.FLOAT, "Tick"),
    Field(21, "tick_amount", Kind.FLOAT, "Tick Amount"),
    Field(22, "multiplier", Kind.FLOAT, "Future Multiplier"),
    Field(23, "settlement_price", Kind.FLOAT, "Future Settlement Price"),
    Field(24, "underlying_symbol", Kind.TEXT, "Underlying Symbol"),
    Field(25, "strike_price", Kind.FLOAT, "Strike Price"),
    Field(26, "expiration_date", Kind.INT, "Future Expiration Date", "ms since the epoch"),
    Field(27, "expiration_style", Kind.TEXT, "Expiration Style"),
    Field(28, "contract_type", Kind.CHAR, "Contract Type"),
    Field(29, "security_status", Kind.TEXT, "Security Status"),
    Field(30, "exchange_id", Kind.CHAR, "Exchange"),
    Field(31, "exchange_name", Kind.TEXT, "Exchange Name"),
)

_FOREX: Final = (
    Field(0, "symbol", Kind.TEXT, "Symbol"),
    Field(1, "bid_price", Kind.FLOAT, "Bid Price"),
    Field(2, "ask_price", Kind.FLOAT, "Ask Price"),
    Field(3, "last_price", Kind.FLOAT, "Last Price"),
    Field(4, "bid_size", Kind.INT, "Bid Size"),
    Field(5, "ask_size", Kind.INT, "Ask Size"),
    Field(6, "total_volume", Kind.INT, "Total Volume"),
    Field(7, "last_size", Kind.INT, "Last Size"),
    Field(8, "quote_time", Kind.INT, "Quote Time"),
    Field(9, "trade_time", Kind.INT, "Trade Time"),
    Field(10, "high_price", Kind.FLOAT, "High Price"),
    Field(11, "low_price", Kind.FLOAT, "Low Price"),
    Field(12, "close_price", Kind.FLOAT, "Close Price"),
    Field(13, "exchange_id", Kind.CHAR, "Exchange"),
    Field(14, "description", Kind.TEXT, "Description"),
    Field(15, "open_price", Kind.FLOAT, "Open Price"),
    Field(16, "net_change", Kind.FLOAT, "Net Change"),
    Field(17, "percent_change", Kind.FLOAT, "Percent Change"),
    Field(18, "exchange_name", Kind.TEXT, "Exchange Name"),
    Field(19, "digits", Kind.INT, "Digits"),
    Field(20, "security_status", Kind.TEXT, "Security Status"),
    Field(21, "tick", Kind.FLOAT, "Tick"),
    Field(22, "tick_amount", Kind.FLOAT, "Tick Amount"),
    Field(23, "product", Kind.TEXT, "Product"),
    Field(24, "trading_hours", Kind.TEXT, "Trading Hours"),
    Field(25, "is_tradable", Kind.FLAG, "Is Tradable"),
    Field(26, "market_maker", Kind.TEXT, "Market Maker"),
    Field(27, "high_price_52_week", Kind.FLOAT, "52 Week High"),
    Field(28, "low_price_52_week", Kind.FLOAT, "52 Week Low"),
    Field(29, "mark", Kind.FLOAT, "Mark"),
)

_BOOK: Final = (
    Field(0, "symbol", Kind.TEXT, "Symbol"),
    Field(1, "book_time", Kind.INT, "Market Snapshot Time", "ms since the epoch"),
    Field(2, "bids", Kind.LIST, "Bid Side Levels", "levels, best first"),
    Field(3, "asks", Kind.LIST, "Ask Side Levels", "levels, best first"),
)

_CHART_EQUITY: Final = (
    Field(0, "symbol", Kind.TEXT, "key"),
    Field(1, "sequence", Kind.INT, "Sequence", "minutes since 07:00 Eastern; published as Open Price"),
    Field(2, "open_price", Kind.FLOAT, "Open Price", "published as High Price"),
    Field(3, "high_price", Kind.FLOAT, "High Price", "published as Low Price"),
    Field(4, "low_price", Kind.FLOAT, "Low Price", "published as Close Price"),
    Field(5, "close_price", Kind.FLOAT, "Close Price", "published as Volume"),
    Field(6, "volume", Kind.FLOAT, "Volume", "published as Sequence"),
    Field(7, "chart_time", Kind.INT, "Chart Time", "bar start, ms since the epoch"),
    Field(8, "chart_day", Kind.INT, "Chart Day", "days since 1970-01-01"),
)

_CHART_FUTURES: Final = (
    Field(0, "symbol", Kind.TEXT, "key"),
    Field(1, "chart_time", Kind.INT, "Chart Time", "bar start, ms since the epoch"),
    Field(2, "open_price", Kind.FLOAT, "Open Price"),
    Field(3, "high_price", Kind.FLOAT, "High Price"),
    Field(4, "low_price", Kind.FLOAT, "Low Price"),
    Field(5, "close_price", Kind.FLOAT, "Close Price"),
    Field(6, "volume", Kind.FLOAT, "Volume"),
)

_SCREENER: Final = (
    Field(0, "symbol", Kind.TEXT, "symbol"),
    Field(1, "timestamp", Kind.INT, "timestamp"),
    Field(2, "sort_field", Kind.TEXT, "sortField"),
    Field(3, "frequency", Kind.INT, "frequency"),
    Field(4, "items", Kind.LIST, "Items"),
)

_ACCOUNT_ACTIVITY: Final = (
    Field(0, "symbol", Kind.TEXT, "Subscription Key", "whatever the client subscribed with"),
    Field(1, "account", Kind.TEXT, "Account #"),
    Field(2, "message_type", Kind.TEXT, "Message Type", "SUBSCRIBED comes first"),
    Field(3, "message_data", Kind.TEXT, "Message Data", "JSON text, or empty"),
)
# fmt: on

FIELDS: Final[dict[Service, tuple[Field, ...]]] = {
    Service.ADMIN: (),
    Service.LEVELONE_EQUITIES: _EQUITIES,
    Service.LEVELONE_OPTIONS: _OPTIONS,
    Service.LEVELONE_FUTURES: _FUTURES,
    Service.LEVELONE_FUTURES_OPTIONS: _FUTURES_OPTIONS,
    Service.LEVELONE_FOREX: _FOREX,
    Service.NYSE_BOOK: _BOOK,
    Service.NASDAQ_BOOK: _BOOK,
    Service.OPTIONS_BOOK: _BOOK,
    Service.FUTURES_BOOK: _BOOK,
    Service.CHART_EQUITY: _CHART_EQUITY,
    Service.CHART_FUTURES: _CHART_FUTURES,
    Service.SCREENER_EQUITY: _SCREENER,
    Service.SCREENER_OPTION: _SCREENER,
    Service.ACCT_ACTIVITY: _ACCOUNT_ACTIVITY,
}
"""Every service's fields in ascending order; number 0, the symbol, is requested but arrives as ``key``."""


def field_numbers(service: Service) -> str:
    """The service's field numbers for SUBS, in ascending order and joined by commas (protocol 3.5)."""
    return ",".join(str(field.number) for field in FIELDS[service])
