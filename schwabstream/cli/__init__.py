"""The command line: parse, call one function, render once. ``main`` is where errors become messages and exit codes."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from schwabstream import __version__
from schwabstream.cli import auth, doctor, options, pages, record, shells, simulate, stream, symbols, watch
from schwabstream.errors import SchwabStreamError
from schwabstream.output import guarded_stdout, show

app = pages.group(
    "Stream Schwab market data into Redis and onto your terminal.",
    "schwabstream stream run --simulate",
    "schwabstream quote AAPL --once --simulate",
    "schwabstream stream run --help",
    cls=shells.RootGroup,
    context_settings=pages.CONTEXT,
    pretty_exceptions_enable=False,  # its panels could show a secret from a local variable
)
app.add_typer(auth.app, name="auth", rich_help_panel=pages.LOGIN)
app.add_typer(stream.app, name="stream", rich_help_panel=pages.LOGIN)
symbols.add_to(stream.app)
record.add_to(stream.app)
watch.add_to(app)
doctor.add_to(app)
simulate.add_to(app)


def _version(*, wanted: bool) -> None:
    if wanted:
        show(f"schwabstream {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        options.flag(
            "--version -V", "Show the version and exit.", callback=lambda wanted: _version(wanted=wanted), is_eager=True
        ),
    ] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Take the options that every command has."""


def main(run: Callable[[], object] = app) -> None:
    """Run the command line and exit with its code (docs/reference/exit-codes.md)."""
    try:
        with guarded_stdout():
            run()
    except SchwabStreamError as error:
        from schwabstream.logs import write_message

        write_message(f"schwabstream: {error}")
        sys.exit(error.exit_code)
