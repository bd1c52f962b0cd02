"""``schwabstream stream record``, ``replay`` and ``export``: recordings from the command line."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from schwabstream.cli import options
from schwabstream.output import show

File = Annotated[Path, typer.Argument(metavar="FILE", help="The recording, such as day.jsonl.zst.")]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="A recording, or the files of one that was rotated, in any order.")
]


def add_to(app: typer.Typer) -> None:
    """Make these commands part of ``stream``."""
    for command in (record, replay, export):
        app.command()(command)


def record(
    file: File,
    *,
    symbols: options.Symbols = None,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="S", min=0.1, help="Stop after so many seconds of streaming."),
    ] = None,
    simulate: options.Simulate = False,
    rotate: options.Rotate = None,
    keep: options.Keep = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Log in, subscribe and keep every frame in FILE; publish nothing.

    Needs no Redis. Beside a running pipeline use stream run --record FILE instead: Schwab allows one connection.
    An older recording of that name is set aside under its date. Access tokens and account data are never written.
    """
    from schwabstream.commands.record import RecordOptions
    from schwabstream.commands.record import record as record_stream

    rotation = options.rotation(rotate, keep)
    verbosity = options.verbosity(verbose, quiet=quiet)
    record_stream(RecordOptions(file, rotation, options.split(symbols), duration, simulate, verbosity))


def replay(
    files: Files,
    *,
    speed: Annotated[str, typer.Option("--speed", metavar="1|N|max", help="How many times faster than then.")] = "1",
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Begin there: 2026-11-21T09:30, 09:30 or, from the start, +90s."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End there.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, until stopped.")] = False,
    redis: options.RedisOrEmbedded = None,
    json: Annotated[bool, typer.Option("--json", help="Write every event to stdout as a JSON line.")] = False,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="FILE.events", help="Compare with what --json wrote; exit 1 if it differs."),
    ] = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Send a recording through the same pipeline as live data.

    Events go to the Redis named by --redis; without it to an embedded one, or nowhere with --json or --check.
    """
    from schwabstream.commands.replay import ReplayOptions
    from schwabstream.commands.replay import replay as replay_recording
    from schwabstream.logs import write_message

    verbosity = options.verbosity(verbose, quiet=quiet)
    factor = options.speed(speed)
    result = replay_recording(ReplayOptions(files, factor, since, until, loop, redis, json, check, verbosity))
    if check is not None:
        for line in result.verdict():
            (write_message if json else show)(line)
        raise typer.Exit(result.difference is not None)


def export(
    files: Files,
    *,
    to: Annotated[Literal["parquet", "csv"], typer.Option(help="Parquet needs the extra 'export'.")] = "parquet",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for ticks, books and bars.")],
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Write a recording's ticks, books and bars as tables with typed columns."""
    from schwabstream.commands.export import export as export_recording

    verbosity = options.verbosity(verbose, quiet=quiet)
    exported = export_recording(files, to, out, replace=force, verbosity=verbosity)
    for path, rows in exported.rows.items():
        show(f"{path}: {rows} rows")
