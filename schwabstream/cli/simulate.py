"""``schwabstream simulate``: runs the simulated Schwab as a server."""

from pathlib import Path
from typing import Annotated

import typer

from schwabstream.cli import options, pages
from schwabstream.output import show


def add_to(app: typer.Typer) -> None:
    """Make the command part of ``schwabstream``."""
    examples = ("schwabstream simulate", "schwabstream simulate day.jsonl.zst --speed 10 --loop")
    pages.command(app, *examples, section=pages.TEST)(simulate)


def simulate(
    recording: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Serve this recording instead of invented prices.")
    ] = None,
    *,
    port: Annotated[
        int,
        options.value(
            "--port",
            "PORT",
            "Listen on this port of 127.0.0.1; 0 picks one.",
            **options.number("--port", "a port from 0 to 65535", int, 0, 65535),
        ),
    ] = 8183,
    seed: Annotated[
        int,
        options.value(
            "--seed",
            "N",
            "Choose the prices: the same seed gives the same prices.",
            **options.parsed("--seed", "a whole number, such as 7", int),
        ),
    ] = 7,
    futures_depth: Annotated[
        bool, options.flag("--futures-depth", "Serve futures books, which the real Schwab does not.")
    ] = False,
    speed: Annotated[
        float,
        options.value(
            "--speed",
            "N",
            "Serve the recording N times as fast.",
            **options.number("--speed", "a factor of 0.01 or more, such as 10", float, 0.01),
        ),
    ] = 1.0,
    loop: Annotated[bool, options.flag("--loop", "Start the recording again at its end.")] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Serve Schwab's OAuth, REST and streamer on loopback, for any client, until stopped.

    All 13 streamer services have data; the orders of account activity are invented. Prints the settings that point a
    client at it, one NAME=value per line, including the path of a token file.
    """
    from schwabstream.commands.simulate import simulate as serve

    verbosity = options.verbosity(verbose, quiet=quiet)
    serve(
        show, recording, port=port, seed=seed, futures_depth=futures_depth, speed=speed, loop=loop, verbosity=verbosity
    )
