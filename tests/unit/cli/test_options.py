"""Options as the commands get them."""

import pytest
import typer

from schwabstream.cli import options


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
    """One number says how much is logged."""
    assert options.verbosity(verbose, quiet=quiet) == number


@pytest.mark.parametrize(("text", "factor"), [("1", 1.0), ("2.5", 2.5), ("max", float("inf"))])
def test_a_speed_is_a_factor_or_max(text: str, factor: float) -> None:
    """Any positive factor, or as fast as it goes."""
    assert options.speed(text) == factor


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", ""])
def test_what_is_not_a_speed_is_refused(text: str) -> None:
    """Words, nothing, nought and less are usage errors."""
    with pytest.raises(typer.BadParameter, match="neither a factor"):
        options.speed(text)
