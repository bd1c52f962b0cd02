"""``schwabstream doctor``: what is wrong, and what to do about it."""

from typing import TYPE_CHECKING

import typer

from schwabstream.cli import options
from schwabstream.escapes import safe
from schwabstream.output import show

if TYPE_CHECKING:
    from schwabstream.commands.doctor.findings import Diagnosis

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "unchecked": "dim"}


def add_to(app: typer.Typer) -> None:
    """Mount the command."""
    app.command()(doctor)


def doctor(
    *,
    simulate: options.Simulate = False,
    redis: options.RedisOrEmbedded = None,
    json: options.Json = False,
    verbose: options.Verbose = 0,
) -> None:
    """Check everything a run needs and name the fix for each failure; safe beside a running streamer."""
    import asyncio

    from schwabstream.commands.doctor.examine import examine
    from schwabstream.logs import configure_logging

    configure_logging("auto", verbosity=verbose - 1)
    diagnosis = asyncio.run(examine(simulate=simulate, redis=redis))
    if json:
        from json import dumps

        show(dumps(diagnosis.as_json()))
    else:
        _show(diagnosis)
    raise typer.Exit(diagnosis.exit_code)


def _show(diagnosis: "Diagnosis") -> None:
    from rich.console import Console
    from rich.text import Text

    from schwabstream import __version__

    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(f"schwabstream {__version__}", "bold"))
    width = max(len(each.name) for each in diagnosis.findings)
    for each in diagnosis.findings:
        verdict = Text(f"{each.verdict.value:9} ", _STYLES[each.verdict.value])
        console.print(Text.assemble(verdict, f"{each.name:{width}}  {safe(each.detail)}"))
        if each.fix:
            console.print(Text(f"{'':{width + 12}}-> {safe(each.fix)}"))
