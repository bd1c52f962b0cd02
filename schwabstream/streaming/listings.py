"""Asks Schwab for the exchange of each equity, which decides its book service (protocol 2.2)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from schwabstream.errors import ProtocolError, SchwabUnavailable
from schwabstream.protocol.symbols import Asset, Symbol

log = structlog.get_logger(__name__)

FetchQuotes = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]


async def find_listings(symbols: Sequence[Symbol], fetch: FetchQuotes) -> dict[str, str] | None:
    """The exchange codes by key, where Schwab names one; None without an answer, or without equities."""
    keys = list(dict.fromkeys(symbol.key for symbol in symbols if symbol.asset is Asset.EQUITY))
    if not keys:
        return None
    try:
        quotes = await fetch(keys)
    except (SchwabUnavailable, ProtocolError) as error:
        log.warning("listings unknown; subscribing equities at both book services", reason=str(error))
        return None
    exchanges = {key: _exchange(quotes.get(key)) for key in keys}
    return {key: exchange for key, exchange in exchanges.items() if exchange}


def _exchange(quote: Any) -> str | None:
    """The exchange code in one entry of the quotes endpoint."""
    reference = quote.get("reference") if isinstance(quote, dict) else None
    exchange = reference.get("exchange") if isinstance(reference, dict) else None
    return exchange if isinstance(exchange, str) else None
