"""The movers of a market: the list of the screener with the same name (protocol 2.5)."""

from typing import Any

from schwabstream.protocol.fields import Service
from schwabstream.protocol.screeners import FREQUENCIES, SORTS
from schwabstream.simulator.rest.query import bad, choice
from schwabstream.simulator.screeners import Screeners
from schwabstream.simulator.web import Query

_SORTS = tuple(sort for sort in SORTS if sort != "AVERAGE_PERCENT_VOLUME")


def movers(screeners: Screeners, index: str, query: Query) -> dict[str, Any]:
    """The ten items that the streamer's screener has at this moment."""
    sort = choice(query, "sort", _SORTS, "VOLUME")
    frequency = choice(query, "frequency", FREQUENCIES, "0")
    service = Service.SCREENER_OPTION if index.startswith("OPTION") else Service.SCREENER_EQUITY
    entry = screeners.entry(service, f"{index}_{sort}_{frequency}")
    if entry is None:
        raise bad("symbol_id", f"no such index: {index}")
    return {"screeners": entry["4"]}
