"""``schwabstream stream …``: the main job from the command line."""

from pathlib import Path
from typing import Annotated

import typer

from schwabstream.cli import options
from schwabstream.cli.loading import loading

app = typer.Typer(no_args_is_help=True, help="Stream market data from Schwab into Redis.")


@app.command()
def run(
    *,
    symbols: options.Symbols = None,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="S", min=0.1, help="Stop after this many seconds of streaming."),
    ] = None,
    simulate: options.Simulate = False,
    redis: options.RedisOrEmbedded = None,
    ensure_env: Annotated[
        bool,
        typer.Option(
            "--ensure-env", help="Check every needed setting and file first; exit 2 naming all that is missing."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Also write every event to stdout as a JSON line.")] = False,
    live: Annotated[bool, typer.Option("--live/--no-live", help="Show the live table (only on a terminal).")] = True,
    standby: Annotated[
        bool,
        typer.Option(
            "--standby/--no-standby", help="When another streamer has this account: wait and take over, or exit 6."
        ),
    ] = True,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the account from whichever streamer has it; that one stops.")
    ] = False,
    simulate_from: Annotated[
        Path | None,
        typer.Option(
            "--simulate-from", metavar="FILE", help="Simulated Schwab that serves this recording, at its own pace."
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Also record every frame into this file.")
    ] = None,
    rotate: options.Rotate = None,
    keep: options.Keep = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Log in, subscribe and publish to Redis until stopped.

    Ctrl-C logs out, writes what is left and exits 0; a second Ctrl-C stops at once.
    """
    with loading():
        from schwabstream.commands.run.compose import StreamOptions, stream

    stream(
        StreamOptions(
            symbols=options.split(symbols),
            duration_s=duration,
            simulate=simulate,
            redis=redis,
            ensure_env=ensure_env,
            json=json,
            live=live,
            verbosity=options.verbosity(verbose, quiet=quiet),
            standby=standby,
            take_over=take_over,
            simulate_from=simulate_from,
            record=record,
            rotation=options.rotation(rotate, keep),
        )
    )
