"""Options as the commands get them."""

from typing import Any

import pytest
from typer.testing import CliRunner

from schwabstream.cli import app, options, pages
from schwabstream.errors import ConfigurationError


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
    with pytest.raises(ValueError):
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


REFUSED = [
    (f"{words}={value}", f"{words.split()[-1]} must be {needs}")
    for words, needs, values in (
        (
            "stream run --duration",
            "a number of seconds, 0.1 or more, such as 30",
            ("x", "", "0", "-1", "nan", "inf", "1e400", "\x1b[31m"),
        ),
        ("stream record day.jsonl --duration", "a number of seconds, 0.1 or more, such as 30", ("soon",)),
        ("stream run --keep", "a number of files, 1 or more", ("", "0", "two", "1.5")),
        ("stream run --rotate", "a time such as 1h or a size such as 500MB", ("", ",")),
        ("stream replay day.jsonl --speed", "a factor such as 1 or 10, or max", ("0", "fast")),
        ("stream export day.jsonl --out=tables --to", "parquet or csv", ("xlsx",)),
        ("book NVDA --depth", "a number of levels from 1 to 50", ("0", "51", "x")),
        ("quote NVDA --count", "a number of updates, 1 or more", ("0", "1.5", "9" * 9999)),
        ("quote NVDA --sort", "symbol, change, volume or age", ("", "\x1b[31m")),
        ("simulate --port", "a port from 0 to 65535", ("-1", "65536", "http")),
        ("simulate --seed", "a whole number, such as 7", ("x",)),
        ("simulate --speed", "a factor of 0.01 or more, such as 10", ("0", "max")),
    )
    for value in values
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[words[:40] for words, _ in REFUSED])
def test_an_invalid_value_is_refused_with_what_the_option_needs(words: str, message: str) -> None:
    """The error is one sentence that names the option and a valid value, and repeats nothing of the invalid one."""
    with pytest.raises(ConfigurationError) as refusal:
        app(words.split(), standalone_mode=False)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("option", "given", "meant"),
    [
        (options.number("--n", "", int, 1, 50), "50", 50),
        (options.number("--n", "", float, 0.1), "0.1", 0.1),
        (options.choice("--c", "parquet", "csv"), "csv", "csv"),
    ],
)
def test_a_valid_value_is_parsed(option: dict[str, Any], given: str, meant: object) -> None:
    """A number arrives as a number, the limits included, and a choice as it was given."""
    assert option["parser"](given) == meant
