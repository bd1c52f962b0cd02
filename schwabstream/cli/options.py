"""Options that several commands share, each described once."""

from typing import Annotated, Any

import typer

LOGIN, SOURCE, OUTPUT, RECORDING, PLAYBACK, STREAMERS = (
    "Login",
    "Source",
    "Output",
    "Recording",
    "Playback",
    "Other streamers",
)
"""Sections of a help page."""


def _add_up(context: typer.Context, parameter: typer.CallbackParam, value: int) -> int:
    """The sum of the option before and after the command: ``schwabstream -v stream run -v`` counts two."""
    total: int = context.meta.get(f"schwabstream.{parameter.name}", 0) + value
    context.meta[f"schwabstream.{parameter.name}"] = total
    return total


def flag(names: str, text: str, section: str | None = None, **rest: Any) -> Any:
    """An option without a value, in a section of the help page."""
    return value(names, "", text, section, **rest)


def value(names: str, placeholder: str, text: str, section: str | None = None, **rest: Any) -> Any:
    """An option with a value, which the help page shows as the placeholder."""
    return typer.Option(*names.split(), metavar=placeholder, help=text, rich_help_panel=section, **rest)


Symbols = Annotated[
    list[str] | None,
    value("--symbols -s", "A,B", "Stream these symbols instead of the configured ones; repeatable.", SOURCE),
]
Simulate = Annotated[
    bool,
    flag(
        "--simulate",
        "Use a simulated Schwab: no account, no network, invented prices that stay out of REDIS_URL.",
        SOURCE,
    ),
]
Redis = Annotated[str | None, value("--redis", "URL", "Use this Redis instead of REDIS_URL.", SOURCE)]
RedisOrEmbedded = Annotated[
    str | None,
    value(
        "--redis",
        "URL",
        "Use this Redis instead of REDIS_URL; 'embedded' starts one for the duration of the command.",
        OUTPUT,
    ),
]
Duration = Annotated[
    float | None, value("--duration", "SECONDS", "Stop after this many seconds of streaming.", SOURCE, min=0.1)
]
Json = Annotated[bool, flag("--json", "Write JSON lines to standard output.", OUTPUT)]
Rotate = Annotated[
    list[str] | None, value("--rotate", "1h|500MB", "Start a new file after this time or size; repeatable.", RECORDING)
]
Keep = Annotated[int | None, value("--keep", "N", "Keep only the newest N files of this recording.", RECORDING, min=1)]
Verbose = Annotated[
    int, flag("--verbose -v", "Log more detail; repeat for debug output.", count=True, callback=_add_up)
]
Quiet = Annotated[bool, flag("--quiet -q", "Show errors only.", callback=_add_up)]


def verbosity(verbose: int, *, quiet: bool) -> int:
    """The two options as one number: -1 errors only, 0 changes of state, 1 and 2 more detail."""
    return -1 if quiet else verbose


def split(lists: list[str] | None) -> list[str] | None:
    """Repeated comma-separated options as one list; None when none was given."""
    if lists is None:
        return None
    return [part.strip() for text in lists for part in text.split(",") if part.strip()]


def speed(text: str) -> float:
    """A factor, or ``max`` for as fast as possible."""
    try:
        factor = float("inf") if text == "max" else float(text)
    except ValueError:
        factor = 0.0
    if not factor > 0:
        raise typer.BadParameter(f"{text!r} is neither a factor such as 1 or 10 nor max", param_hint="--speed")
    return factor
