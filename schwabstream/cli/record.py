"""``schwabstream stream record``, ``replay`` and ``export``: recordings from the command line."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from schwabstream.cli import completion, options, pages
from schwabstream.output import show
from schwabstream.terminal.text import counted

File = Annotated[Path, typer.Argument(metavar="FILE", help="Record into this file, such as day.jsonl.zst.")]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE…", help="Read these recordings, or the parts of one, in any order.")
]


def add_to(app: typer.Typer) -> None:
    """Make these commands part of ``stream``."""
    for command, *examples in (
        (record, "schwabstream stream record day.jsonl.zst --symbols AAPL,/MNQ:XCME --duration 3600"),
        (
            replay,
            "schwabstream stream replay day.jsonl.zst --speed 10",
            "schwabstream stream replay day.jsonl.zst --speed max --json",
        ),
        (export, "schwabstream stream export day.jsonl.zst --to csv --out tables"),
    ):
        pages.command(app, *examples, section=pages.RECORDINGS)(command)


def record(
    file: File,
    *,
    symbols: options.Symbols = None,
    duration: options.Duration = None,
    simulate: options.Simulate = False,
    rotate: options.Rotate = None,
    keep: options.Keep = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Log in, subscribe and record every frame into FILE; publish nothing.

    Needs no Redis. While a streamer runs, use stream run --record FILE instead: Schwab allows one connection.
    An older recording of that name is renamed with its start time. Access tokens and account data are never written.
    """
    from schwabstream.commands.record import RecordOptions
    from schwabstream.commands.record import record as record_stream

    verbosity = options.verbosity(verbose, quiet=quiet)
    record_stream(
        RecordOptions(file, options.split(symbols), duration, simulate, options.split(rotate) or [], keep, verbosity)
    )


def replay(
    files: Files,
    *,
    speed: Annotated[
        float,
        options.value(
            "--speed",
            "N|max",
            "Set the playback speed: 1 is real time, max is unthrottled.",
            options.PLAYBACK,
            **options.parsed("--speed", "a factor such as 1 or 10, or max", options.speed),
        ),
    ] = 1.0,
    since: Annotated[
        str | None,
        options.value(
            "--from",
            "TIME",
            "Start at this time: 2026-11-21T09:30, 09:30, or +90s after the beginning.",
            options.PLAYBACK,
        ),
    ] = None,
    until: Annotated[str | None, options.value("--to", "TIME", "Stop at this time.", options.PLAYBACK)] = None,
    loop: Annotated[bool, options.flag("--loop", "Start again at the end, until stopped.", options.PLAYBACK)] = False,
    redis: Annotated[
        str | None,
        options.value(
            "--redis",
            "URL",
            "Use this Redis; 'embedded' (the default) starts one for the duration of the command.",
            options.OUTPUT,
            autocompletion=completion.redis_or_embedded,
        ),
    ] = None,
    json: options.Json = False,
    check: Annotated[
        Path | None,
        options.value(
            "--check", "FILE", "Compare the events with this output of --json; exit 1 if they differ.", options.OUTPUT
        ),
    ] = None,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Send a recording through the same pipeline as live data.

    Events go to the Redis named by --redis, else to an embedded one; with --json or --check alone, to no Redis.
    """
    from schwabstream.commands.replay import ReplayOptions
    from schwabstream.commands.replay import replay as replay_recording
    from schwabstream.logs import write_message

    verbosity = options.verbosity(verbose, quiet=quiet)
    result = replay_recording(ReplayOptions(files, speed, since, until, loop, redis, json, check, verbosity))
    if check is not None:
        for line in result.verdict():
            (write_message if json else show)(line)
        raise typer.Exit(result.difference is not None)


def export(
    files: Files,
    *,
    to: Annotated[
        Literal["parquet", "csv"],
        options.value(
            "--to",
            "parquet|csv",
            "Choose the format; parquet needs the extra 'export'.",
            **options.choice("--to", "parquet", "csv"),
        ),
    ] = "parquet",
    out: Annotated[Path, options.value("--out", "DIR", "Write the tables into this directory.")],
    force: Annotated[bool, options.flag("--force", "Replace files that exist.")] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Write the ticks, books and bars of recordings as tables."""
    from schwabstream.commands.export import export as export_recording

    verbosity = options.verbosity(verbose, quiet=quiet)
    exported = export_recording(files, to, out, replace=force, verbosity=verbosity)
    for path, rows in exported.rows.items():
        show(f"{path}: {counted(rows, 'row')}")
