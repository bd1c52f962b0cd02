"""The holidays of the exchanges, from the ``holidays`` package, which a child process loads.

The import takes most of a second and ten megabytes; in a child process it neither delays the stream nor stays in its
memory.
"""

import asyncio
import sys
from datetime import date

import orjson

from schwabstream.market.trading_hours import Holidays

TIMEOUT_S = 60.0
_MODULE = "schwabstream.commands.run.holidays"


def compute_holidays(year: int) -> tuple[Holidays, Holidays]:
    """New York's and Chicago's holidays from the year before to the year after; imports the package."""
    from holidays.financial.chicago_mercantile_exchange import ChicagoMercantileExchange
    from holidays.financial.ny_stock_exchange import NewYorkStockExchange

    years = range(year - 1, year + 2)
    new_york, chicago = (
        Holidays(
            closed=frozenset(exchange(years=years, categories=("public",))),
            half=frozenset(exchange(years=years, categories=("half_day",))),
        )
        for exchange in (NewYorkStockExchange, ChicagoMercantileExchange)
    )
    return new_york, chicago


async def load_holidays(year: int) -> tuple[Holidays, Holidays] | None:
    """The same, computed in a child process; None when the child fails."""
    from schwabstream.settings import foreign_environment

    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _MODULE,
        str(year),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=foreign_environment(),
        start_new_session=True,  # Ctrl-C is for the parent
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output, _ = await child.communicate()
    except TimeoutError:
        return None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        return None
    new_york, chicago = (
        Holidays(*(frozenset(map(date.fromisoformat, days)) for days in (exchange["closed"], exchange["half"])))
        for exchange in orjson.loads(output)
    )
    return new_york, chicago


def _print(year: int) -> None:
    exchanges = [
        {"closed": sorted(exchange.closed), "half": sorted(exchange.half)} for exchange in compute_holidays(year)
    ]
    sys.stdout.write(orjson.dumps(exchanges).decode())


if __name__ == "__main__":
    _print(int(sys.argv[1]))
