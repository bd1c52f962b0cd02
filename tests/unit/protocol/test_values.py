"""Values that Schwab writes in another form than their kind."""

import pytest

from schwabstream.protocol.values import character, whole


@pytest.mark.parametrize("value", [1.5, 1e19, float("inf"), True, "7", None])
def test_values_that_are_not_whole_numbers(value: object) -> None:
    """Fractions, integers beyond 64 bits, and texts are refused."""
    with pytest.raises(TypeError):
        whole(value)


def test_whole_numbers() -> None:
    """With a point or without."""
    assert [repr(whole(value)) for value in (5, 5.0, -0.0, -(2.0**62))] == ["5", "5", "0", str(-(2**62))]


def test_characters() -> None:
    """The code of a printable ASCII character becomes that character; everything else is refused."""
    assert [character(code) for code in (32, 63, 126)] == [" ", "?", "~"]
    for value in (31, 127, 63.0, True, "?", None):
        with pytest.raises(TypeError):
            character(value)
