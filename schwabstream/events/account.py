"""AccountEvent: one message about an account, with account numbers masked."""

from typing import Literal

from pydantic import JsonValue

from schwabstream.events.base import MarketEvent


class AccountEvent(MarketEvent):
    """One message about an account, such as a new, filled or canceled order; account numbers are masked."""

    type: Literal["account"] = "account"
    """The type of the event: `account`."""
    symbol: str
    """The account, masked, such as `****6789`; only asterisks when Schwab does not name it."""
    key: str
    """The key of the subscription: `Account Activity`."""
    timestamp: int
    """Time of the frame, in milliseconds since the Unix epoch, UTC."""
    message_type: str
    """The type of the message as Schwab writes it, such as `OrderCreated`; the first is `SUBSCRIBED`."""
    order_id: str | None = None
    """Schwab's id of the order, which the REST API uses too; null when the message has none."""
    sequence: int | None = None
    """Schwab's number of the message on its connection; a jump shows a lost message."""
    message: JsonValue = None
    """The message with Schwab's names: decimals are numbers, and account numbers are masked. Null when it is empty."""
