"""Options as the commands get them."""

import pytest
import typer
from typer.testing import CliRunner

from schwabstream.cli import options, pages


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, None),
        ([], []),
        (["/NQ:XCME"], ["/NQ:XCME"]),
        (["/NQ:XCME,/MES:XCME", "AAPL"], ["/NQ:XCME", "/MES:XCME", "AAPL"]),
        ([" AAPL , ,F,"], ["AAPL", "F"]),
    ],
)
def test_lists_may_be_repeated_and_comma_separated(given: list[str] | None, meant: list[str] | None) -> None:
    """Both ways give one list, blanks and empty parts dropped; not given stays not given."""
    assert options.split(given) == meant


@pytest.mark.parametrize(("verbose", "quiet", "number"), [(0, False, 0), (1, False, 1), (2, False, 2), (1, True, -1)])
def test_quiet_beats_verbose(verbose: int, quiet: bool, number: int) -> None:
    """One number selects the level of detail."""
    assert options.verbosity(verbose, quiet=quiet) == number


@pytest.mark.parametrize(("text", "factor"), [("1", 1.0), ("2.5", 2.5), ("max", float("inf"))])
def test_a_speed_is_a_factor_or_max(text: str, factor: float) -> None:
    """Any positive factor, or as fast as it goes."""
    assert options.speed(text) == factor


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", ""])
def test_an_invalid_speed_is_refused(text: str) -> None:
    """Words, nothing, nought and less are usage errors."""
    with pytest.raises(typer.BadParameter, match="neither a factor"):
        options.speed(text)


@pytest.mark.parametrize(
    ("words", "number"),
    [("run", 0), ("run -v", 1), ("-v run", 1), ("-v run -v", 2), ("-vv run -v", 3), ("-q run", -1), ("-v run -q", -1)],
)
def test_options_before_and_after_a_command_add_up(words: str, number: int) -> None:
    """-v and -q mean the same before and after the command, and count together."""
    app = pages.group("Try.", "try run")
    got: list[int] = []

    @app.callback()
    def root(*, verbose: options.Verbose = 0, quiet: options.Quiet = False) -> None:
        """Take the options of every command."""

    @pages.command(app, "try run")
    def run(*, verbose: options.Verbose = 0, quiet: options.Quiet = False) -> None:
        """Run."""
        got.append(options.verbosity(verbose, quiet=quiet))

    assert CliRunner().invoke(app, words.split()).exit_code == 0
    assert got == [number]
