"""What a command begins with: its settings, its logs and its symbols."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import structlog

from schwabstream.clock import today
from schwabstream.logs import configure_logging
from schwabstream.protocol.symbols import Symbol, future_hints, parse_symbols
from schwabstream.settings import Settings, load_settings

log = structlog.get_logger(__name__)


def overrides_for(symbols: Sequence[str] | None, redis: str | None = None) -> dict[str, Any]:
    """The settings that ``--symbols`` and ``--redis`` replace; None keeps what is configured."""
    others: list[str] | None = None if symbols is None else []
    return {"schwab_symbols": symbols, "tastytrade_symbol_list": others, "redis_url": redis}


def settings_and_logs(verbosity: int, **overrides: Any) -> Settings:
    """The settings; from here on, logs have the configured format and the requested detail."""
    settings = load_settings(**overrides)
    configure_logging(settings.schwab_log_format, verbosity=verbosity)
    return settings


def symbols_of(texts: Sequence[str], on: date | None = None) -> list[Symbol]:
    """The symbols as Schwab names them; logs a hint for each stock that may be meant as a future."""
    symbols = parse_symbols(texts, on or today())
    for hint in future_hints(symbols):
        log.warning(hint)
    return symbols
