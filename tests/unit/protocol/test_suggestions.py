"""Suggestions for a text that is not a symbol."""

import pytest

from schwabstream.protocol.suggestions import listed_root, proposals


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("ES=F", "/ES:XCME"),
        ("/ES_F", "/ES:XCME"),
        ("ES1!", "/ES:XCME"),
        ("/ESZ2026", "/ESZ26"),
        ("MNQZ6", "/MNQZ6"),
        ("BTC/USD", "/BTC:XCME"),
        ("EURUSD", "EUR/USD"),
        ("/MNQX", "/MNQ:XCME"),
    ],
)
def test_other_houses_spellings_are_known(text: str, first: str) -> None:
    """The likeliest meaning is among the proposals, and no stock's symbol is ever made up."""
    proposed = list(proposals(text))
    assert first in proposed
    assert all(not each.isalnum() for each in proposed)


def test_a_root_is_written_with_its_market() -> None:
    """The form people write names where the root trades."""
    assert listed_root("ZN") == "/ZN:XCBT"
