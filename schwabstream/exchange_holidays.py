"""The exchanges' holidays, from the ``holidays`` package; slow to import, so call it from a thread."""

from schwabstream.schedule import Holidays


def load_holidays(year: int) -> tuple[Holidays, Holidays]:
    """New York's and Chicago's holidays from the year before to the year after."""
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
