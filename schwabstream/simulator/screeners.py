"""The screeners of the simulated market: its ten most active instruments by one measure (protocol 4.9)."""

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

from schwabstream.protocol.screeners import Screener, parse_screener
from schwabstream.simulator.instruments import CATALOGUE
from schwabstream.simulator.market import Market, Quote

_LISTED = 10
_MINUTES_A_DAY = 390
_EXCHANGES = {"NYSE": ("NYSE", "NYSE Arca"), "NASDAQ": ("NASDAQ",), "$COMPX": ("NASDAQ",)}
# Shares outside the catalogue: with them every market has at least ten.
_MORE_SHARES = ("C", "DIS", "GE", "INTC", "KO", "MARA", "NIO", "PFE", "PLTR", "SNAP", "SOFI", "T", "XOM")
_OVER_THE_COUNTER = ("FNMAS", "LVMUY", "NSRGY", "NTDOY", "RHHBY", "SFTBY", "SIEGY", "TCEHY", "TOELY", "VWAGY", "WMMVY")
_OPTION_ROOTS = {"SPXW": ("$SPX", 5), "SPY": ("SPY", 1), "QQQ": ("QQQ", 1), "NVDA": ("NVDA", 5)}
"""Root of an option, and the symbol of its underlying and the distance between strikes."""


class Screeners:
    """Lists of the most active instruments, whole at every update."""

    def __init__(self, market: Market, seed: int) -> None:
        self._market, self._seed = market, seed

    def entry(self, service: str, key: str) -> dict[str, Any] | None:
        """The current list of a key, as field numbers; None for a key that Schwab does not know."""
        screener = _screener(service, key)
        if screener is None:
            return None
        rows = [self._row(quote, screener.minutes) for quote in self.quotes(service, key)]
        total = {measure: max(1, sum(row[measure] for row in rows)) for measure in ("volume", "trades")}
        rows.sort(key=lambda row: _rank(row, screener.sort))
        measure = "trades" if screener.sort == "TRADES" else "volume"
        items = [_item(row, measure, total) for row in rows[:_LISTED]]
        return {"1": self._market.now_ms() - 300, "2": screener.sort, "3": screener.minutes, "4": items}

    def quotes(self, service: str, key: str) -> list[Quote]:
        """Every quote that competes for a place in the list of a key."""
        screener = _screener(service, key)
        if screener is None:
            return []
        market = screener.prefix
        symbols = self._options(market) if market.startswith("OPTION_") else _shares(market)
        quotes = (self._market.quote(symbol) for symbol in symbols)
        allowed = _EXCHANGES.get(market)
        return [each for each in quotes if each is not None and (not allowed or each.instrument.exchange in allowed)]

    def _options(self, market: str) -> Iterator[str]:
        """Options of the next Friday around the price of each underlying."""
        today = self._market.today()
        friday = today + dt.timedelta(days=(4 - today.weekday()) % 7)
        kinds = {"OPTION_PUT": "P", "OPTION_CALL": "C", "OPTION_ALL": "CP"}[market]
        for root, (underlying, step) in _OPTION_ROOTS.items():
            middle = round(CATALOGUE[underlying].price / step) * step
            for strike in range(middle - 2 * step, middle + 3 * step, step):
                for kind in kinds:
                    yield f"{root:<6}{friday:%y%m%d}{kind}{strike * 1000:08d}"

    def _row(self, quote: Quote, minutes: int) -> dict[str, Any]:
        it, values = quote.instrument, quote.values
        rng = random.Random(f"{self._seed}:{it.key}:{minutes}")
        share = min(1.0, minutes / _MINUTES_A_DAY * rng.uniform(0.5, 2.0)) if minutes else 1.0
        volume = int(values["total_volume"] * share)
        return {
            "symbol": it.key,
            "description": _option_name(quote) if it.asset == "OPTION" else it.description,
            "lastPrice": values["last_price"],
            "netChange": values["net_change"],
            # A fraction here, although level 1 has a percentage (protocol 4.9).
            "netPercentChange": round(values["percent_change"] / 100, 8),
            "volume": volume,
            "trades": int(volume / rng.uniform(50, 400)),
            "unusual": values["total_volume"] / max(1, it.volume),
        }


def _screener(service: str, key: str) -> Screener | None:
    """The parts of a key; None when the service does not have it."""
    screener = parse_screener(key)
    return screener if screener and screener.service == service else None


def _shares(market: str) -> tuple[str, ...]:
    if market == "OTCBB":
        return _OVER_THE_COUNTER
    return (*(key for key, each in CATALOGUE.items() if each.asset == "EQUITY"), *_MORE_SHARES)


def _rank(row: dict[str, Any], sort: str) -> float:
    """The smaller, the higher on the list."""
    match sort:
        case "VOLUME":
            return -float(row["volume"])
        case "TRADES":
            return -float(row["trades"])
        case "PERCENT_CHANGE_UP":
            return -float(row["netPercentChange"])
        case "PERCENT_CHANGE_DOWN":
            return float(row["netPercentChange"])
        case _:
            return -float(row["unusual"])


def _item(row: dict[str, Any], measure: str, total: dict[str, int]) -> dict[str, Any]:
    """One row as Schwab sends it: its share in percent of the market's volume or trades."""
    names = ("symbol", "description", "lastPrice", "netChange", "netPercentChange")
    return {
        **{name: row[name] for name in names},
        "marketShare": round(100 * row[measure] / total[measure], 8),
        "totalVolume": total["volume"],
        "volume": row["volume"],
        "trades": row["trades"],
    }


def _option_name(quote: Quote) -> str:
    """As recorded: ``SPXW   Dec 9 2025 6855.0 Call``."""
    it = quote.instrument
    expiry = it.expiry or dt.date.min
    return f"{it.key[:6]} {expiry:%b} {expiry.day} {expiry.year} {it.strike} {'Call' if it.kind == 'C' else 'Put'}"
