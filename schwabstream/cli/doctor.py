"""``schwabstream doctor``: runs the checks and shows the findings with their fixes."""

import sys
import textwrap
from typing import TYPE_CHECKING

import typer

from schwabstream.cli import options, pages
from schwabstream.escapes import safe
from schwabstream.output import show

if TYPE_CHECKING:
    from schwabstream.commands.doctor.findings import Diagnosis

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "unchecked": "dim"}


def add_to(app: typer.Typer) -> None:
    """Make the command part of ``schwabstream``."""
    pages.command(app, "schwabstream doctor", "schwabstream doctor --json", section=pages.CHECK)(doctor)


def doctor(
    *,
    simulate: options.Simulate = False,
    redis: options.RedisOrEmbedded = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Check everything that a run needs and name the fix for each failure.

    Safe while a streamer is running: it opens no streaming connection. With --quiet, only what needs a fix is shown.
    """
    import asyncio

    from schwabstream.commands.doctor.examine import examine
    from schwabstream.logs import configure_logging

    configure_logging("auto", verbosity=verbose - 1)
    diagnosis = asyncio.run(examine(simulate=simulate, redis=redis))
    if json:
        from json import dumps

        show(dumps(diagnosis.as_json()))
    else:
        print_diagnosis(diagnosis, fixes_only=quiet)
    raise typer.Exit(diagnosis.exit_code)


def print_diagnosis(diagnosis: "Diagnosis", *, fixes_only: bool) -> None:
    """Print the findings with their fixes; ``fixes_only`` leaves out those without a fix."""
    from rich.console import Console
    from rich.text import Text

    from schwabstream import __version__

    console = Console(soft_wrap=True, highlight=False)
    findings = [each for each in diagnosis.findings if each.fix or not fixes_only]
    if not fixes_only:
        console.print(Text(f"schwabstream {__version__}", "bold"))
    width = max((len(each.name) for each in findings), default=0)
    indent = " " * (width + 12)
    room = max(20, console.width - len(indent)) if console.is_terminal else sys.maxsize
    for each in findings:
        first, *rest = textwrap.wrap(safe(each.detail), room, break_on_hyphens=False) or [""]
        rest += textwrap.wrap(f"-> {safe(each.fix)}", room, break_on_hyphens=False) if each.fix else []
        verdict = Text(f"{each.verdict.value:9} ", _STYLES[each.verdict.value])
        console.print(Text.assemble(verdict, f"{each.name:{width}}  {first}"))
        for line in rest:
            console.print(Text(f"{indent}{line}"))
