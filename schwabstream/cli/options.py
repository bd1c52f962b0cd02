"""Options that several commands share, each described once."""

from typing import Annotated

import typer

Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbols", "-s", metavar="A,B", help="Symbols to stream instead of the configured ones; repeatable."
    ),
]
Simulate = Annotated[
    bool, typer.Option("--simulate", help="Use a simulated Schwab: no account, no network, made-up prices.")
]
Redis = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL|embedded", help="Redis to use instead of REDIS_URL; 'embedded' starts one."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON lines to stdout.")]
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
