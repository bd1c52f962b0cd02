"""``schwabstream quote``, ``book`` and ``status``: look at the market, and at the streamer."""

from enum import StrEnum
from typing import Annotated

import typer

from schwabstream.cli import options
from schwabstream.cli.loading import loading

Once = Annotated[bool, typer.Option("--once", help="Show one snapshot and exit.")]
Updates = Annotated[int | None, typer.Option("--count", metavar="N", min=1, help="Stop after N updates.")]


class Sort(StrEnum):
    """What the quote table may be sorted by."""

    SYMBOL = "symbol"
    CHANGE = "change"
    VOLUME = "volume"
    AGE = "age"


def quote(
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL…", help="/MNQ:XCME AAPL '$SPX' EUR/USD …")],
    *,
    once: Once = False,
    json: options.Json = False,
    sort: Annotated[Sort | None, typer.Option("--sort", help="Sort the table; as written otherwise.")] = None,
    count: Updates = None,
    simulate: options.Simulate = False,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Watch prices: a live table on a terminal, lines in a pipe."""
    with loading():
        from schwabstream.commands import quotes

    quotes.quote(
        quotes.WatchOptions(
            symbols=symbols,
            once=once,
            json=json,
            sort=sort,
            updates=count,
            simulate=simulate,
            redis=redis,
            verbosity=options.verbosity(verbose, quiet=quiet),
        )
    )


def book(
    symbol: Annotated[str, typer.Argument(help="One symbol, such as NVDA or /NQ:XCME.")],
    *,
    depth: Annotated[int, typer.Option("--depth", min=1, max=50, help="Levels a side.")] = 10,
    venues: Annotated[bool, typer.Option("--venues", help="Also show who stands at each level.")] = False,
    once: Once = False,
    json: options.Json = False,
    count: Updates = None,
    simulate: options.Simulate = False,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Watch one order book: a live ladder on a terminal, lines in a pipe."""
    with loading():
        from schwabstream.commands import quotes

    quotes.book(
        quotes.WatchOptions(
            symbols=[symbol],
            depth=depth,
            venues=venues,
            once=once,
            json=json,
            updates=count,
            simulate=simulate,
            redis=redis,
            verbosity=options.verbosity(verbose, quiet=quiet),
        )
    )


def status(*, json: options.Json = False, redis: options.Redis = None) -> None:
    """Tell what the running streamer says of itself; exits 0 when it is healthy, else 4."""
    with loading():
        import asyncio

        from schwabstream.commands import quotes
        from schwabstream.terminal.status_page import print_status

    report = quotes.status(redis)
    asyncio.run(print_status(report, json=json))
    if report is None or not report.healthy:
        raise typer.Exit(4)


def add_to(app: typer.Typer) -> None:
    """Mount the three commands."""
    for command in (quote, book, status):
        app.command()(command)
