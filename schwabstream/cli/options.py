"""Options that several commands share, each described once."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from schwabstream.recording.rotation import Rotation

Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbols", "-s", metavar="A,B", help="Symbols to stream instead of the configured ones; repeatable."
    ),
]
Simulate = Annotated[
    bool,
    typer.Option(
        "--simulate",
        help="Use a simulated Schwab: no account, no network, made-up prices kept out of REDIS_URL.",
    ),
]
Redis = Annotated[str | None, typer.Option("--redis", metavar="URL", help="Redis to use instead of REDIS_URL.")]
RedisOrEmbedded = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL|embedded", help="Redis to use instead of REDIS_URL; 'embedded' starts one."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON lines to stdout.")]
Rotate = Annotated[
    list[str] | None,
    typer.Option("--rotate", metavar="1h|500MB", help="Go on in a new file after this time or size; repeatable."),
]
Keep = Annotated[
    int | None, typer.Option("--keep", metavar="N", min=1, help="Keep only the newest N files of this recording.")
]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Tell more; twice for debugging.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell only what went wrong.")]


def verbosity(verbose: int, *, quiet: bool) -> int:
    """The two options as one number: -1 errors only, 0 changes of state, 1 and 2 more."""
    return -1 if quiet else verbose


def split(lists: list[str] | None) -> list[str] | None:
    """Repeated comma-separated options as one list; None when none was given."""
    if lists is None:
        return None
    return [part.strip() for text in lists for part in text.split(",") if part.strip()]


def rotation(rotate: list[str] | None, keep: int | None) -> "Rotation | None":
    """``--rotate`` and ``--keep`` as one value, None when neither was given.

    Raises ``ConfigurationError`` for what is neither time nor size.
    """
    if rotate is None and keep is None:
        return None
    from schwabstream.recording.rotation import Rotation

    return Rotation.parse(split(rotate) or [], keep)


def speed(text: str) -> float:
    """A factor, or ``max`` for as fast as it goes."""
    try:
        factor = float("inf") if text == "max" else float(text)
    except ValueError:
        factor = 0.0
    if not factor > 0:
        raise typer.BadParameter(f"{text!r} is neither a factor such as 1 or 10 nor max", param_hint="--speed")
    return factor
