"""Options that several commands share, each described once."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from schwabstream.cli import completion
from schwabstream.errors import ConfigurationError

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


def parsed(option: str, needs: str, parse: Callable[[Any], Any]) -> dict[str, Any]:
    """For ``value``: parse the option; where ``parse`` raises ``ValueError``, the error names what the option needs."""

    def parse_or_explain(given: Any) -> Any:
        try:
            return parse(given)
        except ValueError:
            raise ConfigurationError(f"{option} must be {needs}") from None

    return {"parser": parse_or_explain}


def number(
    option: str, needs: str, kind: type[float], lowest: float, highest: float = sys.float_info.max
) -> dict[str, Any]:
    """For ``value``: a number between two limits, both included."""

    def parse(given: Any) -> float:
        found = kind(given)
        if not lowest <= found <= highest:
            raise ValueError(found)
        return found

    return parsed(option, needs, parse)


def choice(option: str, *choices: str) -> dict[str, Any]:
    """For ``value``: one of these words."""
    needs = f"{', '.join(choices[:-1])} or {choices[-1]}"
    return parsed(option, needs, lambda given: choices[choices.index(given)])


def _not_blank(given: str) -> str:
    if not given.strip(" ,"):
        raise ValueError(given)
    return given


Symbols = Annotated[
    list[str] | None,
    value(
        "--symbols -s",
        "A,B",
        "Stream these symbols instead of the configured ones; repeatable.",
        SOURCE,
        autocompletion=completion.symbols,
    ),
]
Simulate = Annotated[
    bool,
    flag(
        "--simulate",
        "Use a simulated Schwab: no account, no network, invented prices that stay out of REDIS_URL.",
        SOURCE,
    ),
]
Redis = Annotated[
    str | None,
    value("--redis", "URL", "Use this Redis instead of REDIS_URL.", SOURCE, autocompletion=completion.redis),
]
_REDIS_OR_EMBEDDED = "Use this Redis instead of REDIS_URL; 'embedded' starts one for the duration of the command."
_EMBEDDED_COMPLETED = {"autocompletion": completion.redis_or_embedded}
RedisOrEmbedded = Annotated[str | None, value("--redis", "URL", _REDIS_OR_EMBEDDED, SOURCE, **_EMBEDDED_COMPLETED)]
RedisToFill = Annotated[str | None, value("--redis", "URL", _REDIS_OR_EMBEDDED, OUTPUT, **_EMBEDDED_COMPLETED)]
Duration = Annotated[
    float | None,
    value(
        "--duration",
        "SECONDS",
        "Stop after this many seconds of streaming.",
        SOURCE,
        **number("--duration", "a number of seconds, 0.1 or more, such as 30", float, 0.1),
    ),
]
Json = Annotated[bool, flag("--json", "Write JSON lines to standard output.", OUTPUT)]
Rotate = Annotated[
    list[str] | None,
    value(
        "--rotate",
        "1h|500MB",
        "Start a new file after this time or size; repeatable.",
        RECORDING,
        **parsed("--rotate", "a time such as 1h or a size such as 500MB", _not_blank),
    ),
]
Keep = Annotated[
    int | None,
    value(
        "--keep",
        "N",
        "Keep only the newest N files of this recording.",
        RECORDING,
        **number("--keep", "a number of files, 1 or more", int, 1),
    ),
]
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
    """A factor, or ``max`` for as fast as possible; raises ``ValueError`` for anything else."""
    factor = float("inf") if text == "max" else float(text)
    if not factor > 0:
        raise ValueError(text)
    return factor
