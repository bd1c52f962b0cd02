"""``schwabstream stream …``: the main job from the command line."""

from pathlib import Path
from typing import Annotated

from schwabstream.cli import options, pages
from schwabstream.cli.loading import loading

app = pages.group(
    "Stream market data from Schwab into Redis, or record, replay and export it.",
    "schwabstream stream run --simulate",
    "schwabstream stream add NVDA",
)

SimulateFrom = Annotated[
    Path | None,
    options.value(
        "--simulate-from",
        "FILE",
        "Use a simulated Schwab that serves this recording at its original speed.",
        options.SOURCE,
    ),
]
JsonToo = Annotated[
    bool, options.flag("--json", "Also write every event to standard output as a JSON line.", options.OUTPUT)
]
Live = Annotated[
    bool, options.flag("--live/--no-live", "Show a live table when standard output is a terminal.", options.OUTPUT)
]
Record = Annotated[
    Path | None, options.value("--record", "FILE", "Also record every frame into this file.", options.RECORDING)
]
Standby = Annotated[
    bool,
    options.flag(
        "--standby/--no-standby",
        "Wait while another streamer holds this account and take over when it ends; or exit 6 at once.",
        options.STREAMERS,
    ),
]
TakeOver = Annotated[
    bool,
    options.flag(
        "--take-over",
        "Take the account from the streamer that holds it; that streamer stops publishing.",
        options.STREAMERS,
    ),
]
EnsureEnv = Annotated[
    bool,
    options.flag(
        "--ensure-env", "Check every required setting and file first; if any is missing, name them all and exit 2."
    ),
]


@pages.command(
    app,
    "schwabstream stream run --simulate",
    "schwabstream stream run --symbols AAPL,NVDA,/MNQ:XCME",
    "schwabstream stream run --redis embedded --record day.jsonl.zst",
)
def run(
    *,
    symbols: options.Symbols = None,
    duration: options.Duration = None,
    simulate: options.Simulate = False,
    simulate_from: SimulateFrom = None,
    redis: options.RedisToFill = None,
    json: JsonToo = False,
    live: Live = True,
    record: Record = None,
    rotate: options.Rotate = None,
    keep: options.Keep = None,
    standby: Standby = True,
    take_over: TakeOver = False,
    ensure_env: EnsureEnv = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Log in, subscribe and publish to Redis until stopped.

    Ctrl-C logs out, writes the queued events and exits 0; a second Ctrl-C stops at once.
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
            rotate=options.split(rotate) or [],
            keep=keep,
        )
    )
