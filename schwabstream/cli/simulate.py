"""``schwabstream simulate``: the simulated Schwab as a server of its own."""

from pathlib import Path
from typing import Annotated

import typer

from schwabstream.cli import options
from schwabstream.output import show


def add_to(app: typer.Typer) -> None:
    """Make the command part of ``schwabstream``."""
    app.command()(simulate)


def simulate(
    recording: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A recording to serve instead of made-up prices.")
    ] = None,
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0: a free one.")] = 8183,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same prices.")] = 7,
    futures_depth: Annotated[
        bool, typer.Option("--futures-depth", help="Serve futures books, which live Schwab does not.")
    ] = False,
    speed: Annotated[float, typer.Option("--speed", metavar="N", min=0.01, help="Pace of the recording.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin the recording again at its end.")] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Serve Schwab's OAuth, REST and streamer on loopback, for any client, until stopped.

    Prints the settings that point a client at it, one NAME=value a line, a token file's path among them.
    """
    from schwabstream.commands.simulate import SimulateOptions
    from schwabstream.commands.simulate import simulate as serve

    verbosity = options.verbosity(verbose, quiet=quiet)
    serve(SimulateOptions(recording, port, seed, futures_depth, speed, loop, verbosity), show)
