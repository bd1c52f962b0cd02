"""``schwabstream quote``, ``book`` and ``status``: show the market and the state of the streamer."""

from typing import Annotated, Literal

import typer

from schwabstream.cli import completion, options, pages
from schwabstream.cli.loading import loading

Once = Annotated[bool, options.flag("--once", "Show one snapshot and exit.", options.OUTPUT)]
Updates = Annotated[
    int | None,
    options.value(
        "--count",
        "N",
        "Stop after N updates.",
        options.OUTPUT,
        **options.number("--count", "a number of updates, 1 or more", int, 1),
    ),
]


def quote(
    symbols: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SYMBOL…",
            help="Watch these symbols, such as AAPL /MNQ:XCME '$SPX' EUR/USD, instead of all that are streamed.",
            autocompletion=completion.symbols,
        ),
    ] = None,
    *,
    once: Once = False,
    json: options.Json = False,
    sort: Annotated[
        Literal["symbol", "change", "volume", "age"] | None,
        options.value(
            "--sort",
            "COLUMN",
            "Sort the table by symbol, change, volume or age instead of the given order.",
            options.OUTPUT,
            **options.choice("--sort", "symbol", "change", "volume", "age"),
        ),
    ] = None,
    count: Updates = None,
    simulate: options.Simulate = False,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Watch prices: a live table on a terminal, lines in a pipe.

    Keys of the live table: arrows select a row, b opens its order book, s sorts, / filters, p pauses, ? lists all keys,
    q quits.
    """
    with loading():
        from schwabstream.commands import quotes

    verbosity = options.verbosity(verbose, quiet=quiet)
    wanted = quotes.WatchOptions(
        symbols or [], once=once, json=json, simulate=simulate, redis=redis, updates=count, verbosity=verbosity
    )
    quotes.quote(wanted, sort)


def book(
    symbol: Annotated[
        str,
        typer.Argument(
            metavar="SYMBOL",
            help="Watch this symbol, such as NVDA or /NQ:XCME.",
            autocompletion=completion.symbols,
        ),
    ],
    *,
    depth: Annotated[
        int,
        options.value(
            "--depth",
            "N",
            "Show N levels of each side.",
            options.OUTPUT,
            **options.number("--depth", "a number of levels from 1 to 50", int, 1, 50),
        ),
    ] = 10,
    venues: Annotated[bool, options.flag("--venues", "Also show the venues at each level.", options.OUTPUT)] = False,
    once: Once = False,
    json: options.Json = False,
    count: Updates = None,
    simulate: options.Simulate = False,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Watch one order book: a live ladder on a terminal, lines in a pipe.

    Keys of the live ladder: arrows scroll, c centres it again, p pauses, ? lists all keys, q quits.
    """
    with loading():
        from schwabstream.commands import quotes

    verbosity = options.verbosity(verbose, quiet=quiet)
    wanted = quotes.WatchOptions(
        [symbol], once=once, json=json, simulate=simulate, redis=redis, updates=count, verbosity=verbosity
    )
    quotes.book(wanted, depth, venues=venues)


def status(
    *,
    json: options.Json = False,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Show the report of the running streamer; exit 0 when it is healthy, 4 when not."""
    with loading():
        import asyncio

        from schwabstream.commands import quotes
        from schwabstream.terminal.status_page import print_status

    report = quotes.status(redis, options.verbosity(verbose, quiet=quiet))
    if json or not quiet:
        asyncio.run(print_status(report, json=json))
    if report is None or not report.healthy:
        raise typer.Exit(4)


def add_to(app: typer.Typer) -> None:
    """Make these commands part of ``schwabstream``."""
    quotes = ("schwabstream quote", "schwabstream quote AAPL NVDA /MNQ:XCME", "schwabstream quote AAPL --once --json")
    books = ("schwabstream book NVDA", "schwabstream book NVDA --depth 5 --once")
    pages.command(app, *quotes, section=pages.WATCH)(quote)
    pages.command(app, *books, section=pages.WATCH)(book)
    pages.command(app, "schwabstream status", "schwabstream status --json", section=pages.CHECK)(status)
