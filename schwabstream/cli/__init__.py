"""The command line: parse, call one function, render once. ``main`` is where errors become messages and exit codes."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from schwabstream import __version__
from schwabstream.cli import auth, doctor, record, simulate, stream, watch
from schwabstream.errors import SchwabStreamError
from schwabstream.output import guarded_stdout, show

app = typer.Typer(
    name="schwabstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its panels could show a secret from a local variable
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Schwab market data, streamed reliably into Redis and your terminal.",
    epilog="Try it without an account: schwabstream stream run --simulate",
)
app.add_typer(auth.app, name="auth")
record.add_to(stream.app)
app.add_typer(stream.app, name="stream")
watch.add_to(app)
simulate.add_to(app)
doctor.add_to(app)


def _version(*, wanted: bool) -> None:
    if wanted:
        show(f"schwabstream {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=lambda wanted: _version(wanted=wanted), is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Schwab market data, streamed reliably into Redis and your terminal."""


def main(run: Callable[[], object] = app) -> None:
    """Run the command line and exit with the code of what happened (the contract's table)."""
    try:
        with guarded_stdout():
            run()
    except SchwabStreamError as error:
        from schwabstream.logs import write_message

        write_message(f"schwabstream: {error}")
        sys.exit(error.exit_code)
