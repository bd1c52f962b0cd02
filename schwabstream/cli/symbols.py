"""``schwabstream stream add``, ``remove`` and ``list``: the symbols of a running streamer."""

from typing import Annotated

import typer

from schwabstream.cli import completion, options, pages
from schwabstream.cli.loading import loading
from schwabstream.output import show


def add_to(app: typer.Typer) -> None:
    """Make these commands part of ``stream``."""
    for command, name, *examples in (
        (add, "add", "schwabstream stream add NVDA", "schwabstream stream add AAPL,MSFT /MNQ:XCME"),
        (remove, "remove", "schwabstream stream remove NVDA"),
        (list_symbols, "list", "schwabstream stream list", "schwabstream stream list --json"),
    ):
        pages.command(app, *examples, name=name)(command)


def add(
    symbols: Annotated[
        list[str],
        typer.Argument(
            metavar="SYMBOL…",
            help="Stream these symbols, such as NVDA /ES.",
            autocompletion=completion.symbols,
        ),
    ],
    *,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Add symbols to a running streamer, and wait until Schwab accepts or refuses each.

    They stay until removed, also when the streamer is restarted. A refused symbol leaves nothing behind: exit 6.
    """
    with loading():
        from schwabstream.commands import stream_symbols

    outcome = stream_symbols.add(symbols, redis, options.verbosity(verbose, quiet=quiet))
    for line in outcome.lines:
        show(line)
    if outcome.error is not None:
        raise outcome.error


def remove(
    symbols: Annotated[
        list[str],
        typer.Argument(
            metavar="SYMBOL…",
            help="Remove these symbols, such as NVDA /ES.",
            autocompletion=completion.added_symbols,
        ),
    ],
    *,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Remove symbols that were added to a running streamer.

    The streamer releases each a minute after its last reader has ended. Configured symbols stay: exit 2.
    """
    with loading():
        from schwabstream.commands import stream_symbols

    for line in stream_symbols.remove(symbols, redis, options.verbosity(verbose, quiet=quiet)):
        show(line)


def list_symbols(
    *,
    json: options.Json = False,
    redis: options.Redis = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """List the symbols of a running streamer: why each is streamed, its services, and any trouble."""
    with loading():
        import asyncio

        from schwabstream.commands import stream_symbols
        from schwabstream.terminal.symbol_list import print_symbols

    report = stream_symbols.report_of(redis, options.verbosity(verbose, quiet=quiet))
    asyncio.run(print_symbols(report, json=json))
